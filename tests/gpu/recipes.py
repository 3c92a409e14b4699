"""Configurations of the GPU check: every model, small, and the recipes of the sweep on MNIST."""

from bench.configuration.files import names, resolve
from bench.configuration.parsing import parse_run
from bench.data.tasks import Task, TaskData
from bench.instruments.perf.training import random_images
from bench.records.types import REFERENCES, Config
from bench.sweep.matrix import expand
from bench.system.yaml_text import read_yaml

# Of the runs that are compared with each other: few epochs, a small L_K.
SMALL = [
    "--trainer.max_epochs=4",
    "--trainer.validate_every=2",
    "--evaluation.importance_samples=20",
    "--evaluation.importance_data=100",
]
# What else a model needs to be small.
SMALLER = {
    "aggregate_vae": ["--model.prior.exemplars=200"],
    "gated_vamp_vae": ["--model.prior.pseudo_inputs=50"],
    "gated_aggregate_vae": ["--model.prior.exemplars=200"],
    "realnvp": ["--trainer.gradient_clip_norm=1000"],
    "convolutional_realnvp": ["--model.channels=16", "--model.blocks=1"],
    "variational_convolutional_realnvp": ["--model.channels=16", "--model.blocks=1"],
    "linear_gaussian": ["--model.iterations=50"],
    "gaussian_mixture": ["--model.iterations=20"],
}
BINARY = ("bernoulli_vae", "iwae_paper_vae")
COLOURED = ("bolts_vae", "resnet_vae")
# Of MNIST's recipes in a dry run: images and networks that a CPU trains at once.
SMALL_TASKS = {"mnist-dynamic": "digits-binary", "mnist-256": "digits-17"}


def small_config(name: str) -> Config:
    """Return the configuration of a small run of a model of configs/model/ on 8 × 8 digits."""
    binary = name in BINARY or name.startswith("gated")
    task = "cifar10-256" if name in COLOURED else "digits-binary" if binary else "digits-17"
    return parse_run(["--data", task, "--model", name, *SMALL, *SMALLER.get(name, [])])


def model_names() -> list[str]:
    """Return the names of all files of configs/model/; those of coloured images, which are slow, last."""
    return sorted(names("model"), key=lambda name: (name in COLOURED, name))


def coloured_images() -> TaskData:
    """Return random images in CIFAR-10's shape: no file of it is needed to compare two devices."""
    images = random_images(8 * 4, 256).flatten()[: 8 * 3072].view(8, 3072)
    task = Task("cifar10", "none")
    return TaskData(task, (3, 32, 32), images, images, images, None, {}, "")


def mnist_recipes(dry: bool) -> dict[str, Config]:
    """Return {task and model: configuration} of the recipes of configs/sweep/mnist.yaml."""
    path = resolve("sweep", "mnist")
    found = {}
    for cell in expand(read_yaml(path), path.name):
        if cell.point["seed"] != 1 or cell.model in REFERENCES:
            continue
        words = list(cell.arguments)
        if dry:
            words[1] = SMALL_TASKS[cell.data]
        found[f"{cell.data} {cell.model}"] = parse_run(words)
    return found
