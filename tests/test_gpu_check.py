"""The ten-minute check of a GPU, as far as a CPU can test it."""

import json

import pandas as pd
import pytest

from tests import gpu_check
from tests.gpu import many_runs
from tests.gpu.correctness import compare
from tests.gpu.lines import NAME, Check, OutOfTime, at_most
from tests.gpu.many_runs import captured, stacked
from tests.gpu.recipes import BINARY, COLOURED, SMALLER, mnist_recipes, model_names
from tests.gpu.report import main as report


@pytest.fixture
def check(tmp_path):
    return Check(tmp_path, 60, dry=True, started=0.0)


def lines_in(folder):
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def test_a_part_runs_dry_and_leaves_a_line_for_each_result(tmp_path, monkeypatch):
    monkeypatch.setenv("OUT", str(tmp_path))
    assert gpu_check.main(["--dry", "--only", "environment,q_agg"]) == 0
    lines = lines_in(tmp_path)
    assert [line["part"] for line in lines] == ["environment", "time", *["q_agg"] * 6, "time"]
    assert all(line["error_nats"] < 1e-3 for line in lines if line["part"] == "q_agg")


def test_every_part_is_known_and_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OUT", str(tmp_path))
    with pytest.raises(SystemExit):
        gpu_check.main(["--dry", "--only", "steps,nothing"])
    assert "no part is called nothing; parts: environment, correctness" in capsys.readouterr().err


def test_every_recipe_has_a_configuration_and_every_option_a_model():
    assert {*SMALLER, *BINARY, *COLOURED} < set(model_names())
    assert list(mnist_recipes(dry=False)) == [
        "mnist-dynamic gated_vae",
        "mnist-dynamic gated_vamp_vae",
        "mnist-dynamic gated_aggregate_vae",
        "mnist-dynamic gated_exemplar_vae",
        "mnist-dynamic gated_flow_vae",
        "mnist-dynamic gated_mixture_vae",
        "mnist-dynamic iwae_paper_vae",
        "mnist-256 gated_vae",
        "mnist-256 gaussian_vae",
        "mnist-256 realnvp",
        "mnist-256 convolutional_realnvp",
    ]


def test_a_model_with_neighbours_is_compared(check):
    compare(check, "gated_exemplar_vae")
    (line,) = lines_in(check.out)
    assert line["good"] and line["numbers"] > 30


def test_steps_of_one_run_and_of_many_are_timed(check, monkeypatch):
    name = "mnist-dynamic gated_vae"
    monkeypatch.setattr(many_runs, "recipes", lambda check: {name: mnist_recipes(dry=True)[name]})
    monkeypatch.setattr(many_runs, "WARM", 1)
    monkeypatch.setattr(many_runs, "TIMED", 1)
    captured(check)
    stacked(check)
    lines = [line for line in lines_in(check.out) if line["part"] in ("captured", "stacked")]
    assert [(line["part"], line.get("runs")) for line in lines] == [
        ("captured", None),
        ("stacked", 1),
        ("stacked", 2),
    ]
    assert all(line["largest_difference"] < 1e-4 for line in lines)


def test_a_part_that_is_over_its_time_or_fails_does_not_end_the_others(check):
    def slow(check):
        with check.caught("slow"):  # as an item's own errors are
            while True:
                pass

    gpu_check.do(check, "slow", slow, 0.2)
    gpu_check.do(check, "broken", lambda check: 1 / 0, 5)
    stopped, _, broken, _ = lines_in(check.out)
    assert stopped["stopped"] == "its 0.2 seconds were over"
    assert "ZeroDivisionError" in broken["error"]
    with pytest.raises(OutOfTime), at_most(0.1):
        while True:
            pass


def test_lines_become_tables_and_a_figure_with_the_cards_name(tmp_path):
    card = {"card": "a made-up card", "at": 1.0}
    lines = [
        {"part": "steps", "model": "a", "ms": 2.0, "products_ms": 0.5, **card},
        {"part": "steps", "model": "b", "error": "out of memory", **card},
        {"part": "packing", "model": "a", "processes": 1, "steps_a_second": 500.0, **card},
        {"part": "packing", "model": "a", "processes": 4, "steps_a_second": 900.0, **card},
    ]
    path, directory = tmp_path / NAME, tmp_path / "gpu"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert report([str(path), str(directory)]) == 0
    packing = pd.read_csv(directory / "packing.csv")
    assert packing["steps_a_second"].tolist() == [500, 900]
    assert set(packing["card"]) == {"a made-up card"}
    assert (directory / "gpu.png").stat().st_size > 10_000


def test_lines_of_a_dry_run_are_no_results(check, tmp_path):
    check.say("steps", model="a", ms=1.0)
    with pytest.raises(SystemExit, match="dry run on a CPU, which are no results"):
        report([str(check.out / NAME), str(tmp_path / "gpu")])
    assert not (tmp_path / "gpu").exists()
