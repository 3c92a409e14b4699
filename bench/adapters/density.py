"""A model that has ``log_prob`` alone: a flow, an autoregressive model, a distribution."""

from collections.abc import Callable
from math import log, prod

import torch
from torch import Tensor, nn

from bench.adapters.adapted import Wanted
from bench.adapters.given_images import KINDS, GivenImages
from bench.densities.dequantization import dequantize_uniformly
from bench.errors import InputError
from bench.library.external import check_images, evaluation_mode, made_up_images
from bench.models.terms import Terms
from bench.networks.mlp import Shape
from bench.noise import Noise
from bench.settings import Bound

LogProb = Callable[[Tensor], Tensor]
# Made-up images on which it is found out whether a model takes vectors or images.
TRIED = 2


class DensityModel(nn.Module):
    """Somebody's ``log_prob`` as a model of the discrete image.

    Args:
        owner: What ``log_prob`` belongs to; if it is a module, it moves to devices with this one.
        log_prob: Maps (n, D), or (n, channels, height, width), to (n,) in nats.
        shape: Channels, height and width of an image.
        levels: L.
        images: What ``log_prob`` takes.
        flat: Whether it takes (n, D).
    """

    def __init__(
        self,
        owner: object,
        log_prob: LogProb,
        shape: Shape,
        levels: int,
        images: GivenImages,
        flat: bool,
    ):
        super().__init__()
        self.owner = owner if isinstance(owner, nn.Module) else None
        self.log_prob, self.images, self.flat = log_prob, images, flat
        self.shape, self.levels = tuple(shape), levels
        self.bound: Bound = "exact" if images.kind == "discrete" else "upper"

    def terms(self, y: Tensor, noise: Noise, samples: int = 1) -> Terms:
        """Return log P(y) as the reconstruction, or its bound by uniform dequantization."""
        if self.images.kind == "discrete":
            return Terms(self.of_rows(y.float()).expand(samples, -1))
        x = dequantize_uniformly(y, self.levels, samples, noise)
        given, derivative = self.images.of(x)
        density = self.of_rows(given.flatten(0, 1)).unflatten(0, (samples, len(y)))
        return Terms(density + derivative - y.shape[1] * log(self.levels))

    def of_rows(self, rows: Tensor) -> Tensor:
        """Return ``log_prob`` of rows (n, D), shape (n,). Raises InputError if it has another one."""
        values = self.log_prob(rows if self.flat else rows.unflatten(-1, self.shape))
        if not isinstance(values, Tensor) or tuple(values.shape) != (len(rows),):
            raise InputError(wrong_values(values, len(rows)))
        return values


def wrong_values(values: object, n: int) -> str:
    """Return in words what is wrong with what ``log_prob`` returned for n images."""
    if not isinstance(values, Tensor):
        return f"log_prob: returned {type(values).__name__} and not a tensor of ({n},)"
    shape = tuple(values.shape)
    if shape == ():
        return (
            f"log_prob: one number for {n} images, a mean or sum over them; one for each is needed"
        )
    if shape and shape[0] == n:
        return (
            f"log_prob: shape {shape} for {n} images, a number for each pixel; their sum is needed, "
            "(batch,) (of a distribution: torch.distributions.Independent)"
        )
    return f"log_prob: shape {shape} for {n} images; ({n},) is needed"


def images_said(model: object, wanted: Wanted) -> GivenImages:
    """Return what ``log_prob`` takes. Raises InputError if nobody said so: a guess may be wrong."""
    said = wanted.said(model, "images")
    if said is None:
        raise InputError(
            f"images: what does log_prob of {type(model).__name__} take? Give --images, or the model "
            f"an attribute images: {KINDS}"
        )
    return GivenImages.parse(said)


def density_model(
    owner: object, log_prob: LogProb, wanted: Wanted, images: GivenImages
) -> DensityModel:
    """Return the model of a ``log_prob``; it takes vectors (n, D) or images, as can be found out.

    Raises:
        InputError: It fails on both, or returns another shape than (n,).
    """
    check_images(wanted.shape, wanted.levels)
    said = getattr(owner, "flat", None)
    errors = []
    for flat in (True, False) if said is None else (bool(said),):
        model = DensityModel(owner, log_prob, wanted.shape, wanted.levels, images, flat)
        try:
            with torch.no_grad(), evaluation_mode(model):
                y = made_up_images(TRIED, wanted.shape, wanted.levels, model).to(torch.uint8)
                model.terms(y, Noise("tried", device=y.device), 1)
            return model
        except InputError as error:
            errors.append((flat, str(error)))
        except Exception as error:  # somebody's own code may raise anything
            errors.append((flat, f"{type(error).__name__}: {error}"))
    D = prod(wanted.shape)
    shown = "; ".join(
        f"for {(TRIED, D) if flat else (TRIED, *wanted.shape)}: {words}" for flat, words in errors
    )
    raise InputError(f"log_prob fails {shown}")
