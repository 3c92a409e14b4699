"""A CUDA graph on a machine without a GPU: records the operations of a capture, and replays them.

As on a GPU, a capture computes nothing, a replay repeats what was recorded on the same memory, and
what Python did between the operations is not repeated: a number that it read on the host keeps its
first value. Generators that were not registered and reads by the host raise, as CUDA does.
"""

from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.pretended_gpu import READS


def tensors_in(*trees):
    return [leaf for leaf in tree_leaves(trees) if isinstance(leaf, torch.Tensor)]


def memory_of(tensor):
    return tensor.untyped_storage().data_ptr()


class RecordedGraph:
    """Stands in for `torch.cuda.CUDAGraph`."""

    captures = replays = 0

    def __init__(self):
        self.generators, self.operations = [], []

    def register_generator_state(self, generator):
        self.generators.append(generator)

    def replay(self):
        RecordedGraph.replays += 1
        # What sees calls from Python saw them in the capture.
        with torch.no_grad(), torch._C.DisableTorchFunction():
            for function, args, kwargs, made in self.operations:
                again = tensors_in(function(*args, **kwargs))
                for tensor, value in zip(made, again):
                    if memory_of(tensor) != memory_of(value):
                        tensor.copy_(value)


class Recording(TorchDispatchMode):
    def __init__(self, graph):
        super().__init__()
        self.graph, self.made, self.before = graph, {}, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function._schema.name.removeprefix("aten::")
        if name in READS:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        generator = kwargs.get("generator")
        # Every operation gets a new Python object of the same generator.
        registered = {one._cdata for one in self.graph.generators}
        if generator is not None and generator._cdata not in registered:
            raise RuntimeError("a generator that is not registered with the graph")
        if generator is None and torch.Tag.nondeterministic_seeded in function.tags:
            raise RuntimeError(f"{name} draws from the global generator")
        for argument, value in zip(function._schema.arguments, args):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tensors_in(value):
                    self.remember(tensor)
        for argument, value in kwargs.items():
            if argument == "out":
                self.remember(value)
        result = function(*args, **kwargs)
        made = tensors_in(result)
        known = {memory_of(tensor) for tensor in tensors_in(args, kwargs)}
        self.made |= {
            memory_of(tensor): tensor for tensor in made if memory_of(tensor) not in known
        }
        self.graph.operations.append((function, args, kwargs, made))
        return result

    def remember(self, tensor):
        """Keep what memory held before the capture, unless it was made in it."""
        memory = memory_of(tensor)
        if memory not in self.made and memory not in self.before:
            self.before[memory] = tensor.untyped_storage(), tensor.untyped_storage().clone()


@contextmanager
def capture(graph, stream):
    """Stands in for `torch.cuda.graph`.

    As on a GPU, a capture that fails leaves its stream current and its generators unusable: here
    they draw other numbers.
    """
    RecordedGraph.captures += 1
    states = [generator.get_state() for generator in graph.generators]
    recording = Recording(graph)
    before, Stream.current = Stream.current, stream
    try:
        with recording:
            yield
    except BaseException:
        for generator in graph.generators:
            generator.manual_seed(0)
        raise
    finally:
        for storage, content in recording.before.values():
            storage.copy_(content)
    Stream.current = before
    for generator, state in zip(graph.generators, states):
        generator.set_state(state)


class Stream:
    """Stands in for `torch.cuda.Stream`."""

    current: "Stream | None" = None
    device = None

    def __init__(self, device=None):
        pass

    def wait_stream(self, other):
        pass


def set_stream(stream):
    Stream.current = stream


@contextmanager
def on(stream):
    before, Stream.current = Stream.current, stream
    yield
    Stream.current = before


@contextmanager
def recorded_graphs():
    """Let trainings on the CPU be captured, as on a GPU, into graphs of this kind."""
    RecordedGraph.captures = RecordedGraph.replays = 0
    Stream.current = default = Stream()
    replaced = {
        "CUDAGraph": RecordedGraph,
        "graph": capture,
        "Stream": Stream,
        "current_stream": lambda device=None: Stream.current,
        "set_stream": set_stream,
        "stream": on,
    }
    with (
        patch.multiple(torch.cuda, **replaced),
        patch("bench.training.together.has_graphs", lambda device: True),
    ):
        yield
    assert Stream.current is default
