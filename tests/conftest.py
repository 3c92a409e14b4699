"""Shared set-up: one thread, and small configurations that train in a second."""

import os

os.environ["WANDB_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import pytest  # noqa: E402
import torch  # noqa: E402

from bench.parsing import parse_run  # noqa: E402

torch.set_num_threads(1)

SMALL = (
    "--trainer.max_epochs=4",
    "--trainer.validate_every=2",
    "--trainer.learning_rate=2e-3",
    "--evaluation.importance_samples=12",
)
SMALL_VAE = (
    "--model.encoder.widths=[16]",
    "--model.decoder_network.widths=[16]",
    "--model.latent_dimensions=3",
)


def small_config(model: str, data: str = "digits-17", *more: str) -> dict:
    """Return the configuration of a run of a few seconds."""
    options = ["--data", data, "--model", model, *SMALL]
    if model.endswith("vae"):
        options += SMALL_VAE
    if model == "realnvp":
        options += ["--model.widths=[16]", "--model.couplings=2"]
    if model == "aggregate_vae":
        options += ["--model.prior.exemplars=50"]
    return parse_run([*options, *more])


@pytest.fixture
def config_of():
    return small_config
