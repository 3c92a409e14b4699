"""Which errors are trouble of a GPU, told by texts of real ones."""

import pytest
import torch

import bench.runs.run
from bench.__main__ import main
from bench.configuration.job import Job
from bench.configuration.parsing import parse_run
from bench.errors import InputError
from bench.runs.run import reason_of, run
from bench.system.device_trouble import DeviceTrouble, device_trouble
from bench.system.devices import Reserved

ADVICE = """
Search for `cudaError' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information.
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""
CUDA = (
    "an illegal memory access was encountered",
    "the launch timed out and was terminated",
    "device-side assert triggered",
    "hardware stack error",
    "an illegal instruction was encountered",
    "misaligned address",
    "invalid program counter",
    "unspecified launch failure",
    "uncorrectable ECC error encountered",
    "uncorrectable NVLink error detected during the execution",
    "CUDA-capable device(s) is/are busy or unavailable",
    "all CUDA-capable devices are busy or unavailable",
    "unknown error",
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k, &alpha, a)`",
    "CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasGemmEx( handle, opa, opb, m, n, k, alpha_ptr)`",
)
OTHERS = (
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED\nYou can try to repro this exception using …",
    "GET was unable to find an engine to execute this computation: CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER",
    "cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`",
    "Triton Error [CUDA]: an illegal memory access was encountered",
    "CUDA driver error: unspecified launch failure",
    "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:77, unhandled cuda error (run with "
    "NCCL_DEBUG=INFO for details), NCCL version 2.26.2\nncclUnhandledCudaError: Call to CUDA failed.",
    "NCCL communicator was aborted on rank 1.",
    "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=6699, OpType=ALLREDUCE)",
    "No CUDA GPUs are available",
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling "
    "NumCudaDevices() that might have already set an error? Error 802: system not yet initialized",
    "CUDA unknown error - this may be due to an incorrectly set up environment",
)
OWN = (
    "mat1 and mat2 shapes cannot be multiplied (100x64 and 65x16)",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a "
    "non-contiguous input.",
    "CUDA error: invalid configuration argument" + ADVICE,
    "CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm( handle, opa, opb, m, n, k)`",
    "cumsum_cuda_kernel does not have a deterministic implementation",
    "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory",
)
FULL = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which "
    "1.31 GiB is free. Process 17 has 50.20 GiB memory in use. Including non-PyTorch memory, this "
    "process has 27.60 GiB memory in use. Of the allocated memory 26.10 GiB is allocated by PyTorch."
)
GIB = 2**30
silent = lambda phase, share, text: None


@pytest.mark.parametrize("text", [f"CUDA error: {text}{ADVICE}" for text in CUDA] + list(OTHERS))
def test_trouble_of_a_gpu_is_known_by_its_text_and_said_in_a_line(text):
    found = device_trouble(RuntimeError(text))
    assert (
        isinstance(found, InputError) and "\n" not in str(found) and "Search for" not in str(found)
    )
    assert str(found).startswith("device: ") and "trouble of the machine" in str(found)
    assert device_trouble(found) is found


@pytest.mark.parametrize("text", OWN)
def test_what_the_run_itself_does_is_no_trouble_of_the_gpu(text):
    assert device_trouble(RuntimeError(text)) is None
    assert device_trouble(InputError("the file 'CUDA error: x' does not exist")) is None


def test_trouble_is_found_behind_what_it_led_to():
    error = RuntimeError("the training could not be torn down")
    error.__context__ = torch.AcceleratorError(f"CUDA error: {CUDA[0]}{ADVICE}")
    assert CUDA[0] in str(device_trouble(error))
    error.__suppress_context__ = True
    assert device_trouble(error) is None


def on_a_card(monkeypatch, free: float, own: float, total: float = 79.1) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free * GIB, total * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: own * GIB)


@pytest.mark.parametrize(
    "free, own, share, is_trouble",
    [
        (1.3, 27.1, 1.0, True),  # another process holds 50 GiB
        (1.3, 76.5, 1.0, False),  # the rest is this process's context
        (1.3, 60.0, 0.5, True),  # a neighbour's by right
        (1.3, 77.0, 0.5, False),  # it would not fit an empty card either
    ],
)
def test_want_of_memory_is_the_runs_own_where_it_had_the_card(
    free, own, share, is_trouble, monkeypatch
):
    on_a_card(monkeypatch, free, own)
    for text in (
        FULL,
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ):
        if own + 2.5 > 79.1 and text != FULL:
            continue  # its message does not say how much more was wanted
        found = device_trouble(torch.OutOfMemoryError(text), share)
        assert (found is not None) == is_trouble, found
        assert reason_of(RuntimeError(text)) == "out of memory"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: 1 / 0)
    monkeypatch.undo()
    # The GPU does not answer any more, as none does on this machine.
    assert not torch.cuda.is_available() or device_trouble(torch.OutOfMemoryError(FULL), 0.5)


def failing(text):
    def evaluate(*_, **__):
        raise RuntimeError(text)

    return evaluate


def test_a_run_on_a_broken_gpu_makes_no_record_and_on_a_full_one_a_failed_one(
    tmp_path, monkeypatch
):
    config = parse_run(["--data=digits-17", "--model=uniform", "--evaluation.importance_samples=2"])
    job = Job(config, "m", "s", str(tmp_path), "disabled")
    monkeypatch.setattr(bench.runs.run, "evaluate", failing(f"CUDA error: {CUDA[0]}{ADVICE}"))
    with pytest.raises(DeviceTrouble, match="^device: CUDA error: an illegal memory access"):
        run(job)
    assert "Traceback" in (tmp_path / "log.txt").read_text()
    monkeypatch.setattr(bench.runs.run, "evaluate", failing(FULL))
    on_a_card(monkeypatch, 1.3, 60.0)
    with pytest.raises(DeviceTrouble, match="out of memory on a GPU that others use too"):
        run(job, silent, Reserved((), 0.5))
    on_a_card(monkeypatch, 1.3, 77.0)
    record = run(job)
    assert record["status"] == "failed" and record["reason"] == "out of memory"


def test_a_single_run_on_a_broken_gpu_ends_with_a_line(tmp_path, monkeypatch, capsys):
    words = ["--data=digits-binary", "--model=independent_pixels", f"--output={tmp_path}/o"]
    monkeypatch.setattr(bench.runs.run, "evaluate", failing(f"CUDA error: {CUDA[8]}{ADVICE}"))
    assert main(["train", *words, "--wandb=disabled"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: error: device: CUDA error: uncorrectable ECC error")
    assert error.count("\n") == 1 and not list(tmp_path.rglob("record.json"))


def test_a_command_that_is_no_run_says_it_in_a_line_too(monkeypatch, capsys):
    monkeypatch.setattr("bench.__main__.dispatch", failing("CUDA error: unknown error"))
    assert main(["evaluate", "x"]) == 2
    assert capsys.readouterr().err.startswith("bench: error: device: CUDA error: unknown error")
    monkeypatch.setattr("bench.__main__.dispatch", failing("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["evaluate", "x"])
