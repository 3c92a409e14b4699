"""What every adapter gives, and what it is told by the user."""

from dataclasses import dataclass
from typing import Any

from bench.errors import InputError
from bench.records.provenance import package_version


@dataclass(frozen=True)
class Wanted:
    """The images that a model is scored on, and what the user says about it.

    Attributes:
        shape: Channels, height and width of an image.
        levels: Number L of values that a pixel takes.
        images: What ``log_prob`` takes, see ``GivenImages``; None where the model's own attribute
            ``images`` says it, or where nothing has to.
        likelihood: Name of a likelihood p(y|z); None where the model's own attribute says it.
    """

    shape: tuple[int, int, int]
    levels: int
    images: str | None = None
    likelihood: str | None = None

    def said(self, model: object, name: str) -> Any:
        """Return an option, or the attribute of the model with its name; None if neither is there.

        Raises:
            InputError: Both are there and differ.
        """
        option, attribute = getattr(self, name), getattr(model, name, None)
        if option is not None and attribute is not None and option != attribute:
            raise InputError(
                f"{name}: {option!r} on the command line, and {attribute!r} is an attribute of the "
                "model; leave one of them out"
            )
        return attribute if option is None else option


@dataclass(frozen=True)
class Adapted:
    """A model that answers ``terms``, made from somebody's own.

    Attributes:
        model: It has ``terms(y, noise, samples)``.
        adapter: Which adapter made it.
        counted: What its log-likelihood consists of, preprocessing included, a line each.
        said: The options that decide its numbers, {name: value}.
        libraries: {package that it is made with: version}.
    """

    model: Any
    adapter: str
    counted: tuple[str, ...]
    said: dict[str, str]
    libraries: dict[str, str]


def library_of(model: object) -> set[str]:
    """Return the top-level packages in which the classes of an object are defined."""
    return {kind.__module__.split(".")[0] for kind in type(model).__mro__}


def versions(*packages: str) -> dict[str, str]:
    """Return {package: version} of those that are installed as packages."""
    found = {name: package_version(name) for name in packages}
    return {name: version for name, version in found.items() if version is not None}
