"""pythae's VAEs with its own networks, trained by its own pipeline. It runs in the peers' environment."""

# pythae is installed in that environment alone, so the checker sees nothing of it:
# mypy: disable-error-code="import-not-found", allow-subclassing-any

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pythae import models
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor
from torch.utils.data import Dataset

KINDS = {
    "VAE": (models.VAE, models.VAEConfig),
    "VAMP": (models.VAMP, models.VAMPConfig),
    "IWAE": (models.IWAE, models.IWAEConfig),
}
# Images at once where a trained model is measured, and draws for its own estimate of log p(y).
BLOCK, DRAWS = 100, 50


def build(
    shape: Sequence[int],
    kind: str = "VAE",
    latent: int = 2,
    components: int = 50,
    samples: int = 10,
) -> Any:
    """Return a model of pythae for binary images, with the networks that it takes by itself.

    Args:
        shape: Channels, height and width of an image.
        kind: One of ``KINDS``.
        latent: Dimensions of z.
        components: Number of pseudo-inputs of VAMP.
        samples: Number of samples in the bound of IWAE.
    """
    model, config = KINDS[kind]
    own = {"VAMP": {"number_components": components}, "IWAE": {"number_samples": samples}}
    sizes = {"input_dim": tuple(shape), "latent_dim": latent}
    return model(config(**sizes, reconstruction_loss="bce", **own.get(kind, {})))


class Redrawn(Dataset[Any]):
    """Grey images (n, channels, height, width) in [0, 1], binarized anew whenever one is taken."""

    def __init__(self, grey: Tensor):
        self.grey = grey

    def __len__(self) -> int:
        return len(self.grey)

    def __getitem__(self, index: int) -> Any:
        return DatasetOutput(data=torch.bernoulli(self.grey[index]), labels=torch.ones(()))


class Report(TrainingCallback):
    """Tells how many epochs are done."""

    def __init__(self, report: Callable[[int], None]):
        self.report, self.done = report, 0

    def on_epoch_end(self, training_config: Any, **more: Any) -> None:
        self.done += 1
        self.report(self.done)


def train(
    model: Any,
    images: dict[str, Tensor],
    training: dict[str, Any],
    seed: int,
    report: Callable[[int], None],
) -> Any:
    """Train by pythae's pipeline, and return the model that it saved: that of its best epoch.

    Args:
        model: The model; its seed was set before it was built.
        images: train: grey images in [0, 1]; validation: one binary draw of them, fixed.
        training: epochs, batch_size and learning_rate.
        seed: pythae sets it when the training starts; order and binarization follow from it.
        report: Called with the number of epochs that are done.
    """
    validation = images["validation"]
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=training["epochs"],
            per_device_train_batch_size=training["batch_size"],
            per_device_eval_batch_size=BLOCK,
            learning_rate=training["learning_rate"],
            seed=seed,
            no_cuda=True,
        )
        TrainingPipeline(model=model, training_config=config)(
            train_data=Redrawn(images["train"]),
            eval_data=BaseDataset(validation, torch.ones(len(validation))),
            callbacks=[Report(report)],
        )
        (saved,) = Path(folder).glob("*/final_model")
        return models.AutoModel.load_from_folder(str(saved))


@torch.no_grad()
def own_numbers(model: Any, test: Tensor, with_likelihood: bool) -> dict[str, float]:
    """Return what pythae itself says of binary test images, as means in nats.

    ``elbo`` is made of the reconstruction and the KL that its forward pass returns, ``minus_loss`` is
    the loss that it reports, and ``log_likelihood`` is its ``get_nll``, which takes minutes.
    """
    model.eval()
    outputs = [model(DatasetOutput(data=block)) for block in test.split(BLOCK)]
    mean = lambda name: sum(float(output[name]) for output in outputs) / len(outputs)
    numbers = {"elbo": -mean("recon_loss") - mean("reg_loss"), "minus_loss": -mean("loss")}
    if with_likelihood:
        numbers["log_likelihood"] = -float(model.get_nll(test, DRAWS, DRAWS))
    return numbers
