"""A pretended GPU: the arithmetic of the CPU, with a device noted for every tensor's memory.

    with pretended_gpu() as report, report.phase("step"):
        ...
    assert not report.waits and report.kernels["step"] < 100

Inside, ``torch.cuda.is_available()`` is true and everything that is put on a GPU is noted to lie
there. Two modes do this. The function mode sees calls from Python: it answers ``device`` and
``is_cuda``, and turns moves between devices into copies. The dispatch mode sees every operation of
ATen, those of the backward pass too: it passes the device on from inputs to outputs, raises where a
GPU would (tensors on both devices, no deterministic implementation), and counts what a GPU would
do: kernels, and waits of the host for the GPU.

All values are those of the CPU, so whatever does not depend on the device must give the same bytes.
What it cannot show: rounding, speed and memory of a GPU, kernels inside of an operation, CUDA graphs.
"""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import pytorch_lightning.accelerators.cuda as lightning_cuda
import torch
import torch.nn.utils.clip_grad as clip_grad
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import bench.training.together as together

PROPERTIES = SimpleNamespace(total_memory=80 * 2**30, uuid="0" * 8)
GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
# Operations whose result has a size, or is a number, that the host has to read.
READS = {
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "bincount"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave.Tensor"),
    *("_linalg_eigh", "_linalg_svd", "linalg_eig", "_linalg_check_errors", "linalg_lstsq"),
}
# Operations that raise on a GPU when only deterministic algorithms are allowed, see the docstring of
# torch.use_deterministic_algorithms. That of cumsum, cumprod and put_ depends on the arguments.
NOT_DETERMINISTIC = {
    *("histc", "kthvalue", "median.dim", "nanmedian.dim", "max_unpool2d", "put_", "cumsum"),
    *("nll_loss_forward", "nll_loss2d_forward", "scatter_reduce.prod", "_ctc_loss_backward"),
    *("_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "avg_pool3d_backward"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("reflection_pad1d_backward", "reflection_pad2d_backward", "grid_sampler_2d_backward"),
}
# Operations without a kernel, besides views.
NO_KERNEL = {
    *("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "resize_", "set_"),
    *("detach", "detach_", "alias", "lift", "lift_fresh", "_unsafe_view", "_local_scalar_dense"),
    *("is_same_size", "is_pinned", "_has_compatible_shallow_copy_type"),
}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class OtherDevice(RuntimeError):
    """Tensors, or a generator, on another device than a GPU would accept."""


class Report:
    """What the pretended GPU was asked to do, by the phase that was named.

    Attributes:
        kernels: {(phase, operation): number}, of operations that would start a kernel.
        waits: {(phase, what waits, the line that asked): number}.
    """

    def __init__(self) -> None:
        self.now = ""
        self.kernels: Counter = Counter()
        self.waits: Counter = Counter()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        before, self.now = self.now, name
        try:
            yield
        finally:
            self.now = before

    def copy(self) -> "Report":
        copied = Report()
        copied.kernels, copied.waits = self.kernels.copy(), self.waits.copy()
        return copied

    def __sub__(self, before: "Report") -> "Report":
        """Return what was done since ``before``."""
        since = Report()
        since.kernels, since.waits = self.kernels - before.kernels, self.waits - before.waits
        return since

    def wait(self, kind: str) -> None:
        self.waits[self.now, kind, asking_line()] += 1

    def kernel(self, operation: str) -> None:
        self.kernels[self.now, operation] += 1


def asking_line() -> str:
    """Return the innermost line of the project's own code, outside of this file."""
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        for part in ("/bench/", "/tests/"):
            if part in name and name != __file__:
                return f"{part[1:]}{name.rsplit(part, 1)[1]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


def tensors_in(*values) -> list[torch.Tensor]:
    """Return the tensors in nested tuples, lists and dictionaries."""
    found = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (tuple, list)):
            found += tensors_in(*value)
        elif isinstance(value, dict):
            found += tensors_in(*value.values())
    return found


class Places:
    """The device of each tensor's memory; what was never put anywhere is on the CPU."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[StorageWeakRef, torch.device | None]] = {}
        self.pinned: dict[int, StorageWeakRef] = {}

    def of(self, tensor: torch.Tensor) -> torch.device | None:
        """Return a tensor's device; None if it was made in C++, which would know where it belongs."""
        try:
            found = self.known.get(tensor.untyped_storage()._cdata)
        except (NotImplementedError, RuntimeError):  # without memory, as on the meta device
            return CPU
        return found[1] if found else CPU

    def put(self, tensor: torch.Tensor, device: torch.device | None) -> torch.Tensor:
        storage = tensor.untyped_storage()
        # The reference keeps the address from being given to another storage.
        self.known[storage._cdata] = (StorageWeakRef(storage), device)
        if len(self.known) > 20_000:
            self.known = {k: v for k, v in self.known.items() if not v[0].expired()}
        return tensor

    def pin(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        self.pinned[storage._cdata] = StorageWeakRef(storage)
        return tensor

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.pinned


class Operations(TorchDispatchMode):
    """Sees every operation of ATen on tensors that are noted to lie somewhere."""

    def __init__(self, places: Places, report: Report):
        super().__init__()
        self.places, self.report = places, report
        # Of the call from Python that is being done: the device that it names, and whether it
        # was given tensors. Without a call, C++ makes tensors, as for gradients that are zero.
        self.named: torch.device | None = None
        self.makes = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        full_name = f"{name}.{func._overloadname}"
        inputs = tensors_in(args, kwargs)
        devices = [self.places.of(x) for x in inputs]
        on_gpu = GPU in devices
        if on_gpu:
            self.check(name, full_name, args, inputs, devices)
        out = func(*args, **kwargs)
        made = tensors_in(out)
        device = self.device_of_result(inputs, devices, name)
        old = {x.untyped_storage()._cdata for x in inputs}
        for x in made:
            if device != CPU and x.untyped_storage()._cdata not in old:
                self.places.put(x, device)
        if device == GPU or on_gpu:
            self.count(name, func)
        return out

    def device_of_result(self, inputs, devices, name) -> torch.device | None:
        makes_new = not inputs or name.endswith("_like") or name.startswith("new_")
        if self.named is not None and makes_new:
            return self.named
        if GPU in devices:
            return GPU
        if inputs:
            return None if all(device is None for device in devices) else CPU
        return CPU if self.makes else None

    def check(self, name, full_name, args, inputs, devices) -> None:
        """Raise what a GPU would raise, and note where the host would wait."""
        if torch.are_deterministic_algorithms_enabled() and (
            name in NOT_DETERMINISTIC or full_name in NOT_DETERMINISTIC
        ):
            if name != "cumsum" or inputs[0].is_floating_point():
                raise RuntimeError(
                    f"{name}_cuda does not have a deterministic implementation ({asking_line()})"
                )
        if name in READS or full_name in READS:
            self.report.wait(name)
        if name in INDEXING:
            if devices[0] == CPU:
                raise OtherDevice(f"{name}: a CPU tensor and a GPU index ({asking_line()})")
            indices = [x for x in args[1] if x is not None]
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                self.report.wait("mask as an index")
            if any(self.places.of(index) == CPU for index in indices):
                self.report.wait("index from the host")
            return
        if name in ("copy_", "_to_copy"):
            if CPU in devices:
                self.report.wait("copy between devices")
            return
        # A GPU accepts a number from the host only.
        if any(device == CPU and x.dim() for x, device in zip(inputs, devices)):
            raise OtherDevice(f"{name}: tensors on both devices ({asking_line()})")

    def count(self, name, func) -> None:
        report = self.report
        if name.startswith(("empty", "new_empty", "resize_")):
            if (
                torch.are_deterministic_algorithms_enabled()
                and torch.utils.deterministic.fill_uninitialized_memory
            ):
                report.kernel("fill of new memory")
        is_view = any(
            value.alias_info is not None and not value.alias_info.is_write
            for value in func._schema.returns
        )
        if not is_view and name not in NO_KERNEL:
            report.kernel(name)


class Calls(TorchFunctionMode):
    """Sees calls from Python: what names a device, and what moves tensors."""

    def __init__(self, places: Places, operations: Operations, report: Report):
        super().__init__()
        self.places, self.operations, self.report = places, operations, report

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return self.attribute(func, args)
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if first is not None and name in ("to", "cpu", "cuda"):
            return self.moved(func, name, first, list(args[1:]), kwargs)
        if first is not None and name == "pin_memory":
            if self.places.of(first) == GPU:
                raise OtherDevice(f"pin_memory: a GPU tensor ({asking_line()})")
            return self.places.pin(first.clone(memory_format=torch.contiguous_format))
        if first is not None and name == "is_pinned":
            return self.places.is_pinned(first)
        if first is not None and self.places.of(first) == GPU:
            if name in ("numpy", "__array__", "__dlpack__"):
                raise TypeError(f"can't convert cuda:0 tensor to numpy ({asking_line()})")
            if name == "tolist":
                self.report.wait("tolist")
                with torch._C.DisableTorchFunction():
                    return func(*args, **kwargs)
        return self.done(func, name, args, kwargs)

    def attribute(self, func, args):
        if func == torch.Tensor.device.__get__:
            return self.places.of(args[0]) or CPU
        if func == torch.Tensor.is_cuda.__get__:
            return self.places.of(args[0]) == GPU
        if func == torch.Tensor.is_cpu.__get__:
            return self.places.of(args[0]) == CPU
        return func(*args)

    def done(self, func, name, args, kwargs):
        """Do a call on the CPU, for the device that it names."""
        named = None
        if kwargs.get("device") is not None:
            named = device_named(kwargs["device"])
            kwargs["device"] = CPU
        tensors = tensors_in(args, kwargs)
        self.check_generator(kwargs.get("generator"), named, tensors)
        if name in ("tensor", "as_tensor", "asarray", "new_tensor"):
            if named is None and name == "new_tensor":
                named = self.places.of(args[0])
            out = func(*args, **kwargs)
            if named == GPU and not (tensors and self.places.of(out) == GPU):
                self.report.wait(f"{name} from the host")
                return self.places.put(out.clone(), GPU)
            return out
        operations = self.operations
        before = operations.named, operations.makes
        operations.named, operations.makes = named, not tensors
        try:
            return func(*args, **kwargs)
        finally:
            operations.named, operations.makes = before

    def check_generator(self, generator, named, tensors) -> None:
        if generator is None:
            return
        device = named or (self.places.of(tensors[0]) if tensors else CPU) or CPU
        if generator.device.type != device.type:
            raise OtherDevice(f"a generator of {generator.device} for {device} ({asking_line()})")

    def moved(self, func, name, tensor, rest, kwargs):
        here, target = self.places.of(tensor), None
        if name != "to":
            target, rest, kwargs = (CPU if name == "cpu" else GPU), [], {}
        waits = not kwargs.get("non_blocking", False)
        for position, value in enumerate(rest):
            if isinstance(value, torch.Tensor):  # of its device and type
                target, rest[position] = self.places.of(value), value.dtype
            elif isinstance(value, (str, torch.device)) or type(value) is int:
                target, rest[position] = device_named(value), CPU
        if kwargs.get("device") is not None:
            target, kwargs["device"] = device_named(kwargs["device"]), CPU
        with torch._C.DisableTorchFunction():
            out = torch.Tensor.to(tensor, *rest, **kwargs) if name == "to" else tensor
        if target is None or target == here:
            return out
        if here is not None and (waits or target == CPU or not self.places.is_pinned(tensor)):
            self.report.wait("copy to the host" if target == CPU else "copy to the GPU")
        return self.places.put(out.clone(), target)


def device_named(name) -> torch.device:
    """Return one of the two devices there are."""
    return GPU if torch.device(name).type == "cuda" else CPU


class PretendedGenerator(torch.Generator):
    """A generator of the CPU that says which device it was made for."""

    # Whether a GPU's generator draws other numbers than a CPU's, as it does in truth.
    draws_own_numbers = False

    def __new__(cls, device="cpu"):
        made = super().__new__(cls, "cpu")
        made.place = device_named(device)
        return made

    def __init__(self, device="cpu"):
        pass

    @property
    def device(self):
        return self.place

    def manual_seed(self, seed):
        super().manual_seed(seed ^ (self.draws_own_numbers and self.place == GPU))
        return self


class OwnGenerator(PretendedGenerator):
    draws_own_numbers = True


@contextlib.contextmanager
def pretended_gpu(own_numbers: bool = False) -> Iterator[Report]:
    """Pretend that there is a GPU until the context ends.

    ``own_numbers``: a generator on the GPU draws other numbers than one of that seed on the CPU.
    Without it, what is drawn there has the CPU's bytes too.
    """
    report, places = Report(), Places()
    operations = Operations(places, report)
    original = clip_grad._group_tensors_by_device_and_dtype

    def grouped(tensors, *more):  # C++ asks the memory itself
        found = original(tensors, *more)
        return {(places.of(v[0][0][0]), key[1]): v for key, v in found.items()}

    patches = {
        (together, "has_graphs"): lambda device: False,
        (clip_grad, "_group_tensors_by_device_and_dtype"): grouped,
        (torch, "Generator"): OwnGenerator if own_numbers else PretendedGenerator,
        (torch.cuda, "is_available"): lambda: True,
        (torch.cuda, "device_count"): lambda: 1,
        (torch.cuda, "current_device"): lambda: 0,
        (torch.cuda, "set_device"): lambda device: None,
        (torch.cuda, "get_device_name"): lambda device=None: "Pretended GPU",
        (torch.cuda, "mem_get_info"): lambda device=None: (2**36, PROPERTIES.total_memory),
        (torch.cuda, "memory_allocated"): lambda device=None: 0,
        (torch.cuda, "memory_reserved"): lambda device=None: 0,
        # So much that draws are computed one by one, as on a CPU.
        (torch.cuda, "max_memory_allocated"): lambda device=None: 2**40,
        (torch.cuda, "reset_peak_memory_stats"): lambda device=None: None,
        (torch.cuda, "get_device_properties"): lambda device=None: PROPERTIES,
        (torch.cuda, "get_device_capability"): lambda device=None: (9, 0),
        (torch.cuda, "get_rng_state_all"): lambda: [],
        (torch.cuda, "set_rng_state_all"): lambda states: None,
        (torch.cuda, "synchronize"): lambda device=None: report.wait("synchronize"),
        (lightning_cuda, "_check_cuda_matmul_precision"): lambda device: None,
        (lightning_cuda, "_clear_cuda_memory"): lambda: None,
    }
    before = {place: getattr(*place) for place in patches}
    try:
        for (owner, name), value in patches.items():
            setattr(owner, name, value)
        with operations, Calls(places, operations, report):
            yield report
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)
