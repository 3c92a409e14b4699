"""What the pretended GPU must see: each fault that it is there to find, and nothing where there is none."""

import pytest
import torch
from torch import nn

from bench.noise import Noise
from bench.system.determinism import deterministically
from bench.training.adam import Adam
from tests.pretended_gpu import OtherDevice, pretended_gpu


@pytest.fixture
def report():
    with deterministically(), pretended_gpu() as report:
        yield report


def on_gpu(*shape):
    return torch.ones(*shape, device="cuda")


def kinds(report):
    return {kind for _, kind, _ in report.waits}


WAITS = {
    "item": ("_local_scalar_dense", lambda x: x.sum().item()),
    "float": ("_local_scalar_dense", lambda x: float(x[0])),
    "truth": ("_local_scalar_dense", lambda x: bool(x[0] > 0)),
    "tolist": ("tolist", lambda x: x.tolist()),
    "nonzero": ("nonzero", lambda x: x.nonzero()),
    "unique": ("_unique2", lambda x: x.unique()),
    "mask": ("mask as an index", lambda x: x[x > 0]),
    "masked_select": ("masked_select", lambda x: x.masked_select(x > 0)),
    "equal": ("equal", lambda x: torch.equal(x, x)),
    "cpu": ("copy to the host", lambda x: x.cpu()),
    "to cpu": ("copy to the host", lambda x: x.to("cpu", non_blocking=True)),
    "to the GPU": ("copy to the GPU", lambda x: torch.ones(3).to(x.device)),
    "not pinned": ("copy to the GPU", lambda x: torch.ones(3).to(x.device, non_blocking=True)),
    "pinned": ("copy to the GPU", lambda x: torch.ones(3).pin_memory().to(x.device)),
    "of another": ("copy to the GPU", lambda x: torch.ones(3).to(x)),
    "tensor": ("tensor from the host", lambda x: torch.tensor([1.0], device=x.device)),
    "copy_": ("copy between devices", lambda x: x.copy_(torch.ones(3))),
    "host index": ("index from the host", lambda x: x[torch.tensor([0, 1])]),
    "synchronize": ("synchronize", lambda x: torch.cuda.synchronize()),
}


@pytest.mark.parametrize("name", WAITS)
def test_the_host_waits(report, name):
    kind, work = WAITS[name]
    x = on_gpu(3)
    with report.phase("here"):
        work(x)
    ((phase, found, line),) = report.waits
    assert (phase, found) == ("here", kind) and line.startswith("tests/test_pretended_gpu.py:")


def test_nothing_waits_in_a_step(report):
    """Arithmetic, indices, noise, a backward pass, clipping and Adam."""
    network = nn.Linear(3, 2).to("cuda")
    optimizer = Adam(network.parameters(), 1e-3)
    first = {p.device for p in network.parameters()}
    report.waits.clear()
    x = Noise("x", device="cuda").normal(5, 3)
    x = x[torch.randperm(5, device="cuda")] * 2.0 + torch.full((3,), 1.0, device=x.device)
    loss = network(x).clamp(0, 1).logsumexp(0).mean()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    assert not report.waits
    assert first == {p.grad.device for p in network.parameters()} == {torch.device("cuda", 0)}
    assert torch.zeros_like(x).is_cuda and x.new_zeros(3).is_cuda and not torch.zeros(3).is_cuda
    assert x.cpu().device == torch.device("cpu") and not x.cpu().is_cuda


MIXED = {
    "sum": lambda x: x + torch.ones(3),
    "product": lambda x: nn.Linear(3, 2)(x),
    "cat": lambda x: torch.cat([x, torch.ones(3)]),
    "where": lambda x: torch.where(x > 0, x, torch.ones(3)),
    "GPU index": lambda x: torch.ones(3)[x.long()],
    "generator": lambda x: torch.randn(3, generator=torch.Generator("cpu"), device=x.device),
    "other generator": lambda x: torch.randn(3, generator=torch.Generator(x.device)),
    "in place": lambda x: x.normal_(generator=torch.Generator("cpu")),
}


@pytest.mark.parametrize("name", MIXED)
def test_devices_do_not_mix(report, name):
    with pytest.raises(OtherDevice, match=r"\(tests/test_pretended_gpu.py:"):
        MIXED[name](on_gpu(3))


def test_numbers_of_the_host_are_accepted(report):
    x = on_gpu(3) * torch.tensor(2.0) + 1
    assert x.is_cuda and not report.waits


def test_numpy_does_not_see_the_gpu(report):
    with pytest.raises(TypeError, match="can't convert cuda:0 tensor to numpy"):
        on_gpu(3).numpy()
    assert on_gpu(3).cpu().numpy().sum() == 3


NOT_DETERMINISTIC = {
    "cumsum": lambda x: x.cumsum(0),
    "histc": lambda x: x.histc(),
    "median": lambda x: x.median(0),
    "nll_loss": lambda x: nn.functional.nll_loss(
        x[None], torch.zeros_like(x[:1], dtype=torch.long)
    ),
    "interpolate": lambda x: (
        nn.functional.interpolate(x.view(1, 1, 1, 3).requires_grad_(), (2, 2), mode="bilinear")
        .sum()
        .backward()
    ),
}


@pytest.mark.parametrize("name", NOT_DETERMINISTIC)
def test_what_has_no_deterministic_implementation(report, name):
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        NOT_DETERMINISTIC[name](on_gpu(3))
    torch.use_deterministic_algorithms(False)
    NOT_DETERMINISTIC[name](on_gpu(3))


def test_whole_numbers_and_the_cpu_have_a_deterministic_cumsum(report):
    assert on_gpu(3).long().cumsum(0).is_cuda and torch.ones(3).cumsum(0)[-1] == 3


def test_kernels_are_counted_forwards_and_backwards(report):
    x = on_gpu(4).requires_grad_()
    with report.phase("forwards"):
        total = (x.view(2, 2)[0] * 2).sum()
    with report.phase("backwards"):
        total.backward()
    assert report.kernels["forwards", "mul"] == report.kernels["backwards", "mul"] == 1
    operations = {name for phase, name in report.kernels if phase == "backwards"}
    assert operations == {"ones_like", "mul", "select_backward"}


def test_filling_new_memory_is_counted(report):
    torch.utils.deterministic.fill_uninitialized_memory = True
    with report.phase("filled"):
        torch.empty(3, device="cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False
    with report.phase("left"):
        torch.empty(3, device="cuda")
    assert {phase for phase, _ in report.kernels} == {"filled"}


@pytest.mark.parametrize("own_numbers", [False, True])
def test_numbers_drawn_on_the_gpu(own_numbers):
    host = Noise("x").normal(2, 3)
    with pretended_gpu(own_numbers):
        there = Noise("x", device="cuda", on_device=True).normal(2, 3)
        here = Noise("x", device="cuda").normal(2, 3)
        assert there.is_cuda and here.is_cuda
        assert torch.equal(here.cpu(), host)
        assert torch.equal(there.cpu(), host) != own_numbers


def test_everything_is_put_back():
    before = torch.Generator, torch.cuda.is_available()
    with pytest.raises(ValueError), pretended_gpu():
        assert torch.cuda.is_available()
        raise ValueError
    assert (torch.Generator, torch.cuda.is_available()) == before
    assert not torch.ones(3).is_cuda
