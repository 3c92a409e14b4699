"""lightning-bolts 0.7.0's ResNet-18, and the adapter that makes lightning-bolts importable.

No other module imports lightning-bolts. Importing this module does not import it either: if it is
not installed, only building a `BoltsResNet18` fails.
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
# The module that lightning-bolts imports and Lightning 2 has removed.
APPLY_FUNC = "pytorch_lightning.utilities.apply_func"


def bolts_module(name: str) -> ModuleType:
    """Import ``pl_bolts.<name>`` with a Lightning version that lightning-bolts does not support.

    The ``__init__`` of `pl_bolts` and of `pl_bolts.callbacks` is not executed: it would import all
    their modules, and torchvision. The imported modules stay in ``sys.modules``; after a failure
    none of lightning-bolts' modules do.

    Raises:
        InputError: lightning-bolts is not installed, or its version is unsuitable.
    """
    present = set(sys.modules)
    try:
        with unchanged_lightning(), without_review_warnings():
            if sys.modules.get("pl_bolts") is None:
                package = add_bare_package("pl_bolts")
                # Its VAE imports the first name, which was the address of pretrained weights.
                vars(package)["_HTTPS_AWS_HUB"] = ""
                vars(package)["callbacks"] = add_bare_package("pl_bolts.callbacks")
            # First, because this module and the verification callbacks import each other.
            import_module("pl_bolts.utils")
            return import_module(f"pl_bolts.{name}")
    except (ImportError, AttributeError) as error:
        for added in set(sys.modules) - present:
            if added.split(".")[0] == "pl_bolts":
                del sys.modules[added]
        raise InputError(
            f"lightning-bolts, which this model needs, cannot be imported ({error}): {INSTALL}"
        ) from None


def add_bare_package(name: str) -> ModuleType:
    """Add a package to ``sys.modules`` without executing it; its submodules can be imported."""
    spec = find_spec(name)
    if spec is None:
        raise ImportError("it is not installed")
    sys.modules[name] = module_from_spec(spec)
    return sys.modules[name]


@contextmanager
def unchanged_lightning() -> Iterator[None]:
    """Add the removed module to Lightning for the duration of the context."""
    if find_spec(APPLY_FUNC) is not None:
        yield
        return
    from lightning_utilities.core.apply_func import apply_to_collection

    replacement = ModuleType(APPLY_FUNC)
    vars(replacement)["apply_to_collection"] = apply_to_collection
    sys.modules[APPLY_FUNC] = replacement
    try:
        yield
    finally:
        del sys.modules[APPLY_FUNC]


@contextmanager
def without_review_warnings() -> Iterator[None]:
    """Silence the warning "under review" of lightning-bolts' constructors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*marked under review")
        yield


class BoltsResNet18(Network):
    """lightning-bolts' ResNet-18 for small images of 3 channels: an encoder or a decoder.

    From (3, H, W) to (n,) it is `resnet18_encoder` and a linear map of its 512 features. From
    (latent,) to (p, 3·H·H), where H is a multiple of 8, it is `resnet18_decoder`. If a likelihood
    needs p > 1 numbers per pixel and channel, the last convolution has 3p output channels instead
    of 3. There is no pooling, and the first convolution is 3 × 3: lightning-bolts' defaults.

    In training mode, batch normalization makes each datum's output depend on the rest of its batch.
    All reported numbers are computed in evaluation mode, where it does not.
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
    # It pools over 1 × 1 pixels: the identity, but slower.
    encoder.maxpool = nn.Identity()
    return nn.Sequential(nn.Unflatten(1, shape), encoder, nn.Linear(512, outputs))


def resnet18_decoder(latent: int, per_dimension: int, dimensions: int) -> nn.Sequential:
    """Return a map of vectors (n, latent) to (n, per_dimension · dimensions)."""
    height = isqrt(dimensions // 3)
    if 3 * height**2 != dimensions or height % 8:
        raise InputError(
            "BoltsResNet18 outputs square images of 3 channels whose height is a multiple of 8; "
            f"{dimensions} numbers are not such an image"
        )
    components = bolts_module("models.autoencoders.components")
    with without_review_warnings():
        decoder = components.resnet18_decoder(latent, height, first_conv=False, maxpool1=False)
    if per_dimension > 1:
        channels = 3 * per_dimension
        decoder.conv1 = nn.Conv2d(64, channels, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(decoder, nn.Flatten(1))
