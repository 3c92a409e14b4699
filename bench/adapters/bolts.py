"""lightning-bolts' VAE and those of its shape: encoder, fc_mu, fc_var, decoder."""

from typing import Any

from torch import Tensor, nn

from bench.adapters.adapted import Adapted, Wanted
from bench.adapters.encoder_decoder import KNOWN, adapt_encoder_decoder
from bench.errors import InputError

PARTS = ("encoder", "fc_mu", "fc_var", "decoder")


class BoltsParts(nn.Module):
    """The encoder and the decoder of a ``pl_bolts.models.autoencoders.VAE``.

    Args:
        model: The VAE.
    """

    flat = False

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|y) for images in [0, 1]."""
        h = self.model.encoder(x)
        return self.model.fc_mu(h), self.model.fc_var(h)

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean image, as its squared error has it."""
        return self.model.decoder(z)


def adapt_bolts(model: Any, wanted: Wanted) -> Adapted:
    """Return the VAE. It is trained by squared error, which leaves σ open.

    Raises:
        InputError: Nobody said which likelihood, or it takes other images.
    """
    said = wanted.said(model, "likelihood")
    if said is None:
        raise InputError(
            "likelihood: lightning-bolts' VAE is trained by a mean squared error and a weighted KL, "
            f"which is no likelihood; say which one its outputs are for, best Gaussian:optimal: {KNOWN}"
        )
    return adapt_encoder_decoder(
        BoltsParts(model), wanted, "lightning-bolts", said, ("lightning-bolts",)
    )
