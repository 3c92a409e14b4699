"""The benchmark's models as LightningModules, each with all that it is made of in its checkpoint."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from bench.configuration.models import make_model, model_settings
from bench.networks.mlp import Activation, Shape
from bench.settings import Optimization
from bench.training.module import GenerativeModel


class NamedModel(GenerativeModel):
    """Any model of the benchmark, by its name or by its settings.

    ``load_from_checkpoint`` needs nothing but the checkpoint.

    Args:
        model: The name of a file of configs/model/, a path to one, or what such a file holds.
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        optimization: What is maximized, and by which steps.
        seed: Initialisation and all noise derive from it.

    Raises:
        InputError: No such model, or settings that it does not have.

    Examples:
        >>> NamedModel("realnvp", (1, 8, 8), 17).hparams["model"]["class_path"]
        'RealNVP'
    """

    def __init__(
        self,
        model: str | dict[str, Any],
        shape: Shape,
        levels: int,
        optimization: Optimization = Optimization(),
        seed: int = 1,
    ):
        if isinstance(optimization, Mapping):  # as a checkpoint holds it
            optimization = Optimization(**optimization)
        settings = model_settings(model)
        super().__init__(make_model(settings, shape, levels, seed), optimization, seed)
        # Lightning takes the arguments of a subclass, from which this one's follow, where there is one.
        self.save_hyperparameters(ignore=["optimization", "model", "shape"])
        own = {"model": settings} if type(self) is NamedModel else {}
        shown = {"optimization": asdict(optimization), "shape": list(shape)}
        self.save_hyperparameters(own | shown)


def vae(
    latent_dimensions: int,
    widths: list[int],
    activation: Activation,
    decoder: dict[str, Any],
    prior: dict[str, Any],
) -> dict[str, Any]:
    """Return the settings of a VAE with fully connected networks."""
    network = {"class_path": "MLP", "init_args": {"widths": widths, "activation": activation}}
    return {
        "class_path": "VAE",
        "init_args": {
            "latent_dimensions": latent_dimensions,
            "encoder": network,
            "decoder_network": network,
            "decoder": decoder,
            "prior": prior,
        },
    }


class GaussianVAE(NamedModel):
    """The VAE with a Gaussian likelihood of dequantized pixels (Kingma & Welling 2014, appendix C.2).

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        latent_dimensions: Number of dimensions of z.
        widths: Hidden units of each layer of the encoder and of the decoder.
        activation: The nonlinearity behind each hidden layer.
        sigma: The standard deviation in units of (y + u) / L: a number, or shared, pixel, decoder or
            optimal, see ``bench.densities.Gaussian``.
        optimization: What is maximized, and by which steps.
        seed: Initialisation and all noise derive from it.

    Examples:
        >>> module = GaussianVAE((1, 8, 8), 17, latent_dimensions=2)
        >>> module.hparams["latent_dimensions"]
        2
    """

    # Each parameter is a hyperparameter that Lightning saves and its command line offers.
    def __init__(
        self,
        shape: Shape,
        levels: int,
        latent_dimensions: int = 10,
        widths: list[int] = [256, 256],
        activation: Activation = "silu",
        sigma: Literal["shared", "pixel", "decoder", "optimal"] | float = "decoder",
        optimization: Optimization = Optimization(),
        seed: int = 1,
    ):
        decoder = {"class_path": "Gaussian", "init_args": {"sigma": sigma}}
        prior = {"class_path": "StandardNormal"}
        settings = vae(latent_dimensions, widths, activation, decoder, prior)
        super().__init__(settings, shape, levels, optimization, seed)


class BernoulliVAE(NamedModel):
    """The VAE with a Bernoulli likelihood of binary pixels (Kingma & Welling 2014, appendix C.1).

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes: 2.
        latent_dimensions: Number of dimensions of z.
        widths: Hidden units of each layer of the encoder and of the decoder.
        activation: The nonlinearity behind each hidden layer.
        optimization: What is maximized, and by which steps.
        seed: Initialisation and all noise derive from it.
    """

    # Each parameter is a hyperparameter that Lightning saves and its command line offers.
    def __init__(
        self,
        shape: Shape,
        levels: int = 2,
        latent_dimensions: int = 10,
        widths: list[int] = [256, 256],
        activation: Activation = "silu",
        optimization: Optimization = Optimization(),
        seed: int = 1,
    ):
        decoder, prior = {"class_path": "Bernoulli"}, {"class_path": "StandardNormal"}
        settings = vae(latent_dimensions, widths, activation, decoder, prior)
        super().__init__(settings, shape, levels, optimization, seed)


class AggregatePosteriorVAE(NamedModel):
    """The VAE whose prior is the aggregated posterior of the training split, trained through.

    Its prior is 1/n Σ_j q(z|x_j) (Hoffman & Johnson 2016, section 3), of which a training step takes
    some components and leaves out each datum's own. The likelihood is the Bernoulli one of binary
    pixels, and else the Gaussian one of ``GaussianVAE``.

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        latent_dimensions: Number of dimensions of z.
        widths: Hidden units of each layer of the encoder and of the decoder.
        activation: The nonlinearity behind each hidden layer.
        exemplars: Components of the prior in a training step.
        optimization: What is maximized, and by which steps.
        seed: Initialisation and all noise derive from it.
    """

    # Each parameter is a hyperparameter that Lightning saves and its command line offers.
    def __init__(
        self,
        shape: Shape,
        levels: int,
        latent_dimensions: int = 10,
        widths: list[int] = [256, 256],
        activation: Activation = "silu",
        exemplars: int = 500,
        optimization: Optimization = Optimization(),
        seed: int = 1,
    ):
        decoder: dict[str, Any] = {"class_path": "Gaussian", "init_args": {"sigma": "decoder"}}
        if levels == 2:
            decoder = {"class_path": "Bernoulli"}
        prior = {"class_path": "Aggregate", "init_args": {"exemplars": exemplars}}
        settings = vae(latent_dimensions, widths, activation, decoder, prior)
        super().__init__(settings, shape, levels, optimization, seed)


class RealNVP(NamedModel):
    """RealNVP with fully connected couplings, on dequantized pixels (Dinh et al. 2017).

    Args:
        shape: Channels, height and width of an image.
        levels: Number of values that a pixel takes.
        couplings: Number of affine couplings.
        widths: Hidden units of each layer of each coupling's network.
        mask: checkerboard, or half of the flattened pixels.
        alpha: Logits are taken of α + (1 − 2α) x, which keeps them finite.
        optimization: What is maximized, and by which steps.
        seed: Initialisation and all noise derive from it.
    """

    # Each parameter is a hyperparameter that Lightning saves and its command line offers.
    def __init__(
        self,
        shape: Shape,
        levels: int,
        couplings: int = 8,
        widths: list[int] = [256, 256],
        mask: Literal["checkerboard", "half"] = "checkerboard",
        alpha: float = 0.05,
        optimization: Optimization = Optimization(),
        seed: int = 1,
    ):
        own = {"couplings": couplings, "widths": widths, "mask": mask, "alpha": alpha}
        settings = {"class_path": "RealNVP", "init_args": own}
        super().__init__(settings, shape, levels, optimization, seed)
