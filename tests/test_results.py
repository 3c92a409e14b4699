"""What is committed under results/ and said in the README is what the tables hold."""

import re
from pathlib import Path

import pandas as pd
import pytest
from frictionless import Package

from bench.checkpoints import read_checkpoint
from bench.config import key_of
from bench.parsing import validate
from bench.record import read_record
from bench.report.package import dictionary
from bench.report.paper_match import paper_match_markdown
from bench.report.tables import markdown
from bench.sweep.driver import SweepOptions, make_plan

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SWEEPS = [path.parent for path in sorted((ROOT / "results").glob("*/datapackage.json"))]
# Those whose records are published; those of the default sweep are made by whoever runs it.
RECORDED = [path.name for path in SWEEPS if path.name != "default"]


def test_the_dictionary_is_todays():
    assert (ROOT / "results" / "README.md").read_text(encoding="utf-8") == dictionary()


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.name)
def test_committed_tables_are_what_their_data_packages_say(sweep):
    outcome = Package(str(sweep / "datapackage.json")).validate()
    assert outcome.valid, outcome.flatten(["rowNumber", "fieldName", "note"])


def test_the_readmes_leaderboard_is_the_committed_one():
    path = ROOT / "results" / "default" / "leaderboard.csv"
    assert markdown(pd.read_csv(path, float_precision="round_trip")) in README


def test_the_readmes_published_numbers_are_the_committed_ones():
    path = ROOT / "results" / "paper_match.csv"
    assert paper_match_markdown(pd.read_csv(path, float_precision="round_trip")) in README


@pytest.mark.parametrize("name", RECORDED)
def test_keys_of_published_runs_are_todays(name):
    """An option, a default or a name that changes must leave the keys of what was run as they are."""
    plan = make_plan(name, ROOT / "results", SweepOptions())
    records = list((ROOT / "results" / name / "runs").glob("*/record.json"))
    assert records
    for path in records:
        record = read_record(path)
        assert path.parent.name in plan.jobs, f"{record['model']} of {record['task']}"
        assert key_of(validate(record["config"])) == record["key"]


def test_the_codecs_of_the_readme_are_those_of_the_csv():
    table = pd.read_csv(ROOT / "results" / "codecs" / "codecs.csv")
    table = table[table["headers"] == "without"].set_index(["task", "layout", "codec"])
    names = ["PNG", "JPEG XL lossless", "WebP lossless", "deflate", "LZMA"]
    tasks = {"MNIST": "mnist-256", "Fashion-MNIST": "fashion-256"}
    layouts = {"each image": "images", "one strip": "strip"}
    rows = re.findall(
        r"^\| (MNIST|Fashion-MNIST), (each image|one strip) \| (.*) \|$", README, re.M
    )
    assert len(rows) == 4
    for task, layout, cells in rows:
        bits = [table.loc[(tasks[task], layouts[layout], name), "bits_per_dim"] for name in names]
        assert cells.split(" | ") == [f"{value:.3f}" for value in bits]


def test_released_checkpoints_are_of_published_runs():
    paths = sorted((ROOT / "results").glob("*/checkpoints/*.ckpt"))
    assert paths and sum(path.stat().st_size for path in paths) < 40e6
    for path in paths:
        assert key_of(validate(read_checkpoint(path)["bench"]["config"])) == path.stem
        assert (path.parents[1] / "runs" / path.stem / "record.json").is_file()
