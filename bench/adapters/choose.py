"""Which adapter makes a model of somebody's object."""

from typing import Any

from torch.distributions import Distribution

from bench.adapters.adapted import Adapted, Wanted, library_of
from bench.adapters.bolts import PARTS, adapt_bolts
from bench.adapters.distribution import adapt_distribution
from bench.adapters.encoder_decoder import adapt_encoder_decoder
from bench.adapters.flows import adapt_log_prob
from bench.adapters.nflows import adapt_nflows
from bench.adapters.normflows import adapt_normflows
from bench.adapters.pythae import adapt_pythae
from bench.adapters.zuko import adapt_zuko
from bench.errors import InputError
from bench.models.terms import Model


def adapt(model: Any, wanted: Wanted) -> Adapted:
    """Return a model that answers ``terms``, by the first of these that the object has.

    ``terms``; a class of zuko, nflows, normflows, pythae or lightning-bolts; a distribution of
    PyTorch; ``encode`` and ``decode`` with a likelihood; ``log_prob``.

    Raises:
        InputError: It has none of them, what it has does not fit images of this shape, or an option
            says what it has no use for.
    """
    adapted = adapted_by_kind(model, wanted)
    for name in ("images", "likelihood"):
        if getattr(wanted, name) is not None and name not in adapted.said:
            raise InputError(
                f"{name}: a model by {adapted.adapter} takes none; leave the option out"
            )
    return adapted


def adapted_by_kind(model: Any, wanted: Wanted) -> Adapted:
    """Return the model that ``adapt`` gives, whether or not it uses what the user says."""
    has = lambda *names: all(callable(getattr(model, name, None)) for name in names)
    libraries = library_of(model)
    if has("terms"):
        return with_terms(model)
    if isinstance(getattr(model, "model", None), Model):  # a module of bench that trains it
        return with_terms(model.model)
    if isinstance(model, Distribution):
        return adapt_distribution(model, wanted)
    if "pythae" in libraries:
        return adapt_pythae(model, wanted)
    if "pl_bolts" in libraries and has(*PARTS):
        return adapt_bolts(model, wanted)
    for library, adapter in (
        ("zuko", adapt_zuko), ("nflows", adapt_nflows), ("normflows", adapt_normflows),
    ):  # fmt: skip
        if library in libraries:
            return adapter(model, wanted)
    says_images = wanted.said(model, "images") is not None
    if has("encode", "decode") and not (has("log_prob") and says_images):
        return adapt_encoder_decoder(model, wanted)
    if has("log_prob"):
        return adapt_log_prob(model, model.log_prob, "log_prob", wanted)
    raise InputError(
        f"model: {type(model).__name__} has none of log_prob, encode and decode, or terms"
    )


def with_terms(model: Any) -> Adapted:
    """Return a model that answers ``terms`` already."""
    return Adapted(model, "terms", ("terms() as it is, nothing is added",), {}, {})
