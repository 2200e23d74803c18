"""What teaching costs is measured on the same work, whichever way it is done."""

from itertools import islice

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from torch import nn  # noqa: E402

from trainer import bench, teach  # noqa: E402
from trainer.named_teachers import teacher  # noqa: E402
from trainer.prepared import prepare  # noqa: E402
from trainer.processes import Processes  # noqa: E402

pytestmark = pytest.mark.torch


def test_the_plain_way_learns_from_the_batches_of_the_prepared_one(data):
    recipe, folder = teacher("tcn-openpack-u0209-imu-scanner"), data / "openpack/v1.0.0"
    alone = Processes(0, 1, torch.device("cpu"))
    run = teach.Run(recipe, prepare(recipe.source, folder), 0, alone)
    for number, plain in enumerate(islice(bench._cut_each(recipe, folder, run), 2)):
        for ours, theirs in zip(plain, run.batch(number), strict=True):
            assert ours.keys() == theirs.keys()
            for name, x in ours.items():
                assert torch.allclose(x, theirs[name], atol=1e-5), name


def test_products_of_recurrent_layers_are_counted_with_the_others():
    lstm = nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True)
    first = 2 * 14 * 2 * 4 * 5 * (3 + 5)  # 2 windows of 7 steps, both ways, four gates
    second = 2 * 14 * 2 * 4 * 5 * (10 + 5)  # reads both ways of the first
    assert bench.lstm_flops(lstm, torch.zeros(2, 7, 3)) == first + second
    recipe = teacher("sigformer-openpack-u0209-imu")
    run = teach.Run(recipe, bench.random_parts(recipe), 0, Processes(0, 1, torch.device("cpu")))
    weights = sum(w.numel() for w in run.model.parameters() if w.ndim > 1)
    steps = recipe.batch * recipe.window
    # forward and twice backward a weight multiplies and adds once a step; those of rows more often
    assert 6 * weights * steps < bench._flops(run) < 12 * weights * steps
