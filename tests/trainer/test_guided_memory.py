"""What a student remembers of the times at which a device was in use."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="trainer needs torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from trainer.guided_memory import WIDTH, GuidedMemory, state_size  # noqa: E402
from trainer.student import Student, StudentConfig, StudentStep  # noqa: E402

pytestmark = pytest.mark.torch

BATCH, STEPS, FEATURES, DEVICES = 3, 40, 12, 4


@pytest.fixture
def memory():
    torch.manual_seed(0)
    return GuidedMemory(FEATURES, DEVICES)


def sequences(seed=1):
    """Return features, use and observation: each device in use a third of what is seen of it."""
    torch.manual_seed(seed)
    x = torch.randn(BATCH, STEPS, FEATURES)
    seen = (torch.rand(BATCH, STEPS, DEVICES) < 0.8).float()
    return x, (torch.rand(BATCH, STEPS, DEVICES) < 0.3).float() * seen, seen


def empty():
    return torch.zeros(BATCH, state_size(DEVICES))


def parts(state):
    """Return memories (N, E, D) and weights (N, E)."""
    flat, weight = state.split([DEVICES * WIDTH, DEVICES], 1)
    return flat.unflatten(1, (DEVICES, WIDTH)), weight


def run(memory, x, used, seen, state=None):
    with torch.no_grad():
        return memory(x, used, seen, empty() if state is None else state)


def test_without_any_device_observed_or_ever_in_use_features_pass_as_they_are(memory):
    x, used, seen = sequences()
    assert torch.equal(run(memory, x, torch.zeros_like(used), seen)[0], x)
    full = run(memory, x, used, seen)[1]
    nothing = torch.zeros_like(used)
    assert torch.equal(run(memory, x, nothing, nothing, full)[0], x)


def test_a_device_in_use_changes_what_follows_and_nothing_before(memory):
    x, used, seen = sequences()
    used[:, :20], used[:, 20, 0], seen[:, 20:] = 0, 1, 1
    moved = (run(memory, x, used, seen)[0] - x).abs().amax(-1)
    assert moved[:, :20].max() == 0
    assert moved[:, 20:].min() > 0


def test_a_device_never_in_use_has_no_influence(memory):
    x, used, seen = sequences()
    used[..., 2] = 0
    before, _ = run(memory, x, used, seen)
    with torch.no_grad():
        memory.key[2] += 100
        memory.rate[2] += 5
    hidden = seen.clone()
    hidden[..., 2] = 0
    assert torch.equal(run(memory, x, used, seen)[0], before)
    assert torch.equal(run(memory, x, used, hidden)[0], before)


def test_what_is_seen_while_a_device_is_not_in_use_leaves_its_memory_alone(memory):
    x, used, seen = sequences()
    used[:, 10:20, 1] = 0
    other = x.clone()
    other[:, 10:20] += torch.randn(BATCH, 10, FEATURES)
    (before, weight), (after, weight_after) = (
        parts(run(memory, one, used, seen)[1]) for one in (x, other)
    )
    assert torch.equal(before[:, 1], after[:, 1])
    assert torch.equal(weight, weight_after)
    assert not torch.equal(before[:, 0], after[:, 0])


def test_a_memory_is_the_mean_of_what_was_seen_in_use_the_newest_counting_most(memory):
    x, used, seen = sequences()
    used = torch.zeros_like(used)
    used[:, [4, 9, 30], 3] = 1
    found, weight = parts(run(memory, x, used, seen)[1])
    with torch.no_grad():
        values, r = memory.value(x)[:, [4, 9, 30]], torch.sigmoid(memory.rate[3])
    share = r * torch.stack([(1 - r) ** 2, 1 - r, torch.tensor(1.0)])
    assert (found[:, 3] - (values * share[:, None]).sum(1)).abs().max() < 1e-6
    assert (weight[:, 3] - share.sum()).abs().max() < 1e-6
    assert not found[:, :3].any()


def test_the_longest_use_and_the_loudest_features_stay_finite(memory):
    x = 1e4 * torch.ones(BATCH, 3000, FEATURES)
    always = torch.ones(BATCH, 3000, DEVICES)
    out, state = run(memory, x, always, always)
    assert out.isfinite().all()
    assert state.isfinite().all()
    assert parts(state)[1].max() <= 1


def test_sequences_do_not_see_each_other(memory):
    x, used, seen = sequences()
    together, state = run(memory, x, used, seen)
    one = (x[1:2], used[1:2], seen[1:2])
    alone, alone_state = run(memory, *one, empty()[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-6)
    assert torch.allclose(state[1:2], alone_state, atol=1e-6)


CONFIG = StudentConfig(
    inputs=(("imu", 10, 3),), levels=(("activity", 5),), devices=3, hidden=16, width=8, dropout=0.0
)


def made(config):
    torch.manual_seed(0)
    return Student(config).eval()


def station(config, steps, seed=2):
    torch.manual_seed(seed)
    shapes = list(config.input_shapes.items())[:-1]
    return {
        name: torch.randn(1, steps, *shape) if name == "imu"
        else (torch.rand(1, steps, *shape) < 0.5).float()
        for name, shape in shapes
    }  # fmt: skip


@pytest.mark.parametrize(
    "config", [replace(CONFIG, devices=0), replace(CONFIG, inputs=())], ids=["imu", "devices"]
)
def test_without_devices_or_without_inputs_it_is_the_student_without_memory(config):
    plain, guided = made(config), made(replace(config, guided=True))
    assert guided.config.state_size == config.state_size == 16
    assert list(plain.state_dict()) == list(guided.state_dict())
    inputs = station(config, 20)
    assert torch.equal(plain(inputs).boundary, guided(inputs).boundary)


def test_with_no_device_in_use_it_says_what_the_student_without_memory_says():
    plain, guided = made(CONFIG), made(replace(CONFIG, guided=True))
    inputs = station(CONFIG, 20)
    assert not torch.equal(plain(inputs).boundary, guided(inputs).boundary)
    inputs["in_use"] *= 0
    assert torch.equal(plain(inputs).boundary, guided(inputs).boundary)


class Operations(TorchDispatchMode):
    """Writes down what is computed, and on how many numbers."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.done.append((str(func), getattr(out, "shape", None)))
        return out


def test_a_step_after_an_hour_costs_and_carries_what_the_first_did():
    config = replace(CONFIG, guided=True)
    step, inputs = StudentStep(made(config)), station(config, 3600)
    state, seen = torch.zeros(1, config.state_size), []
    for t in range(3600):
        now = [inputs[name][:, t] for name in config.input_names[:-1]]
        with torch.no_grad(), Operations() as operations:
            state = step(*now, state)[-1]
        seen.append(operations.done)
        assert state.shape == (1, 16 + 3 * 17)
    assert len(seen[0]) > 50
    assert seen[0] == seen[-1]
