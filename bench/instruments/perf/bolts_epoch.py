"""An epoch of lightning-bolts' own VAE in its own pipeline, as its users train it."""

import warnings
from collections.abc import Callable
from tempfile import TemporaryDirectory

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from bench.instruments.perf.training import NETWORKS, SIDE, HandWrittenVAE, made_up_images
from bench.networks.bolts import bolts_module, without_review_warnings
from bench.training.fit import silence_lightning


def bolts_vae() -> pl.LightningModule:
    """Return pl_bolts.models.autoencoders.VAE with the networks 784-400-20 in place of its ResNets.

    Its loss, optimizer, steps and logging stay its own.
    """
    _, [hidden], activation, latent = NETWORKS[1]
    same = HandWrittenVAE([hidden], activation, latent)
    with without_review_warnings():
        vae = bolts_module("models.autoencoders").VAE(SIDE, enc_out_dim=hidden, latent_dim=latent)
    # All but the last layer, whose two halves are `fc_mu` and `fc_var`.
    vae.encoder, vae.decoder = same.encoder[:-1], same.decoder
    return vae


def bolts_epoch(images: int, batch: int) -> Callable[[], None]:
    """Return an epoch of a plain Trainer over a DataLoader of a TensorDataset; both start anew.

    The Trainer has its defaults, checkpoint and logger included, but says nothing and leaves
    nothing behind.
    """
    silence_lightning()
    model = bolts_vae()
    x = made_up_images(2, images).intensities.float().div(255)
    loader = DataLoader(TensorDataset(x, torch.zeros(len(x))), batch, shuffle=True)

    def epoch() -> None:
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = pl.Trainer(
                accelerator="cpu",
                max_epochs=1,
                default_root_dir=folder,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(model, loader)

    return epoch
