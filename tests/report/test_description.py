"""croissant.json and ro-crate-metadata.json, as the libraries of both vocabularies read them."""

import hashlib
import json
from pathlib import Path

import mlcroissant
import pandas as pd
import pytest
from rocrate.rocrate import ROCrate

from bench.commands.sweeps import write_report
from bench.errors import InputError
from bench.records.columns import leaderboard_columns, runs_columns
from bench.records.manifest import write_manifest
from bench.records.record import write_record
from bench.report.description import CRATE, describe
from bench.report.reduce import leaderboard_table, load_sweep
from bench.report.report import table_files
from bench.system.checkout import date_of, read_checkout
from bench.system.files import read_text
from tests.made_up import record

COMMIT, OTHER = "c0ffee" * 6 + "c0ff", "0" * 40
START = 1_795_000_000.0
ENVIRONMENT = {
    "cpu": "A CPU",
    "gpu": None,
    "threads": 1,
    "dirty": False,
    "python": "3.11.7",
    "version": "0.0.9",
    "code_sha256": "d" * 64,
    "packages": {"torch": "2.13.0+cpu", "lightning-bolts": None},
}


def made(model, seed, commit=COMMIT, **more):
    run = record(model, seed, 2.0, status=more.pop("status", "ok"))
    run["timing"] |= {"started_at": START + seed, "ended_at": START + seed + 60}
    return run | {"environment": ENVIRONMENT | {"commit": commit}} | more


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The report of three runs of two commits, one failed, in a folder with a name of all sorts."""
    directory = tmp_path_factory.mktemp("results") / "Größe 3"
    records = [made("a", 1), made("b {x}", 2, OTHER), made("c", 3, status="failed")]
    for run in records:
        write_record(directory / "runs", run)
    write_manifest(directory, [run["key"] for run in records])
    write_tables(directory)
    return directory


def write_tables(directory: Path) -> None:
    """Write what a report writes, without its figures and page, which take long to draw."""
    loaded = load_sweep(directory)
    for path, text in table_files(directory, loaded, leaderboard_table(loaded, "s")).items():
        path.write_text(text, encoding="utf-8")


def crate_of(sweep) -> dict[str, dict]:
    graph = json.loads((sweep / CRATE).read_text(encoding="utf-8"))["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph)
    return {entity["@id"]: entity for entity in graph}


def test_croissants_own_reader_reads_every_cell(sweep):
    data = mlcroissant.Dataset(str(sweep / "croissant.json"))
    issues = data.metadata.ctx.issues
    assert not issues.errors and not issues.warnings
    for name in ("runs", "leaderboard", "timings"):
        table = pd.read_csv(sweep / f"{name}.csv", dtype={"key": str})
        rows = list(data.records(name))
        assert len(rows) == len(table) > 0
        assert [field.split("/")[1] for field in rows[0]] == list(table.columns)
        for row, (_, cells) in zip(rows, table.iterrows()):
            for column, cell in cells.items():
                read = row[f"{name}/{column}"]
                assert (read is None) == pd.isna(cell), column
                if isinstance(read, float):
                    assert read == cell


def test_every_file_has_its_hash_and_every_column_its_unit(sweep):
    content = json.loads((sweep / "croissant.json").read_text(encoding="utf-8"))
    assert content["version"].count(".") == 2 and content["datePublished"] == "2026-11-18"
    assert content["name"] == "likelihood-bench-gr-e-3"
    for entry in content["distribution"]:
        held = (sweep / entry["contentUrl"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(held).hexdigest()
        assert entry["contentSize"] == f"{len(held)} B"
    fields = {field["@id"]: field for table in content["recordSet"] for field in table["field"]}
    for name, columns in (("runs", runs_columns()), ("leaderboard", leaderboard_columns())):
        for column in columns:
            text = fields[f"{name}/{column.name}"]["description"]
            assert text.startswith(column.meaning.rstrip("."))
            assert (f"Unit: {column.unit}." in text) == bool(column.unit)


def test_the_crate_is_read_by_its_library_and_lists_what_is_there(sweep):
    crate = ROCrate(sweep)
    assert crate.root_dataset["license"].id == "https://spdx.org/licenses/MIT"
    names = {entity.id for entity in crate.data_entities}
    assert {"runs.csv", "leaderboard.csv", "timings.csv", "croissant.json"} < names
    for entity in crate.data_entities:
        held = (sweep / entity.id).read_bytes()
        assert entity["sha256"] == hashlib.sha256(held).hexdigest()
        assert entity["contentSize"] == str(len(held))


def test_what_rocrate_1_1_requires_is_there(sweep):
    """Section "Root Data Entity" and "RO-Crate Metadata File Descriptor" of the specification."""
    entities = crate_of(sweep)
    descriptor, root = entities[CRATE], entities["./"]
    assert descriptor["about"] == {"@id": "./"} and descriptor["@type"] == "CreativeWork"
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert {"name", "description", "datePublished", "license", "hasPart"} < set(root)
    assert root["datePublished"] == "2026-11-18"
    parts = {part["@id"] for part in root["hasPart"]}
    assert parts == {name for name, entity in entities.items() if entity["@type"] == "File"}
    for name, entity in entities.items():
        assert entity["@type"] and (name in ("./", CRATE) or "name" in entity), name
        for value in entity.values():
            for link in value if isinstance(value, list) else [value]:
                if isinstance(link, dict) and not link["@id"].startswith(
                    "https://w3id.org/ro/crate"
                ):
                    assert link["@id"] in entities


def test_the_crate_says_which_code_on_which_data_and_processor_made_the_table(sweep):
    entities = crate_of(sweep)
    mentioned = [entities[link["@id"]] for link in entities["./"]["mentions"]]
    kinds = [entity["@type"] for entity in mentioned]
    assert kinds == ["CreateAction"] * 3 + ["IndividualProduct"]
    first, processor = mentioned[0], mentioned[-1]
    assert first["startTime"] == "2026-11-18T11:06:41Z" and first["endTime"] > first["startTime"]
    software = entities[first["instrument"]["@id"]]
    assert software["identifier"] == COMMIT and "d" * 64 in software["description"]
    assert software["softwareVersion"] == "0.0.9" and processor["name"] == "A CPU"
    assert "on A CPU" in first["description"]
    versions = {
        entities[link["@id"]]["softwareVersion"] for link in software["softwareRequirements"]
    }
    assert versions == {"3.11.7", "2.13.0+cpu"}
    data = entities[first["object"]["@id"]]
    assert data["identifier"] == f"sha256:{pd.read_csv(sweep / 'runs.csv')['data_sha256'][0]}"
    assert {link["@id"] for link in first["result"]} == {"runs.csv", "timings.csv"}


def contents(sweep: Path) -> dict[str, str]:
    names = ("croissant.json", CRATE, "datapackage.json")
    return {name: read_text(sweep / name, 2**20) for name in names}


def test_the_same_tables_give_the_same_bytes_with_and_without_their_records(sweep):
    before = contents(sweep)
    describe(sweep)
    assert contents(sweep) == before
    write_tables(sweep)
    assert contents(sweep) == before


def test_without_any_date_there_is_no_crate_and_none_of_older_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.report.report.drawn_paths", lambda *_: [])
    monkeypatch.setattr("bench.report.report.drawn_files", lambda *_: {})
    run = record("m", 1, 2.0) | {"environment": {"commit": COMMIT}}
    write_record(tmp_path / "runs", run)
    write_manifest(tmp_path, [run["key"]])
    (tmp_path / CRATE).write_text("of older tables")
    assert write_report(tmp_path) == 0
    assert "ro-crate-metadata.json is not written: " in capsys.readouterr().out
    assert not (tmp_path / CRATE).exists()
    assert "datePublished" not in json.loads((tmp_path / "croissant.json").read_text())


def test_the_date_of_runs_without_a_time_is_that_of_their_commit(tmp_path):
    here = read_checkout().commit
    if here is None:
        pytest.skip("this is no checkout")
    run = record("m", 1, 2.0) | {"environment": {"commit": here}}
    write_record(tmp_path / "runs", run)
    write_manifest(tmp_path, [run["key"]])
    write_tables(tmp_path)
    assert crate_of(tmp_path)["./"]["datePublished"] == date_of(here)


def test_tables_without_a_data_package_are_refused_in_a_line(sweep, tmp_path):
    for name in ("runs.csv", "leaderboard.csv", "timings.csv", "leaderboard.tex"):
        (tmp_path / name).write_bytes((sweep / name).read_bytes())
    with pytest.raises(InputError, match="datapackage.json: cannot be read"):
        describe(tmp_path)
    (tmp_path / "datapackage.json").write_text("[]")
    with pytest.raises(InputError, match="cannot be read as a sweep's tables"):
        describe(tmp_path)
