"""Two ranks on the CPU (gloo) against one: the same numbers, no datum twice, none left out."""

import json
import os
import re
from dataclasses import asdict

import pytest
import torch

from bench.configuration.job import Job
from bench.noise import EVALUATION_BLOCK
from bench.runs import ranks
from bench.runs.run import run
from bench.system.device_trouble import DeviceTrouble
from bench.training.batches import EvaluationBlocks, Place
from bench.training.fit import Listeners
from tests.conftest import LAUNCHED, small_config


def record_of(config, directory):
    record = run(Job(config, "model", "test", str(directory), "disabled"))
    assert record["status"] == "ok", record
    return record


@pytest.mark.parametrize(
    "model, task, options",
    [
        ("gaussian_vae", "digits-17", []),
        ("aggregate_vae", "digits-17", []),
        # It looks images up among those of training, as aggregate_vae does.
        pytest.param(
            "gaussian_vae", "digits-17", ["--model.prior=Exemplar"], marks=pytest.mark.long
        ),
        (
            "bernoulli_vae",
            "digits-binary",
            ["--trainer.encoder_steps=2", "--trainer.decoder_steps=1"],
        ),
        ("realnvp", "digits-17", ["--trainer.gradient_clip_norm=1"]),
    ],
)
def test_two_ranks_give_the_numbers_of_one(model, task, options, tmp_path, points, warm_ranks):
    one = record_of(small_config(model, task, *options), tmp_path / "one")
    two = record_of(small_config(model, task, *options, "--trainer.devices=2"), tmp_path / "two")
    for first, second in zip(points[: len(points) // 2], points[len(points) // 2 :], strict=True):
        assert second == pytest.approx(first, rel=1e-5, abs=1e-5)
    assert two["key"] != one["key"] and two["epochs"] == one["epochs"]
    assert two["history"] != one["history"]  # sums in another order: there were two indeed
    for first, second in zip(one["history"], two["history"], strict=True):
        assert second == pytest.approx(first, rel=1e-5)
    for split in ("train", "test"):
        for name, estimate in one["metrics"][split].items():
            value = two["metrics"][split][name]["value"]
            assert value == pytest.approx(estimate["value"], rel=1e-5, abs=1e-5), name


@pytest.mark.parametrize("n", [1, 99, 100, 101, 300, 1000])
@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_ranks_share_out_every_block_in_as_many_rounds(n, world):
    images = torch.arange(n)[:, None]
    shares = [list(EvaluationBlocks(images, Place("cpu", r, world))) for r in range(world)]
    assert len({len(share) for share in shares}) == 1
    numbered = {
        batch_idx * world + rank: batch.images
        for rank, share in enumerate(shares)
        for batch_idx, batch in enumerate(share)
        if len(batch.images)
    }
    assert torch.cat([numbered[number] for number in sorted(numbered)]).equal(images)
    assert sorted(numbered) == list(range(-(-n // EVALUATION_BLOCK)))


@pytest.mark.long
def test_a_cut_off_training_on_two_ranks_goes_on_whatever_started_it(
    tmp_path, monkeypatch, request
):
    """At first by processes that import Lightning themselves, beside a launcher's variables."""
    config = small_config("gaussian_vae", "digits-17", "--trainer.devices=2")
    for variables in LAUNCHED.values():
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
    whole = record_of(config, tmp_path / "whole")
    assert os.environ["MASTER_PORT"] == LAUNCHED["torchrun"]["MASTER_PORT"]
    request.getfixturevalue("warm_ranks")
    assert record_of(config, tmp_path / "whole")["metrics"] == whole["metrics"]


def test_a_rank_that_diverges_fails_the_run_with_its_step(tmp_path, warm_ranks):
    options = ("--trainer.devices=2", "--trainer.optimizer=sgd", "--trainer.learning_rate=1e30")
    config = small_config("realnvp", "digits-17", *options)
    record = run(Job(config, "model", "test", str(tmp_path), "disabled"))
    assert record["status"] == "failed"
    assert record["reason"].startswith("diverged: the training objective became")
    assert "in step 2 of epoch 1" in record["reason"] and "last finite ELBO" in record["reason"]


CUDA = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be …"
FULL = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB"


@pytest.mark.parametrize(
    "text, raised, message",
    [
        (
            CUDA,
            DeviceTrouble,
            "^device: CUDA error: an illegal memory access was encountered: this",
        ),
        (FULL, MemoryError, "^out of memory$"),
        ("a bug", RuntimeError, "^a rank ended without a result: +Traceback$"),
    ],
)
def test_the_worker_learns_why_any_rank_failed(
    text, raised, message, tmp_path, monkeypatch, capsys
):
    """Of the second rank, whose GPU is broken or full: the first one only waits for it."""
    job = Job(small_config("gaussian_vae"), "model", "test", str(tmp_path), "disabled")
    (tmp_path / "ranks.json").write_text(json.dumps({"job": asdict(job), "devices": ["cpu"] * 2}))

    def fail(*_):
        raise RuntimeError(text)

    monkeypatch.setattr(ranks, "fit", fail)
    monkeypatch.setattr(ranks, "end_with_the_worker", lambda: None)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**30, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 78 * 2**30)
    with pytest.raises(RuntimeError, match=re.escape(text)):
        ranks.main(str(tmp_path / "ranks.json"))
    printed = capsys.readouterr().out.split("\n")  # as a pipe is read
    with pytest.raises(raised, match=message):
        ranks.listen([*printed, "Traceback"], Listeners(lambda *_: None, print))
