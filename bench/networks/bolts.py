"""lightning-bolts 0.7.0's ResNet-18, and the adapter that makes lightning-bolts importable.

Nothing else depends on lightning-bolts: importing this module does not import it, and where it is
not installed only building a `BoltsResNet18` fails.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from math import isqrt, prod
from types import ModuleType

from torch import Tensor, nn

from bench.errors import InputError
from bench.networks.mlp import Network, Shape

INSTALL = "pip install --no-deps lightning-bolts==0.7.0"
# The module that lightning-bolts wants and Lightning 2 no longer has.
APPLY_FUNC = "pytorch_lightning.utilities.apply_func"


def bolts_module(name: str) -> ModuleType:
    """Import ``pl_bolts.<name>`` on a Lightning that lightning-bolts 0.7.0 was not made for.

    `pl_bolts` and `pl_bolts.callbacks` become packages whose own code is not run: it would import
    everything they hold, and torchvision with it. What is imported stays imported, as usual; after
    a failure, nothing does.

    Raises:
        InputError: lightning-bolts is not installed, or is of another, unsuitable version.
    """
    present = set(sys.modules)
    try:
        with unchanged_lightning(), without_review_warnings():
            if sys.modules.get("pl_bolts") is None:
                package = add_bare_package("pl_bolts")
                # Where pretrained weights were to be had; its VAE imports the name.
                package._HTTPS_AWS_HUB = ""
                package.callbacks = add_bare_package("pl_bolts.callbacks")
            # First, because it and the verification callbacks import each other.
            import_module("pl_bolts.utils")
            return import_module(f"pl_bolts.{name}")
    except (ImportError, AttributeError) as error:
        for added in set(sys.modules) - present:
            if added.split(".")[0] == "pl_bolts":
                del sys.modules[added]
        raise InputError(
            f"lightning-bolts, which this model is made of, cannot be used ({error}): {INSTALL}"
        ) from None


def add_bare_package(name: str) -> ModuleType:
    """Put a package into ``sys.modules`` whose submodules can be imported, without running it."""
    spec = find_spec(name)
    if spec is None:
        raise ImportError("it is not installed")
    sys.modules[name] = module_from_spec(spec)
    return sys.modules[name]


@contextmanager
def unchanged_lightning() -> Iterator[None]:
    """Give Lightning the module that it lacks for as long as the context lasts."""
    if find_spec(APPLY_FUNC) is not None:
        yield
        return
    from lightning_utilities.core.apply_func import apply_to_collection

    stand_in = ModuleType(APPLY_FUNC)
    stand_in.apply_to_collection = apply_to_collection
    sys.modules[APPLY_FUNC] = stand_in
    try:
        yield
    finally:
        del sys.modules[APPLY_FUNC]


@contextmanager
def without_review_warnings() -> Iterator[None]:
    """Silence the "under review" that each of lightning-bolts' constructors warns of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*marked under review")
        yield


class BoltsResNet18(Network):
    """lightning-bolts' ResNet-18 for small images of 3 channels: an encoder, or a decoder.

    From (3, H, W) to (n,) it is `resnet18_encoder` and a linear map of its 512 features. From
    (latent,) to (p, 3·H·H), for an H that is a multiple of 8, it is `resnet18_decoder`; where a
    likelihood takes p > 1 numbers per pixel and channel, its last convolution puts out 3p channels
    in place of 3, and nothing else changes. No pooling, and a first convolution of 3 × 3, as is
    lightning-bolts' default.

    Its batch normalization makes what a datum yields depend on the rest of its batch in training
    mode. In evaluation mode it does not, and every number that is reported is taken in that mode.
    """

    def __init__(self, inputs: Shape, outputs: Shape):
        super().__init__(inputs, outputs)
        if len(inputs) == 3:
            self.layers = resnet18_encoder(inputs, prod(outputs))
        elif len(inputs) == 1 and len(outputs) == 2:
            self.layers = resnet18_decoder(inputs[0], *outputs)
        else:
            raise InputError(
                "BoltsResNet18 maps an image to a vector or a vector to an image, "
                f"not {inputs} to {outputs}"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., prod(inputs)) to (..., prod(outputs)); all leading dimensions are one batch."""
        return self.layers(x.flatten(0, -2)).unflatten(0, x.shape[:-1])


def resnet18_encoder(shape: Shape, outputs: int) -> nn.Sequential:
    """Return a map of images (n, D) to (n, outputs)."""
    if shape[0] != 3:
        raise InputError(f"BoltsResNet18 takes images of 3 channels, not of {shape[0]}")
    components = bolts_module("models.autoencoders.components")
    with without_review_warnings():
        encoder = components.resnet18_encoder(first_conv=False, maxpool1=False)
    # A pooling over 1 × 1 pixels, which does nothing but take time.
    encoder.maxpool = nn.Identity()
    return nn.Sequential(nn.Unflatten(1, shape), encoder, nn.Linear(512, outputs))


def resnet18_decoder(latent: int, per_dimension: int, dimensions: int) -> nn.Sequential:
    """Return a map of vectors (n, latent) to (n, per_dimension · dimensions)."""
    height = isqrt(dimensions // 3)
    if 3 * height**2 != dimensions or height % 8:
        raise InputError(
            "BoltsResNet18 puts out square images of 3 channels and a height that is a multiple "
            f"of 8; {dimensions} numbers are no such image"
        )
    components = bolts_module("models.autoencoders.components")
    with without_review_warnings():
        decoder = components.resnet18_decoder(latent, height, first_conv=False, maxpool1=False)
    if per_dimension > 1:
        channels = 3 * per_dimension
        decoder.conv1 = nn.Conv2d(64, channels, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(decoder, nn.Flatten(1))
