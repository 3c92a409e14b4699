"""`bench peers`: trained in another environment, scored and ranked by ours, and never done twice."""

import json
import sys
from dataclasses import replace
from math import nan
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from bench.__main__ import main
from bench.adapters.adapted import Wanted
from bench.adapters.choose import adapt
from bench.configuration.files import CONFIGS, resolve
from bench.data.tasks import Task, load_task
from bench.errors import InputError
from bench.instruments.peers import driver
from bench.instruments.peers.markdown import rewrite_page
from bench.instruments.peers.score import take_libraries
from bench.instruments.peers.settings import read_peer, read_peers
from bench.instruments.peers.train import files_of, read_trained, train, write_arrays
from bench.noise import Noise
from bench.scoring.score import read_given
from bench.system.yaml_text import read_yaml

PYTHON = Path(sys.executable)
SETTINGS = {
    "name": "zuko RealNVP",
    "task": "digits-17",
    "library": "zuko",
    "images": "logit:0.05",
    "seeds": [1],
    "model": {"couplings": 2, "widths": [8]},
    "training": {"epochs": 2, "batch_size": 100, "learning_rate": 1e-3},
    "evaluation": "smoke",
}
silent = lambda share, text: None


@pytest.fixture
def settings(tmp_path):
    """Return a function that writes the settings of one peer, with changes, and returns its file."""
    folder = tmp_path / "settings"
    folder.mkdir()
    (folder / "zuko.bib").write_bytes((CONFIGS / "peers" / "zuko.bib").read_bytes())

    def write(**changes):
        content = {name: part for name, part in (SETTINGS | changes).items() if part is not None}
        (folder / "zuko-realnvp.yaml").write_text(yaml.safe_dump(content))
        return folder / "zuko-realnvp.yaml"

    return write


@pytest.fixture
def digits(tmp_path):
    """Return the images, and the file of their arrays."""
    data = load_task(Task("digits"))
    write_arrays(data, tmp_path / "digits.npz")
    return data, tmp_path / "digits.npz"


def test_peers_and_our_models_have_one_budget():
    ours = read_yaml(resolve("trainer", "peers"))
    sweep = read_yaml(resolve("sweep", driver.SWEEP))
    found = read_peers(CONFIGS / "peers")
    assert {peer.library for peer in found} == {"pythae", "zuko", "nflows", "normflows"}
    for peer in found:
        t = peer.training
        assert t["epochs"] == ours["max_epochs"] and t["batch_size"] == ours["batch_size"]
        assert t["learning_rate"] == ours["learning_rate"]
        assert peer.evaluation == sweep["evaluation"] and peer.task in sweep["matrix"]["data"]
        assert peer.seeds == sweep["matrix"]["seed"]
    assert sweep["trainer"] == "peers"


WRONG = [
    ({"colour": 1}, "'colour' is unknown"),
    ({"name": None}, "name is missing or is not a str"),
    ({"seeds": []}, "seeds is not a list of whole numbers"),
    ({"training": {"epochs": 1, "batch_size": 2}}, "training.learning_rate is missing"),
    ({"library": "tensorflow"}, "tensorflow has no"),
]


@pytest.mark.parametrize("changes, words", WRONG, ids=[words for _, words in WRONG])
def test_settings_that_are_wrong_are_one_line(settings, changes, words):
    with pytest.raises(InputError, match=words):
        read_peer(settings(**changes))


def test_without_the_peers_or_our_own_runs_it_says_what_to_do(tmp_path, capsys):
    with pytest.raises(InputError, match="no environment at .*make perf-peers. installs it"):
        take_libraries(tmp_path / "bin" / "python")
    assert main(["peers", "--results", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "has no runs of our own" in error and error.count("\n") == 1


def test_a_peer_is_trained_once_and_its_own_bound_is_ours(settings, digits, tmp_path):
    """Two estimates by different draws of the noise: they agree within five standard errors."""
    data, arrays = digits
    peer = read_peer(settings())
    shares = []
    found = train(
        peer,
        1,
        data,
        arrays,
        PYTHON,
        tmp_path / "trained",
        lambda share, text: shares.append(share),
    )
    assert shares == [0.0, 0.5, 1.0]
    wanted = Wanted(data.shape, data.task.levels, peer.images)
    given = read_given(f"{peer.source}:build", str(found.weights), wanted)
    model = adapt(given.made, wanted).model.eval()
    with torch.no_grad():
        draws = model.terms(data.test, Noise("own"), 40).elbo.double().mean(1)
    assert abs(found.numbers["elbo"] - draws.mean().item()) < 5 * draws.std().item()
    assert read_trained(peer, 1, data, tmp_path / "trained") == found
    other = replace(peer, training={**peer.training, "epochs": 3})
    with pytest.raises(InputError, match="have changed since seed 1 was trained; remove"):
        read_trained(other, 1, data, tmp_path / "trained")


def test_a_peer_that_fails_is_one_line(settings, digits, tmp_path):
    data, arrays = digits
    for changes, python, words in (
        ({"model": {"wings": 2}}, PYTHON, "zuko RealNVP, seed 1: TypeError: .*wings"),
        ({}, Path("/bin/false"), "zuko RealNVP, seed 1: /bin/false ended with 1; it said: nothing"),
    ):
        peer = read_peer(settings(**changes))
        with pytest.raises(InputError, match=words):
            train(peer, 1, data, arrays, python, tmp_path / "trained", silent)
        assert not files_of(peer, 1, tmp_path / "trained")[1].exists()


@pytest.mark.long
def test_peers_are_ranked_beside_ours_and_nothing_is_done_twice(settings, tmp_path, monkeypatch):
    """The second time neither weights nor the submitted folder are there, as in a clone."""
    folder = settings().parent
    sweep = {
        "matrix": {"data": ["digits-17"], "model": ["realnvp"], "seed": [1]},
        "trainer": "digits-short",
        "evaluation": "smoke",
        "overrides": [{"when": {"model": "realnvp"}, "set": {"trainer.max_epochs": 1}}],
    }
    sweep["overrides"][0]["set"]["trainer.validate_every"] = 1
    (tmp_path / "equal-budget.yaml").write_text(yaml.safe_dump(sweep))
    results = tmp_path / "peers"
    words = ["--results", str(results), "--workers", "0", "--wandb", "disabled"]
    assert main(["sweep", str(tmp_path / "equal-budget.yaml"), *words]) == 0
    progress = lambda phase, share, text: None
    table, _, failed = driver.peers(results, PYTHON, progress, folder)
    assert failed == []
    rows = table.set_index("model")["verification"]
    assert rows["zuko RealNVP"] == "evaluated" and rows["realnvp"] == "own run"
    checks = pd.read_csv(results / "checks.csv")
    assert list(checks["quantity"]) == ["elbo"] and abs(checks["difference"][0]) < 1
    before = (results / "leaderboard.csv").read_bytes()
    for path in [*results.glob("trained/*.pt"), *results.rglob("weights/*")]:
        path.unlink()
    monkeypatch.setattr(driver, "train", lambda *parts: pytest.fail("it is trained again"))
    monkeypatch.setattr(driver, "row_of_peer", lambda *parts: pytest.fail("it is scored again"))
    driver.peers(results, PYTHON, progress, folder)
    assert (results / "leaderboard.csv").read_bytes() == before
    (description,) = results.glob("trained/*.json")
    assert json.loads(description.read_text())["made_of"]["task"] == "digits-17"


def test_the_page_shows_what_has_no_counterpart_as_missing(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- board:peers -->\n<!-- /board:peers -->\n<!-- checks:peers -->\n<!-- /checks:peers -->\n"
    )
    row = {"task": "mnist-256", "model": "x", "verification": "evaluated", "bits_per_dim": 2.5}
    row |= {"log_likelihood": -1.234, "bound": "upper", "importance_samples": 50, "elbo": nan}
    check = {"peer": "x", "seed": 1, "quantity": "elbo", "theirs": -2.0, "difference": 0.5}
    other = {"peer": "y", "seed": 1, "quantity": "elbo", "theirs": -3.0, "difference": 0.25}
    loss = {"peer": "y", "seed": 1, "quantity": "minus_loss", "theirs": -1.0, "difference": nan}
    checks = pd.DataFrame([check | {"stderr": 0.25}, other, loss])
    rewrite_page(page, pd.DataFrame([row]), checks)
    text = page.read_text()
    assert "| mnist-256 | x | evaluated | 2.500 | -1.23 | 50 | – |" in text
    assert "| x | 1 | -2.00 | 0.50 ± 0.25 | – | – | – |" in text
    assert "| y | 1 | -3.00 | 0.25 | – | – | -1.00 |" in text
