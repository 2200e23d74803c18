"""Dilated convolutions over the past: whole recordings and single steps are the same."""

import pytest

torch = pytest.importorskip("torch", reason="needs the trainer's dependencies")

from trainer.causal_tcn import CausalTcn, CausalTcnStep, state_size  # noqa: E402

pytestmark = pytest.mark.torch


def network(layers=4):
    torch.manual_seed(0)
    return CausalTcn(8, layers, 0.3).eval()


def test_step_by_step_from_a_cold_start_is_as_over_the_whole():
    net = network()
    step, x = CausalTcnStep(net).eval(), torch.randn(2, 2000, 8)
    with torch.no_grad():
        whole = net(x)
        state, said = torch.zeros(2, state_size(8, 4)), []
        for t in range(x.shape[1]):
            now, state = step(x[:, t], state)
            said.append(now)
    assert state.shape == (2, state_size(8, 4))
    torch.testing.assert_close(torch.stack(said, 1), whole, atol=1e-4, rtol=0)


def test_a_step_knows_nothing_of_what_comes_after_it_and_so_much_of_what_came_before():
    net, x = network(), torch.randn(1, 60, 8)
    reach = 2 * (1 + 2 + 4 + 8)
    for change, first, last in ((40, 40, 60), (3, 3, 3 + reach + 1)):
        other = x.clone()
        other[0, change] += 1
        changed = (net(x) != net(other)).any(-1)[0].nonzero()[:, 0]
        assert changed.min() == first
        assert changed.max() == last - 1
