"""`bench score` as a user calls it."""

import hashlib
import json
from math import log

import pytest
import torch
from pytorch_lightning import Trainer

from bench import Task, load_task
from bench.__main__ import main
from bench.records.record import read_record
from bench.records.row import row_of
from bench.report.reduce import leaderboard_table, load_sweep
from bench.scoring.source import load_source
from bench.scoring.weights import weights_hash


def records(folder):
    paths = sorted(folder.glob("scored/runs/*/record.json"), key=lambda path: path.stat().st_mtime)
    return [read_record(path) for path in paths]


def board_of(folder):
    """Return the leaderboard of what was scored, as `bench report` makes it."""
    return leaderboard_table(load_sweep(folder / "scored"), "scored")


def test_a_vae_becomes_a_record_and_a_row(score, folder):
    code, output = score("Plain")
    assert code == 0
    (record,) = records(folder)
    for words in (
        "encode takes y / 1 in [0, 1]",
        "log_likelihood (nats)",
        "bound_rise",
        record["key"],
    ):
        assert words in output
    scored = record["scored"]
    files = {name: (folder / name).read_bytes() for name in ("own.py", "parts.py")}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert scored["sources_sha256"] == record["config"]["model"]["sources"] == hashes
    assert scored["adapter"] == "encode and decode" and scored["checkpoint_sha256"] is None
    assert {"passed"} == {finding["outcome"] for finding in scored["checks"]}
    assert record["model"] == "Plain" and record["parameters"] == 64 * 6 + 6 + 3 * 64 + 64
    assert record["metrics"]["test"]["log_likelihood"]["samples"] == 21
    assert row_of(record, "scored", "test")["beta"] is None
    board = board_of(folder)
    assert list(board["model"]) == ["Plain"] and board["rank"][0] == 1


def test_the_same_again_is_the_same_record(score, folder):
    assert score("coins")[0] == 0
    (first,) = records(folder)
    assert score("coins")[0] == 0
    (again,) = records(folder)
    assert again["key"] == first["key"] and again["metrics"] == first["metrics"]
    ones = load_task(Task("digits", "threshold")).test.double().mean().item()
    by_hand = -(ones * log(0.25) + (1 - ones) * log(0.75)) / log(2)
    bits = again["metrics"]["test"]["bits_per_dim"]
    assert bits["value"] == pytest.approx(by_hand) and bits["samples"] == bits["stderr"] == 0
    assert again["bound"] == "exact" and again["scored"]["adapter"] == "torch.distributions"


def test_the_key_covers_source_weights_data_evaluation_and_seed(score, folder):
    score("coins")
    (first,) = records(folder)
    score("coins", "--seed", "2")
    score("coins", "--evaluation", "smoke")
    (folder / "own.py").write_text((folder / "own.py").read_text() + "\n# changed\n")
    score("coins")
    (folder / "own.py").write_text(
        (folder / "own.py").read_text().replace("0.25)), 3)\n\n\ndef b", "0.3)), 3)\n\n\ndef b")
    )
    score("coins")
    found = records(folder)
    assert len({record["key"] for record in found}) == 5
    assert found[0]["metrics"] == first["metrics"]


def train(folder, seed):
    """Return a checkpoint of Lightning of own.py's module, and a state_dict of its plain model."""
    source = load_source("own.py:Module")
    module, plain = source.make(64, 2), load_source("own.py:Plain").make((1, 8, 8))
    torch.manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", barebones=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(folder / f"last-{seed}.ckpt")
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    torch.save(plain.state_dict(), folder / f"weights-{seed}.pt")
    return module, plain


@pytest.mark.parametrize("name, file", [("Module", "last-{}.ckpt"), ("Plain", "weights-{}.pt")])
def test_checkpoints_of_lightning_and_state_dicts_are_loaded(name, file, score, folder):
    for seed in (1, 2):
        made = train(folder, seed)[name == "Plain"]
        code, output = score(name, "--checkpoint", file.format(seed), "--seed", str(seed))
        assert code == 0, output
        record = records(folder)[-1]
        content = (folder / file.format(seed)).read_bytes()
        assert record["scored"]["checkpoint_sha256"] == hashlib.sha256(content).hexdigest()
        assert record["scored"]["weights_sha256"] == weights_hash(made)
    # Two trainings with seeds of their own are one row; a third with the same seed is refused.
    board = board_of(folder)
    assert list(board["model"]) == [name] and board["seeds"][0] == 2
    code, line = score(name, "--checkpoint", file.format(2), "--seed", "1")
    assert (
        code == 2
        and "with other weights; give another training of this model its own --seed" in line
    )
    assert len(records(folder)) == 2


WRONG = [
    ("broken", (), "own.py:broken: line 42 of own.py: ZeroDivisionError: division by zero"),
    ("needs", (), "own.py:needs: parameter width has no value; shape and levels are given"),
    ("nothing", (), "own.py has no nothing"),
    ("Module", (), "parameter dimensions has no value"),
    ("bits", (), "sum of masses: 0.633 over all 4 images of 2 pixels of 2 levels, and not 1: it is in bits"),
    ("Plain", ("--images", "pixels"), "images: a model by encode and decode takes none; leave the option out"),
    ("Plain", ("--likelihood", "Categorical"), "likelihood: 'Categorical' on the command line, and"),
    ("Plain", ("--checkpoint", "few.yaml"), "few.yaml is not of tensors and plain data"),
    ("Plain", ("--checkpoint", "none.pt"), "none.pt cannot be read"),
    ("coins", ("--device", "abacus"), "device: 'abacus' is neither cpu nor cuda"),
    ("Plain", ("--device", "cuda:99"), "device: nothing can be computed on 'cuda:99': "),
    ("coins", ("--evaluation", "thorough"), "evaluation: 'thorough' is unknown"),
    ("coins", ("--data", "digits-17"), "Bernoulli is a distribution over 2 levels, not 17"),
]  # fmt: skip


@pytest.mark.parametrize("name, more, words", WRONG, ids=[words for *_, words in WRONG])
def test_what_is_wrong_is_one_line_and_nothing_is_written(name, more, words, score, folder):
    code, line = score(name, *more)
    assert code == 2 and line.count("\n") == 1 and line.startswith("bench: error: "), line
    assert words in line
    assert records(folder) == []


@pytest.mark.parametrize("model", ["own.py", "own.py:", "nowhere.py:x", "own.txt:x", "own.py:a b"])
def test_what_names_no_model_is_one_line(model, folder, capsys):
    assert main(["score", model, "--data", "digits-17"]) == 2
    assert capsys.readouterr().err.startswith("bench: error: model: ")


def test_a_pickle_in_a_checkpoint_is_not_run(score, folder):
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, ("trapped", "w"))

    (folder / "trap.pt").write_bytes(pickle.dumps(Trap()))
    code, output = score("Plain", "--checkpoint", "trap.pt")
    # Nothing is run, and nobody is advised to run it.
    assert code == 2 and "weights_only" not in output
    assert not (folder / "trapped").exists()


def test_a_model_that_is_there_already_is_used_as_it_is(score, folder):
    code, output = score("drawn")
    assert code == 0 and "not checked: sum of masses: own.py:drawn has no parameter shape" in output
    (record,) = records(folder)
    assert record["metrics"]["test"]["log_likelihood"]["value"] < -64 * log(4 / 3)


def test_the_record_is_checked_when_it_is_read(score, folder):
    score("coins")
    (path,) = folder.glob("scored/runs/*/record.json")
    from bench.records.record import checksum

    for change in ({"scored": {}}, {"scored": None}):
        content = json.loads(path.read_text()) | change
        content["checksum"] = checksum(content)
        path.write_text(json.dumps(content))
        assert main(["report", "scored", "--results", "."]) == 2
