"""Which GPUs a process sees and a run gets. No GPU is needed: PyTorch's count is pretended."""

import pytest
import torch

from bench.errors import InputError
from bench.system.devices import Reserved, devices_for, named_gpus, unusable_gpus, visible_gpus

LISTED = [
    ("7,-1,3", ["7"]),
    ("-1", []),
    ("", []),
    ("NoDevFiles", []),
    ("0, 2", ["0", "2"]),
    ("0,2,x,1", ["0", "2"]),
    ("0,,1", ["0"]),
    ("1,0,1", []),
    ("1,01", []),
    ("1gpu2,2ampere", ["1gpu2", "2ampere"]),
    ("GPU-8932f937,GPU-d", ["GPU-8932f937", "GPU-d"]),
    ("GPU-8932f937,GPU-8932f937", []),
    ("GPU-8932f937,1", ["GPU-8932f937"]),
    ("1,GPU-8932f937", ["1"]),
    ("MIG-a,MIG-b,GPU-c", ["MIG-a", "MIG-b"]),
]


@pytest.mark.parametrize("listed, names", LISTED)
def test_visible_devices_are_read_as_pytorch_reads_them(listed, names, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert named_gpus(listed) == names
    assert len(torch.cuda._parse_visible_devices()) == len(names)


@pytest.fixture
def gpus(monkeypatch):
    """Let PyTorch see this many GPUs of those that a variable names."""

    def pretend(count, listed=None):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if listed is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)

    return pretend


def test_numbers_that_the_machine_does_not_have_hide_what_follows(gpus):
    gpus(1, "3,99,1")  # of a machine of four
    assert visible_gpus() == ["3"]
    gpus(2)
    assert visible_gpus() == ["0", "1"]


def test_a_run_gets_its_own_gpus_or_the_first(gpus):
    gpus(3, "5,GPU-x")
    cuda = lambda *indices: [torch.device("cuda", index) for index in indices]
    gpus(2, "5,7")
    assert devices_for(1) == cuda(0) and devices_for(2) == cuda(0, 1)
    assert devices_for(1, Reserved(("7",))) == cuda(1)
    assert devices_for(2, Reserved(("7", "5"))) == cuda(1, 0)
    assert devices_for(2, Reserved()) == [torch.device("cpu")] * 2
    gpus(0)
    assert devices_for(2) == [torch.device("cpu")] * 2


@pytest.mark.parametrize(
    "count, seen, reserved, message",
    [
        (2, (1, None), None, "trainer.devices: 2, and the run has 1 GPU (0)"),
        (3, (2, "4,6"), None, "trainer.devices: 3, and the run has 2 GPUs (4, 6)"),
        (2, (4, None), Reserved(("2",)), "trainer.devices: 2, and the run has 1 GPU (2)"),
        (1, (0, None), Reserved(("0",)), "GPU 0 was reserved for the run, and PyTorch sees no GPU ("),
        (1, (1, "MIG-a,MIG-b"), Reserved(("MIG-b",)), "GPU MIG-b was reserved for the run, and "
        "PyTorch sees only MIG-a"),
    ],
)  # fmt: skip
def test_a_gpu_that_was_asked_for_is_not_replaced_by_the_cpu(count, seen, reserved, message, gpus):
    gpus(*seen)
    with pytest.raises(InputError) as caught:
        devices_for(count, reserved)
    assert message in str(caught.value)


def test_gpus_that_pytorch_cannot_use_are_told_of(gpus, tmp_path):
    gpus(0)
    assert unusable_gpus(tmp_path) is None
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    line = unusable_gpus(tmp_path)
    assert line.startswith(
        "note: computed on the CPU, because PyTorch cannot use the 2 NVIDIA GPUs"
    )
    gpus(0, "")
    assert unusable_gpus(tmp_path) is None
    gpus(2)
    assert unusable_gpus(tmp_path) is None
