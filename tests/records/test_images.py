"""Pictures of published records in files of their own."""

import json

import pytest

from bench.errors import InputError
from bench.records.images import FOLDER, main
from bench.records.record import read_record, record_path, write_record
from tests.report.test_report_page import full

KEYS = ("a" * 16, "b" * 16)


@pytest.fixture
def runs(tmp_path):
    """Two records, one of whose pictures is the same."""
    for number, key in enumerate(KEYS):
        record = full("a model", number, 2.0) | {"key": key}
        record["images"] = {"data": "AAAA", "samples": "AAA" + "BC"[number]}
        write_record(tmp_path, record)
    return tmp_path


def test_records_are_the_same_and_equal_pictures_are_one_file(runs):
    before = [read_record(record_path(runs, key)) for key in KEYS]
    sizes = [record_path(runs, key).read_text() for key in KEYS]
    main(runs)
    assert [read_record(record_path(runs, key)) for key in KEYS] == before
    assert [record_path(runs, key).read_text() for key in KEYS] != sizes
    assert len(list((runs / FOLDER).glob("*.png"))) == 3
    stored = [record_path(runs, key).read_bytes() for key in KEYS]
    main(runs)  # again, and with nothing to do
    assert [record_path(runs, key).read_bytes() for key in KEYS] == stored


def test_a_picture_that_is_lost_or_altered_is_noticed(runs):
    main(runs)
    path = record_path(runs, KEYS[0])
    name = json.loads(path.read_text())["images"]["samples"].removeprefix("sha256:")
    picture = runs / FOLDER / f"{name}.png"
    picture.write_bytes(b"another")
    with pytest.raises(InputError, match="was altered"):
        read_record(path)
    picture.unlink()
    with pytest.raises(InputError, match="is damaged: FileNotFoundError"):
        read_record(path)


def test_a_name_that_is_no_hash_reads_no_file(runs):
    path = record_path(runs, KEYS[0])
    (runs / "secret.png").write_bytes(b"secret")
    content = json.loads(path.read_text())
    content["images"]["samples"] = "sha256:../secret"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="was altered"):
        read_record(path)
