"""An epoch of lightning-bolts' own VAE in its own pipeline, as its users train it."""

import warnings
from tempfile import TemporaryDirectory

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

from bench.instruments.perf.interleaved import Work
from bench.instruments.perf.training import SHALLOW, SIDE, HandWrittenVAE, random_images
from bench.networks.bolts import bolts_module, without_review_warnings
from bench.training.fit import silence_lightning


def bolts_vae() -> pl.LightningModule:
    """Return pl_bolts.models.autoencoders.VAE with the networks 784-400-20 instead of its ResNets.

    Its loss, optimizer, steps and logging stay its own.
    """
    by_hand = HandWrittenVAE(SHALLOW)
    with without_review_warnings():
        vae = bolts_module("models.autoencoders").VAE(
            SIDE, enc_out_dim=SHALLOW.widths[0], latent_dim=SHALLOW.latent
        )
    # All but the last layer, whose two halves are `fc_mu` and `fc_var`.
    vae.encoder, vae.decoder = by_hand.encoder[:-1], by_hand.decoder
    return vae


def bolts_epoch(images: int, batch: int) -> Work:
    """Return an epoch of a new, plain Trainer over a DataLoader of a TensorDataset.

    The Trainer has its defaults, checkpoint and logger included, but prints nothing and leaves no
    files.
    """
    silence_lightning()
    model = bolts_vae()
    x = random_images(images).float().div(255)
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
