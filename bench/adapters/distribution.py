"""A distribution of ``torch.distributions`` over images."""

from math import prod

from torch.distributions import Distribution

from bench.adapters.adapted import Adapted, Wanted
from bench.adapters.density import DensityModel, images_said
from bench.adapters.given_images import GivenImages
from bench.errors import InputError


def flat_of(distribution: Distribution, wanted: Wanted) -> bool:
    """Tell whether a distribution is over vectors (D,); else it is over images.

    Raises:
        InputError: It is over neither.
    """
    event, D = tuple(distribution.event_shape), prod(wanted.shape)
    if event not in ((D,), tuple(wanted.shape)) or tuple(distribution.batch_shape):
        raise InputError(
            f"model: a distribution over {event} with batch shape "
            f"{tuple(distribution.batch_shape)}; one over ({D},) or {tuple(wanted.shape)} without a "
            "batch is needed (torch.distributions.Independent makes dimensions one event)"
        )
    return event == (D,)


def adapt_distribution(distribution: Distribution, wanted: Wanted) -> Adapted:
    """Return the model of a distribution. One over integers says so by its support.

    Raises:
        InputError: It is over other shapes; or it is continuous, and nobody said of what.
    """
    flat = flat_of(distribution, wanted)
    is_discrete = bool(getattr(distribution.support, "is_discrete", False))
    if is_discrete and wanted.said(distribution, "images") in (None, "discrete"):
        images = GivenImages("discrete")
    else:
        images = images_said(distribution, wanted)
    if is_discrete != (images.kind == "discrete"):
        raise InputError(
            f"images: {type(distribution).__name__} is over "
            f"{'integers' if is_discrete else 'real numbers'}, and --images says otherwise"
        )
    if wanted.levels > 2 and type(distribution_base(distribution)).__name__ == "Bernoulli":
        raise InputError(
            f"model: Bernoulli is a distribution over 2 levels, not {wanted.levels}; take a "
            "binarized task or another distribution"
        )
    model = DensityModel(
        distribution, distribution.log_prob, wanted.shape, wanted.levels, images, flat
    )
    return Adapted(
        model,
        "torch.distributions",
        images.counted(prod(wanted.shape), wanted.levels),
        {"images": str(wanted.said(distribution, "images") or "discrete")},
        {},
    )


def distribution_base(distribution: Distribution) -> object:
    """Return the distribution inside ``Independent``, however often it is wrapped."""
    base: object = distribution
    while hasattr(base, "base_dist"):
        base = base.base_dist
    return base
