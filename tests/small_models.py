"""Every model of configs/model/ but the ResNets, made small, and a task of few images for each."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from bench.configuration.parsing import parse_run
from bench.data.tasks import Task, TaskData, load_task
from tests.conftest import SMALL

BINARY, GREY = "digits-binary", "digits-17"
VAE = (
    "--model.latent_dimensions=3",
    "--model.encoder.widths=[16]",
    "--model.decoder_network.widths=[16]",
)
CONVOLUTIONS = tuple(
    f"--model.{network}.{option}"
    for network in ("encoder", "decoder_network")
    for option in ("channels=4", "blocks=1")
)
FLOW = ("--model.couplings=2", "--model.widths=[16]")
DEQUANTIZATION = ("--model.dequantization_couplings=2", "--model.dequantization_widths=[16]")
MULTISCALE = tuple(
    f"--model.{option}" for option in ("scales=2", "couplings=1", "channels=4", "blocks=1")
)
# {model: (task, options that make it small)}: one hidden layer in each network, two couplings in each
# flow. The first are trained by gradient steps, the others not.
TRAINED = {
    "bernoulli_vae": (BINARY, *VAE),
    "gaussian_vae": (GREY, *VAE),
    "aggregate_vae": (GREY, *VAE, "--model.prior.exemplars=50"),
    "gated_vae": (BINARY, *VAE),
    "gated_vamp_vae": (BINARY, *VAE, "--model.prior.pseudo_inputs=10"),
    "gated_aggregate_vae": (BINARY, *VAE, "--model.prior.exemplars=50"),
    "gated_exemplar_vae": (BINARY, *VAE),
    "gated_flow_vae": (BINARY, *VAE, "--model.prior.couplings=2", "--model.prior.widths=[16]"),
    "gated_mixture_vae": (BINARY, *VAE, "--model.prior.components=10"),
    "iwae_paper_vae": (BINARY, *VAE),
    "full_covariance_vae": (BINARY, *VAE),
    "flow_posterior_vae": (
        BINARY,
        *VAE,
        "--model.posterior.couplings=2",
        "--model.posterior.widths=[8]",
        "--model.posterior.context=4",
    ),
    "relu_vae": (BINARY, *VAE),
    "relu_vamp_vae": (BINARY, *VAE, "--model.prior.pseudo_inputs=10"),
    "relu_iwae_vae": (BINARY, *VAE),
    "integer_discrete_flow": (GREY, *FLOW),
    "realnvp": (GREY, *FLOW),
    "variational_realnvp": (GREY, *FLOW, *DEQUANTIZATION),
    "convolutional_realnvp": (GREY, *MULTISCALE),
    "variational_convolutional_realnvp": (
        GREY,
        *MULTISCALE,
        "--model.dequantization_couplings=2",
        "--model.dequantization_channels=4",
    ),
    "convolutional_vae": (GREY, *CONVOLUTIONS),
}
# Other networks of dense layers around the likelihood, the prior and the posterior of a model above.
ALIKE = {"relu_vae", "relu_iwae_vae", "relu_vamp_vae", "iwae_paper_vae", "gated_aggregate_vae"}
FITTED = {
    "uniform": (GREY,),
    "independent_pixels": (GREY,),
    "linear_gaussian": (GREY, "--model.iterations=3"),
    "gaussian_mixture": (GREY, "--model.iterations=3"),
}
TRAINER = ("max_epochs=2", "validate_every=1", "batch_size=50", "gradient_clip_norm=1000")


def alike_are_long(models: Iterable[str]) -> list:
    """Return models to parametrize a test by: those that are like others wait for `make test-long`."""
    return [pytest.param(m, marks=pytest.mark.long) if m in ALIKE else m for m in models]


def config_of(model: str) -> dict:
    """Return the configuration of a run of two epochs; binary images are drawn anew in each."""
    task, *options = (TRAINED | FITTED)[model]
    options += [f"--trainer.{option}" for option in TRAINER]
    config = parse_run(["--model", model, "--data", task, *SMALL, *options])
    if task == BINARY:
        config["data"]["binarization"] = "dynamic"
    return config


def few_images(task: Task) -> TaskData:
    """Return a task's data with three batches of training images and one block of the others."""
    data = load_task(task)
    grey = None if data.intensities is None else data.intensities[:150]
    parts = {name: data.split(name)[:100] for name in ("validation", "test")}
    return replace(data, train=data.train[:150], intensities=grey, **parts)
