"""What a report says of runs that have no record."""

import json

from bench.__main__ import main
from bench.records.manifest import read_recipes, write_manifest
from bench.records.record import write_record
from bench.report.missing import in_hours, missing_runs
from bench.report.reduce import leaderboard_table, load_sweep
from bench.report.report import table_files
from tests.made_up import record


def recipe(model, max_epochs=3, samples=100, task="digits-17"):
    return {
        "task": task,
        "model": model,
        "max_epochs": max_epochs,
        "importance_samples": samples,
    }


def timed(model, seed, fit, rest, **more):
    made = record(model, seed, 2.0) | more
    return made | {"timing": {"fit_seconds": fit, "total_seconds": fit + rest}}


def write_sweep(folder, records, missing):
    """Write records and tables, and a manifest with missing runs of the given recipes too."""
    for made in records:
        write_record(folder / "runs", made)
    keys = [made["key"] for made in records] + [f"{i:016x}" for i in range(len(missing))]
    recipes = [recipe(made["model"], task=made["task"]) for made in records] + missing
    write_manifest(folder, keys, recipes)
    loaded = load_sweep(folder)
    for path, text in table_files(folder, loaded, leaderboard_table(loaded, folder.name)).items():
        path.write_text(text)


def sentence(folder):
    runs, timings = ((folder / name).read_text() for name in ("runs.csv", "timings.csv"))
    return missing_runs(folder, runs, timings)


def test_the_time_of_missing_runs_is_that_of_the_recorded_ones(tmp_path):
    records = [timed("a", seed, 3600.0, minutes * 60) for seed, minutes in ((1, 0), (2, 60))]
    # Twice the epochs take twice the training, and half an hour of the rest.
    write_sweep(tmp_path / "s", records, [recipe("a", 6), recipe("a", 3), recipe("a", samples=5)])
    assert sentence(tmp_path / "s") == (
        "3 of 5 runs are missing: about 4.0 h one after another, estimated from the times of 2 "
        "recorded runs of the same models; the time of 1 of them is not known."
    )
    # Another sweep knows them too, but on its own task only from one as large.
    write_sweep(
        tmp_path / "t",
        [timed("b", 1, 1.0, 1.0, task="digits-other")],
        [recipe("a", task="digits-other"), recipe("a", task="digits-unseen")],
    )
    said = "2 of 3 runs are missing: about 1.5 h one after another, estimated from the times of 2"
    assert sentence(tmp_path / "t").startswith(said)
    (tmp_path / "s" / "timings.csv").write_text("key\n1")
    unknown = "2 of 3 runs are missing; how long they take is not known."
    assert sentence(tmp_path / "t") == unknown


def test_a_complete_sweep_says_nothing_of_it(tmp_path):
    write_sweep(tmp_path, [timed("a", 1, 1.0, 1.0)], [])
    assert sentence(tmp_path) is None


def test_the_command_says_it_and_tells_the_page(tmp_path, capsys, monkeypatch):
    told = []
    monkeypatch.setattr(
        "bench.report.report.drawn_files", lambda *given: told.append(given[3]) or {}
    )
    write_sweep(tmp_path / "s", [timed("a", 1, 30.0, 10.0)], [recipe("a")])
    assert main(["report", "s", f"--results={tmp_path}"]) == 1
    assert sentence(tmp_path / "s") in capsys.readouterr().out.splitlines()
    assert told == [sentence(tmp_path / "s")]


HOSTILE = [
    (None, [0, 0]),
    ("no list", [0, 0]),
    ([recipe("a", -1)], [0, 0]),
    ([recipe("a") | {"model": ["a"]}], [0, 0]),
    (["no recipe"], [0, 0]),
    ([recipe("a")], [7, -1]),
    ([recipe("a")], [True, "0"]),
]


def test_hostile_recipes_are_none(tmp_path):
    write_sweep(tmp_path, [timed("a", 1, 1.0, 1.0)], [recipe("a")])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert len(read_recipes(tmp_path)) == 2
    for recipes, positions in HOSTILE:
        manifest |= {"recipes": recipes, "recipe_of": positions}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        assert read_recipes(tmp_path) == {}
        assert sentence(tmp_path) == "1 of 2 runs are missing; how long they take is not known."


def test_durations():
    texts = [in_hours(seconds) for seconds in (40, 600, 5400, 360_000)]
    assert texts == ["40 s", "10 min", "1.5 h", "100.0 h"]
