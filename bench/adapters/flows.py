"""Flows of zuko, nflows and normflows, and any other object with ``log_prob``."""

from math import prod
from typing import Any

from bench.adapters.adapted import Adapted, Wanted, versions
from bench.adapters.density import LogProb, density_model, images_said


def adapt_log_prob(
    model: Any, log_prob: LogProb, adapter: str, wanted: Wanted, *packages: str
) -> Adapted:
    """Return the model of a ``log_prob`` of images, with its preprocessing counted once.

    Args:
        model: What it belongs to, and what may have the attributes ``images`` and ``flat``.
        log_prob: Maps images to (n,), in nats.
        adapter: Name of the adapter.
        wanted: The images, and what the user says.
        packages: The packages that the model is made with.

    Raises:
        InputError: Nobody said what it takes, or it fails on images of this shape.
    """
    images = images_said(model, wanted)
    density = density_model(model, log_prob, wanted, images)
    takes = "(n, D)" if density.flat else f"(n, {', '.join(map(str, wanted.shape))})"
    return Adapted(
        density,
        adapter,
        (f"log_prob takes {takes}", *images.counted(prod(wanted.shape), wanted.levels)),
        {"images": str(wanted.said(model, "images"))},
        versions(*packages),
    )
