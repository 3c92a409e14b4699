"""A user's Python file: imported, and the function or class in it called."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter, isclass, isroutine, signature
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.data.files import sha256
from bench.errors import InputError
from bench.networks.mlp import Shape
from bench.system.files import MIB, read_bytes

LONGEST_SOURCE = 16 * MIB


@dataclass(frozen=True)
class Source:
    """What makes a model.

    Attributes:
        label: How it is named: my_model.py:build.
        file: The file's name.
        name: The function's or the class's.
        make: The function or class itself; or the model, which is used as it is.
        folder: The folder of the file.
        sha256: Hash of the file.
        before: Modules that were imported before it.
        arguments: Further arguments, as a checkpoint of Lightning has them.
    """

    label: str
    file: str
    name: str
    make: Any
    folder: Path
    sha256: str
    before: frozenset[str]
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def is_called(self) -> bool:
        return isclass(self.make) or isroutine(self.make) or isinstance(self.make, partial)

    def takes(self, name: str) -> bool:
        """Tell whether the function has a parameter of this name."""
        return self.is_called and name in parameters_of(self.make)

    def of_task(self, shape: Shape, levels: int) -> dict[str, Any]:
        """Return the arguments that the task gives, of those that the function takes."""
        given = {"shape": tuple(shape), "levels": levels}
        return {name: value for name, value in given.items() if self.takes(name)}

    def build(self, shape: Shape, levels: int) -> Any:
        """Return a new model. Parameters named shape and levels get the task's.

        Raises:
            InputError: Another parameter has no default, or the function fails.
        """
        if not self.is_called:
            return self.make
        given = self.arguments | self.of_task(shape, levels)
        empty = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        for name, part in parameters_of(self.make).items():
            if part.default is Parameter.empty and part.kind not in empty and name not in given:
                raise InputError(
                    f"{self.label}: parameter {name} has no value; shape and levels are given, every "
                    "other one needs a default, or a value in the checkpoint's hyper_parameters"
                )
        with users_code(self.label, self.folder):
            return self.make(**given)

    def modules(self) -> dict[str, Path]:
        """Return {name: file} of the modules beside the file that it has imported."""
        found = {}
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if name in self.before or not path or "site-packages" in path or is_own(name):
                continue
            if self.folder in Path(path).parents and Path(path).is_file():
                found[name] = Path(path)
        return found

    def imported(self) -> dict[str, str]:
        """Return {file: SHA-256} of the modules beside the file that it has imported."""
        paths = {str(path.relative_to(self.folder)): path for path in self.modules().values()}
        paths.pop(self.file, None)
        return {name: sha256(paths[name].read_bytes()) for name in sorted(paths)}


def is_own(name: str) -> bool:
    return name.split(".")[0] == "bench"


def parameters_of(make: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the parameters of a function, or of a class's constructor, by name."""
    try:
        return dict(signature(make).parameters)
    except (TypeError, ValueError):  # a built-in without a signature
        return {}


def load_source(text: str) -> Source:
    """Import a file and return what it has under a name.

    The file's own folder is on the path meanwhile, as when Python runs the file.

    Args:
        text: FILE.py:NAME.

    Raises:
        InputError: There is no such file or name, or the file cannot be imported.
    """
    file, _, name = text.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise InputError(
            f"model: '{text}' is not FILE.py:NAME with the name of a function or class in the file"
        )
    path = Path(file).absolute()
    try:
        content = read_bytes(path, LONGEST_SOURCE)
    except OSError as error:
        raise InputError(f"model: {file} cannot be read: {error.strerror or error}") from None
    forget_modules()
    before = frozenset(sys.modules)
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    # Dataclasses and pickles look a class's module up by its name.
    sys.modules.setdefault(path.stem, module)
    with users_code(path.name, path.parent):
        exec(compile(content, str(path), "exec"), vars(module))
    if not hasattr(module, name):
        raise InputError(f"model: {file} has no {name}")
    label = f"{path.name}:{name}"
    made = getattr(module, name)
    _loaded.append(Source(label, path.name, name, made, path.parent, sha256(content), before))
    return _loaded[-1]


# The sources of this process. What one has imported is not there for the next.
_loaded: list[Source] = []


def forget_modules() -> None:
    """Forget what earlier sources imported beside them: another folder may have the same names."""
    while _loaded:
        for name in _loaded.pop().modules():
            sys.modules.pop(name, None)


@contextmanager
def users_code(label: str, folder: Path) -> Iterator[None]:
    """Run a user's code: their folder is on the path, and what they raise becomes one line.

    Raises:
        InputError: With the line of their file at which it happened.
    """
    sys.path.insert(0, str(folder))
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise InputError(f"{label}: ends the program ({error})") from None
    except BaseException as error:
        raise InputError(f"{label}: {where(error, folder)}") from None
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))


def where(error: BaseException, folder: Path) -> str:
    """Return what was raised, after the last line of the user's own files on the way to it."""
    words = f"{type(error).__name__}: {' '.join(str(error).split())}"
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if folder in Path(frame.filename).parents and "site-packages" not in frame.filename
    ]
    return f"line {own[-1].lineno} of {Path(own[-1].filename).name}: {words}" if own else words
