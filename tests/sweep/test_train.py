"""`bench.train` in Python is what the command `bench train` is."""

import numpy as np
import pytest
import torch

import bench
from bench.__main__ import main
from bench.data.places import PLACES
from bench.errors import InputError
from bench.records.manifest import read_manifest
from bench.records.record import read_record

TRAINER = {"max_epochs": 2, "batch_size": 20}
EVALUATION = {"importance_samples": 4}
MODEL = {"class_path": "VAE", "init_args": {"decoder": {"class_path": "Bernoulli"}}}


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", np.random.default_rng(0).integers(0, 256, (80, 4, 4), dtype=np.uint8))
    yield {"path": "mine.npy", "name": "mine", "binarization": "dynamic"}
    PLACES.clear()


def test_the_same_options_give_the_same_record(images, tmp_path):
    (tmp_path / "vae.yaml").write_text("class_path: VAE\ninit_args: {decoder: Bernoulli}\n")
    words = [f"--data.{name}={value}" for name, value in images.items()]
    words += [f"--trainer.{name}={value}" for name, value in TRAINER.items()]
    words += [f"--evaluation.{name}={value}" for name, value in EVALUATION.items()]
    words += ["--model", "vae.yaml", "--seed", "3", "--output", "command", "--wandb=disabled"]
    assert main(["train", *words]) == 0
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(2)
    record = bench.train(
        MODEL, images, TRAINER, EVALUATION, seed=3, name="vae", output=tmp_path / "twin"
    )
    assert torch.get_num_threads() == 2 and not torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    assert record["status"] == "ok" and read_manifest(tmp_path / "twin") == [record["key"]]
    ours, theirs = (
        read_record(tmp_path / folder / "runs" / record["key"] / "record.json")
        for folder in ("twin", "command")
    )
    for one in (ours, theirs):
        one.pop("timing"), one.pop("checksum")
    assert ours == theirs and ours["metrics"] == record["metrics"]
    # With what it was made of, it is evaluated again; without, it says what it needs.
    checkpoint = str(tmp_path / "twin" / "runs" / record["key"] / "best.ckpt")
    PLACES.clear()
    bench.load_task.cache_clear()
    with pytest.raises(InputError, match="needs the images mine with SHA-256"):
        bench.load_trained(checkpoint)
    assert main(["evaluate", checkpoint, "--data.path", "mine.npy"]) == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("no_such", "digits-17"), "model: 'no_such' is unknown"),
        (("bernoulli_vae", "digits-18"), "data: 'digits-18' is unknown"),
        (("bernoulli_vae", 3), "data: a int; a name, a Task, or a mapping"),
        (("bernoulli_vae", {"pth": "x"}), "data: 'pth' is not an option"),
        (("bernoulli_vae", {"path": 3}), "data: path: 3 is not a text"),
        (("bernoulli_vae", {"path": "nowhere", "name": "mine"}), "nowhere: No such file"),
        (("bernoulli_vae", "digits-binary", {"epochs": 3}), "trainer"),
        (("bernoulli_vae", "digits-binary", {"max_epochs": "x"}), "trainer.max_epochs: Expected a int"),
        (("bernoulli_vae", "digits-binary", "digits"), "trainer: 'digits' is not a mapping"),
        (("bernoulli_vae", "digits-17"), "Bernoulli"),
    ],
)  # fmt: skip
def test_mistakes_are_the_commands(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        bench.train(*arguments)
    assert not list(tmp_path.iterdir())
