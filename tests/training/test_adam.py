import copy

import pytest
import torch

from bench.training.adam import Adam
from tests.pretended_gpu import pretended_gpu


def trained(make, phases, steps=40, reload_at=None):
    """Return the weights after steps in which, by turns, only some parameters have gradients."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
    parameters = list(network.parameters())
    optimizer = make(parameters)
    x, y = torch.randn(20, 5), torch.randn(20, 3)
    for step in range(steps):
        if step == reload_at:
            kept = copy.deepcopy(optimizer.state_dict())
            optimizer = make(parameters)
            optimizer.load_state_dict(kept)
        moves = phases[step % len(phases)]
        optimizer.zero_grad()
        (network(x) - y).square().mean().backward()
        for parameter, moving in zip(parameters, moves):
            if not moving:
                parameter.grad = None
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in parameters])


TOGETHER = [(1, 1, 1, 1)]
BY_TURNS = [(1, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 1)]
FIRST_TOGETHER = [(1, 1, 1, 1), (0, 1, 1, 0), (1, 0, 0, 0)]


@pytest.mark.parametrize("phases", [TOGETHER, BY_TURNS, FIRST_TOGETHER])
@pytest.mark.parametrize("reload_at", [None, 17])
def test_it_is_torchs_adam_to_the_last_bit(phases, reload_at):
    theirs = trained(lambda p: torch.optim.Adam(p, 0.01, fused=True), phases)
    ours = trained(lambda p: Adam(p, 0.01), phases, reload_at=reload_at)
    assert torch.equal(theirs, ours)


def test_its_state_is_torchs():
    weight = torch.nn.Parameter(torch.ones(3))
    ours = Adam([weight], 0.1)
    for _ in range(3):
        weight.grad = torch.ones(3)
        ours.step()
    theirs = torch.optim.Adam([weight], 0.1, fused=True)
    theirs.load_state_dict(ours.state_dict())
    assert theirs.state[weight]["step"] == 3
    assert torch.equal(theirs.state[weight]["exp_avg"], ours.state[weight]["exp_avg"])


def counts(optimizer):
    return {state["step"].data_ptr() for state in optimizer.state.values()}


def test_counts_are_shared_again_after_a_state_is_loaded():
    """Otherwise each parameter's count is a kernel of its own in every step on a GPU."""
    with pretended_gpu() as report:
        network = torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(3))).to("cuda")
        parameters = list(network.parameters())
        loss = lambda: network(torch.ones(4, 2, device="cuda")).square().mean()
        # The last layer begins two steps later, and has another count.
        first, resumed = (Adam(parameters, 0.1) for _ in range(2))
        for number in range(4):
            first.zero_grad()
            loss().backward()
            if number < 2:
                parameters[4].grad = parameters[5].grad = None
            first.step()
        resumed.load_state_dict(copy.deepcopy(first.state_dict()))
        report.waits.clear()
        for name, optimizer in (("first", first), ("resumed", resumed)):
            optimizer.step()  # sets up what is shared
            with report.phase(name):
                optimizer.step()
        kernels = lambda name: sum(n for (phase, _), n in report.kernels.items() if phase == name)
        assert kernels("resumed") == kernels("first") == 2 + 1
        assert len(counts(resumed)) == len(counts(first)) == 2
        assert not report.waits


def test_a_closure_makes_the_gradients():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = Adam([weight], 0.1)
    optimizer.step(lambda: weight.square().sum().backward())
    assert (weight < 1).all()


def test_a_scaler_skips_a_step_whose_gradients_overflow():
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer, scaler = Adam([weight], 0.1), torch.amp.GradScaler("cpu")
    for gradient, moves in ((torch.inf, False), (1.0, True)):
        scaler.scale(torch.ones(()))
        weight.grad = torch.full((3,), gradient)
        scaler.step(optimizer)
        scaler.update()
        assert (weight.detach() != 1).all() == moves and weight.isfinite().all()
