"""pythae's VAEs: an object, or the folder in which its trainer saved one."""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.adapters.adapted import Adapted, Wanted
from bench.adapters.encoder_decoder import adapt_encoder_decoder
from bench.densities.normal import DiagonalNormal, NormalMixture, uniform_mixture
from bench.errors import InputError
from bench.noise import Noise

# Its models with a normal q(z|x) of diagonal covariance and a standard normal prior.
PLAIN = (
    "VAE", "BetaVAE", "DisentangledBetaVAE", "FactorVAE", "BetaTCVAE", "InfoVAE_MMD", "IWAE", "MIWAE",
    "PIWAE", "CIWAE",
)  # fmt: skip
# Its VAE with the prior of Tomczak & Welling 2018, a uniform mixture of q(z|u) of learned u.
MIXTURE = "VAMP"
CONFIG = "model_config.json"
# The files of a saved model; the last two are there where networks are the user's own.
FILES = ("model.pt", CONFIG, "encoder.pkl", "decoder.pkl")


class PythaeParts(nn.Module):
    """The encoder and the decoder of a VAE of pythae.

    Args:
        model: The VAE.
        to_logits: Whether its outputs are probabilities of pixels, from which logits are made.
    """

    flat = False

    def __init__(self, model: Any, to_logits: bool):
        super().__init__()
        self.model, self.to_logits = model, to_logits
        self.prior = PseudoInputs(self) if hasattr(model, "pseudo_inputs") else None

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z|x) for images in [0, 1]."""
        output = self.model.encoder(x)
        return output.embedding, output.log_covariance

    def decode(self, z: Tensor) -> Tensor:
        """Return the reconstruction, or the logits of its probabilities."""
        image: Tensor = self.model.decoder(z).reconstruction
        return torch.logit(image, 1e-6) if self.to_logits else image


class PseudoInputs:
    """The prior of pythae's VAMP: 1/C Σ_c q(z|u_c), where u_c are its C pseudo-inputs.

    Args:
        parts: The encoder and the pseudo-inputs' network.
    """

    def __init__(self, parts: PythaeParts):
        self.parts = (parts,)  # in a tuple, so that it is no submodule of its own parts

    @property
    def mixture(self) -> NormalMixture:
        """The mixture, by the weights that the model has now."""
        (parts,) = self.parts
        model = parts.model
        device = next(model.parameters()).device
        inputs = model.pseudo_inputs(model.idle_input.to(device))
        loc, log_variance = parts.encode(inputs.view(-1, *model.model_config.input_dim))
        return uniform_mixture(DiagonalNormal(loc, 0.5 * log_variance))

    def log_prob(self, z: Tensor) -> Tensor:
        """Return log-densities in nats of z (..., batch, latent), shape (..., batch)."""
        return self.mixture.log_prob(z)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw (n, latent)."""
        return self.mixture.sample(n, noise)


def is_saved(folder: Path) -> bool:
    """Tell whether a folder is one in which pythae saved a model."""
    return folder.is_dir() and (folder / CONFIG).is_file()


def load_saved(folder: Path) -> Any:
    """Read a saved model; its pickled networks run code, as pythae reads them.

    Raises:
        InputError: pythae is not installed, or cannot read the folder.
    """
    try:
        auto = import_module("pythae.models").AutoModel
    except ImportError as error:
        raise InputError(f"pythae, which {folder} needs, cannot be imported ({error})") from None
    try:
        return auto.load_from_folder(str(folder))
    except Exception as error:  # it raises whatever its pickles and networks raise
        raise InputError(f"model: pythae cannot read {folder}: {error}") from None


def adapt_pythae(model: Any, wanted: Wanted) -> Adapted:
    """Return the VAE of a model of pythae.

    Raises:
        InputError: Its prior or its posterior is another one; or it was trained by squared error,
            which leaves σ open, and nobody said which likelihood.
    """
    name = getattr(model, "model_name", type(model).__name__)
    if name not in (*PLAIN, MIXTURE):
        raise InputError(
            f"model: pythae's {name} has a prior or a posterior of its own; a standard normal and a "
            f"diagonal normal are read from {', '.join(PLAIN)}, and pseudo-inputs from {MIXTURE}; for "
            "another give terms()"
        )
    loss = getattr(model.model_config, "reconstruction_loss", None)
    said = wanted.said(model, "likelihood")
    if said is None and loss != "bce":
        raise InputError(
            f"likelihood: pythae trained it with reconstruction_loss='{loss}'; its 'mse' is that of "
            "Gaussian:1, and σ fits best with Gaussian:optimal: give --likelihood one of them"
        )
    said = "Bernoulli" if said is None else said
    parts = PythaeParts(model, to_logits=said == "Bernoulli")
    return adapt_encoder_decoder(parts, wanted, "pythae", said, ("pythae",))
