"""`bench claims` from its file to its outcome."""

import copy
import json
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bench.__main__ import main
from bench.claims.experiments import read_experiments
from bench.claims.items import ClosedFormItem, TrainedItem
from bench.configuration.files import CONFIGS

SMALL = {
    "images": 20,
    "closed_form": {"data": ["digits-17"], "seed": [1]},
    "experiments": {
        "vae": {
            "claims": [1, 2, 6, 10, 11, 12],
            "matrix": {"data": ["digits-17"], "model": ["gaussian_vae"], "seed": [1, 2]},
            "trainer": "digits-short",
            "overrides": [
                {
                    "when": {"model": "gaussian_vae"},
                    "set": {"trainer.max_epochs": 4, "evaluation.importance_samples": 12},
                },
            ],
        },
        "flow": {
            "claims": [2, 6, 9],
            "matrix": {"data": ["digits-17"], "model": ["realnvp"]},
            "trainer": "digits-short",
            "overrides": [
                {"when": {"model": "realnvp"}, "set": {"trainer.max_epochs": 4, "model.couplings": 2}}
            ],
        },
    },
}  # fmt: skip


@cache
def committed(name):
    """Return (items, sweep) of a file under configs/claims; it takes seconds to read."""
    return read_experiments(name, Path("no", "results"))


def written(content, tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.long
def test_the_front_door(tmp_path, capsys):
    """In this process; tests/sweep/test_engine.py lets the engine's workers measure."""
    path = written(SMALL, tmp_path)
    assert main(["claims", path, "--results", str(tmp_path), "--workers", "0"]) == 0
    directory = tmp_path / "small"
    table = pd.read_csv(directory / "claims.csv")
    assert set(table["claim"]) == {1, 2, 3, 4, 6, 9, 10, 11}
    assert table["holds"].all() or set(table[~table["holds"]]["claim"]) <= {11}
    assert table["commit"].notna().all() and table["source"].str.startswith("lecture").all()
    assert (directory / "claims.html").stat().st_size > 50_000
    names = {path.name for path in (directory / "figures").iterdir()}
    assert {"pixel-values.png", "claim-04-em.png", "claim-11-exemplars.png"} <= names
    assert "does not hold" not in capsys.readouterr().err

    before = (directory / "claims.csv").read_bytes()
    measurements = sorted((directory / "claims" / "measurements").iterdir())
    assert len(measurements) == 4
    # Only a damaged measurement is made again.
    damaged = json.loads(measurements[-1].read_text())
    damaged["rows"] = []
    measurements[-1].write_text(json.dumps(damaged))
    kept = measurements[0].stat().st_mtime_ns
    assert main(["claims", path, "--results", str(tmp_path), "--workers", "0"]) == 0
    assert "3 done before" in capsys.readouterr().out
    assert measurements[0].stat().st_mtime_ns == kept
    assert (directory / "claims.csv").read_bytes() == before


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "claims").glob("*.yaml")))
def test_committed_files_measure_every_claim_on_three_seeds(name):
    items, _ = committed(name)
    trained = [item for item in items if isinstance(item, TrainedItem)]
    assert sum(isinstance(item, ClosedFormItem) for item in items) >= 3  # claims 1, 3 and 4
    # Claim 13 is measured on digits alone.
    for claim in (1, 2, 5, 6, 7, 8, 9, 10, 11, 12, *([13] if name == "default" else [])):
        seeds = {item.job.config["seed"] for item in trained if claim in item.claims}
        assert len(seeds) >= 3, claim
    least = 24 if name == "default" else 12
    assert sum(12 in item.claims for item in trained) >= least


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop("images"), "sections are images"),
        (lambda c: c.update(images=True), "not a whole number of 10 or more"),
        (lambda c: c.update(images=2), "not a whole number of 10 or more"),
        (lambda c: c.update(closed_form=[1]), "closed_form needs two lists"),
        (lambda c: c["closed_form"].update(data="digits-17"), "closed_form needs two lists"),
        (lambda c: c["closed_form"].update(seed=["one"]), "'one' is not a whole number"),
        (lambda c: c.update(closed_form={"data": ["nowhere"], "seed": [1]}), "nowhere"),
        (lambda c: c["experiments"]["vae"].update(claims=[0]), "claims must be a list of numbers"),
        (
            lambda c: c["experiments"]["vae"].update(claims=[[1]]),
            "claims must be a list of numbers",
        ),
        (lambda c: c["experiments"]["vae"].pop("matrix"), "matrix"),
        (lambda c: c["experiments"].update(vae={"claims": [1], "sweep": "no"}), "'no' is unknown"),
        (
            lambda c: c["experiments"].update(vae={"claims": [1], "sweep": "default", "x": 1}),
            "beside sweep",
        ),
        (lambda c: c.update(experiments={}), "must map names to experiments"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_and_nothing_is_written(
    change, message, tmp_path, capsys
):
    content = yaml.safe_load(yaml.safe_dump(SMALL))
    change(content)
    results = tmp_path / "results"
    assert main(["claims", written(content, tmp_path), "--results", str(results)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not results.exists()


def test_a_file_like_another_has_its_experiments_on_other_data():
    mnist, _ = committed("mnist")
    fashion, name = committed("fashion")
    assert name == "fashion"

    def contents(items):
        trained = [item for item in items if isinstance(item, TrainedItem)]
        closed = [item for item in items if isinstance(item, ClosedFormItem)]
        others = [(item.task["dataset"], item.seed) for item in closed]
        configs = [copy.deepcopy(item.job.config) for item in trained]
        return [(c, item.claims, item.images) for c, item in zip(configs, trained)], others

    (theirs, closed), (ours, closed_ours) = contents(mnist), contents(fashion)
    assert {config["data"]["dataset"] for config, *_ in ours} == {"fashion_mnist"}
    for config, *_ in [*theirs, *ours]:
        config["data"]["dataset"] = "either"
    assert ours == theirs
    assert closed_ours == [("fashion_mnist", seed) for _, seed in closed]


@pytest.mark.parametrize(
    "content, message",
    [
        ({"like": "nothing", "data": {"mnist-256": "fashion-256"}}, "nothing"),
        ({"like": "mnist"}, "like needs data"),
        ({"like": "mnist", "data": ["mnist-256"]}, "like needs data"),
        ({"like": "mnist", "data": {}, "images": 3}, "like needs data"),
        ({"like": "mnist", "data": {"mnist-25": "fashion-256"}}, "mnist-25 does not occur"),
        ({"like": "mnist", "data": {"mnist-256": "nowhere"}}, "nowhere"),
    ],
)
def test_a_wrong_file_with_like_is_refused(content, message, tmp_path, capsys):
    results = tmp_path / "results"
    assert main(["claims", written(content, tmp_path), "--results", str(results)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not results.exists()


def test_an_unknown_name_lists_the_known_ones(capsys):
    assert main(["claims", "nothing"]) == 2
    assert "known: default" in capsys.readouterr().err
