"""Records, manifests and tables from strangers: each gets a line, and nothing is written for it."""

import copy
import json
import os
import random
import socket
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.configuration.job import Job
from bench.errors import InputError
from bench.records.consistency import check_consistent
from bench.records.manifest import write_manifest
from bench.records.record import checksum, read_record, write_record
from bench.records.schema import LARGEST, problem_of
from bench.records.tables import csv_text, parse_runs, read_runs
from bench.report.citation import citation
from bench.report.costs import timings_table
from bench.report.page.write import vega
from bench.report.pages import rewritten
from bench.report.reduce import leaderboard_table, load_sweep, runs_table, slim
from bench.report.report import report
from bench.report.tables import latex, markdown, print_leaderboard
from bench.runs.run import run
from bench.sweep.driver import needs_run
from bench.sweep.dry_run import recorded_rates
from tests.conftest import small_config
from tests.limits import limited
from tests.made_up import estimate
from tests.report.test_report_page import full, png
from tests.test_hostile import broken_text, changed_somewhere

TEXTS = [
    "\x1b]0;pwned\x07\x1b[2J",
    "a\nb",
    "a\u2028b\u202ec",
    "\x9b31m",
    "$\\frac{",
    "$$",
    "\\",
    "[/red]",
    "[bold]",
    "| a |",
    "<!-- /leaderboard:s -->",
    "</script><script>alert(1)</script>",
    "'; touch outside; '",
    "=cmd|' /C calc'!A0",
    "NA",
    "",
    " ",
    "x" * 100_000,
    "日本語",
    "\ud800",
    "../../outside",
    "a" * 300,
    "model=x split=y",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    # Its engine asks for more addresses than there may be within limits, and is there for good.
    vega()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    made = run(Job(small_config("gaussian_vae"), "gaussian_vae", "s", str(folder), "disabled"))
    del made["notes"]
    return made


def any_number(rng):
    """Return a number of any size and sign: whole, broken, tiny, or near the largest there is."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice([0, -0.0, -1, 2**62, 2**63, -(10**400), True, 5e-324])
    size = rng.choice([rng.uniform(-5, 5), rng.uniform(-320, 308)])
    value = rng.choice([1, -1]) * rng.uniform(1, 9.9) * 10.0**size
    return int(value) if kind == 1 and abs(value) < 1e300 else value


def leaves(value, kind, place=()):
    """Return the places of all numbers or texts in nested data."""
    if isinstance(value, (dict, list)):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for name, part in parts for leaf in leaves(part, kind, (*place, name))]
    return [place] if isinstance(value, kind) else []


def put(value, place, new):
    for name in place[:-1]:
        value = value[name]
    value[place[-1]] = new


def impossible(record, rng):
    """Return a record whose checksum is right and whose content no run can have had."""
    kind = rng.randrange(6)
    if kind == 0:
        return changed_somewhere(record, rng)
    made = copy.deepcopy(record)
    if kind == 1:
        made["bound"] = rng.choice(["upper", "exact", "none"])
    if kind == 2:
        depth = 10 ** rng.randrange(1, 4)
        nested = rng.choice(["x", 1])
        for _ in range(min(depth, 300)):
            nested = rng.choice([[nested], {"a": nested}])
        put(made, (rng.choice(["config", "environment", "data"]), "more"), nested)
    texts = kind == 3
    for place in rng.sample(leaves(made, str if texts else (int, float)), rng.randrange(1, 4)):
        put(made, place, rng.choice(TEXTS) if texts else any_number(rng))
    if texts:
        made["model"] = rng.choice(TEXTS)
    return made


def everything_but_figures(records):
    """Make and print of records all that is quickly made. Returns the texts."""
    slimmed = [slim(copy.deepcopy(one)) for one in records]
    board, runs = leaderboard_table(slimmed, "s"), runs_table(slimmed, "s")
    again = parse_runs(csv_text(runs).encode(), "runs.csv")
    print_leaderboard(board)
    csv_text(timings_table(slimmed))
    return [markdown(board), latex(board), *citation(again, Path("s")).split("\n")]


def test_of_impossible_records_each_is_refused_in_a_line_or_becomes_tables(record, capsys):
    rng = random.Random(2)
    base, refused, passed, together = copy.deepcopy(record), 0, 0, []
    # Of pictures and maps there is no more than one of each kind to be found wrong.
    base["images"] = {"data": png(3)}
    for number in range(400):
        made = impossible(base, rng)
        with limited(30, 256):
            made = json.loads(json.dumps(made))
            problem = problem_of(made)
            if problem is None:
                passed += 1
                together.append(made | {"key": f"{number:016x}"})
                if len(together) == 8:
                    texts = everything_but_figures(together)
                    assert "".join(texts).replace("\n", "").isprintable()
                    together = []
            else:
                refused += 1
                assert problem.isprintable() and len(problem) < 300
        assert capsys.readouterr().out.replace("\n", "").isprintable()
    assert refused > 115 and passed > 57


def contents(folder):
    """Return what a folder holds: names, kinds, and the bytes of files."""
    return {
        path: path.read_bytes() if path.is_file() else path.lstat().st_mode
        for path in folder.rglob("*")
    }


def test_of_damaged_records_each_gets_a_line_and_changes_no_file(record, folder):
    """Also those whose author took care that the checksum is right."""
    rng, refused, runs = random.Random(3), 0, folder / "s" / "runs"
    write_manifest(folder / "s", [record["key"]])
    path = write_record(runs, record)
    report(folder / "s")
    before = {p: content for p, content in contents(folder).items() if p != path}
    whole = json.dumps(record | {"checksum": checksum(record)})
    for number in range(80):
        if number % 2:
            broken = changed_somewhere(record, rng)
            if isinstance(broken, dict):
                try:
                    broken["checksum"] = checksum(broken)
                except (ValueError, TypeError):
                    broken["checksum"] = "0"
            content = json.dumps(broken).encode()
        else:
            content = damaged(whole, rng)
        path.write_bytes(content)
        with limited(30, 512):
            try:
                read_record(path)
            except InputError as error:
                assert str(error).isprintable() and len(str(error)) <= 1000
                refused += 1
                with pytest.raises(InputError):
                    report(folder / "s")
        now = {p: content for p, content in contents(folder).items() if p != path}
        assert now == before
    assert refused > 40


def damaged(text, rng):
    """Return the bytes of a text that was cut, filled, encoded otherwise or nested without end."""
    kind = rng.randrange(7)
    if kind == 0:
        return text.encode()[: rng.randrange(len(text))]
    if kind == 1:
        return rng.randbytes(rng.randrange(2000))
    if kind == 2:
        return (text.replace("a", "é", 1)).encode(rng.choice(["latin-1", "utf-16", "utf-8-sig"]))
    if kind == 3:
        return rng.choice(["[", '{"a":', "[[],"]).encode() * rng.choice([10, 1000, 100_000])
    if kind == 4:
        return b'{"keys": [' + b"[]," * rng.randrange(200_000) + b"0]}"
    if kind == 5:
        return b"\x00" * rng.randrange(1000)
    return broken_text(text, rng).encode("utf-8", "replace")


NOT_FILES = ("fifo", "socket", "folder", "device", "loop", "gigantic")


def put_in_place(path, what):
    """Put at ``path`` what is no file to read."""
    path.unlink(missing_ok=True)
    if what == "fifo":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))
    elif what == "folder":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "loop":
        path.symlink_to(path)
    else:
        with open(path, "wb") as file:
            file.truncate(2**34)


@pytest.mark.parametrize("what", NOT_FILES)
@pytest.mark.parametrize("name", ["record.json", "manifest.json", "runs.csv", "README.md"])
def test_what_is_no_file_neither_blocks_nor_is_written_over(name, what, folder, capsys):
    results = folder / "results"
    made = full("m", 1, 1.5)
    write_record(results / "s" / "runs", made)
    write_manifest(results / "s", [made["key"]])
    other = results / "t"
    other.mkdir()
    readme = folder / "README.md"
    place = {
        "record.json": results / "s" / "runs" / made["key"] / "record.json",
        "manifest.json": results / "s" / "manifest.json",
        "runs.csv": other / "runs.csv",
        "README.md": readme,
    }[name]
    put_in_place(place, what)
    names = sorted(folder.rglob("*"))
    commands = [["report", "s", "--results", "results", "--readme", "README.md"]]
    commands += [["status", "s", "--results", "results"]] if name.endswith(".json") else []
    commands += [["cite", "task=x", "--results", "results"]] if name == "runs.csv" else []
    with limited(30, 256):
        for words in commands:
            code = main(words)
            error = capsys.readouterr().err
            assert (code, len(error.splitlines())) == (2, 1) or (words[0], code) == ("status", 1)
        if name == "record.json":
            assert recorded_rates(results) == {}
            assert needs_run(results / "s", made["key"], False)
    assert sorted(folder.rglob("*")) == names


@pytest.mark.parametrize(
    "name", ["s/page.html", "s/runs.csv", "s/leaderboard.tex", "s/figures/digits-17-samples.png"]
)
@pytest.mark.parametrize("what", ["folder", "fifo", "device"])
def test_a_folder_where_a_file_belongs_is_named_before_anything_is_written(name, what, folder):
    made = full("m", 1, 1.5)
    write_record(folder / "s" / "runs", made)
    write_manifest(folder / "s", [made["key"]])
    (folder / name).parent.mkdir(exist_ok=True)
    put_in_place(folder / name, what)
    before = sorted(folder.rglob("*"))
    with limited(30), pytest.raises(InputError, match=f"{name} is not a regular file"):
        report(folder / "s")
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_written(folder, monkeypatch):
    made = full("m", 1, 1.5)
    write_record(folder / "s" / "runs", made)
    write_manifest(folder / "s", [made["key"]])
    (folder / "s" / "figures").write_text("")
    before = sorted(folder.rglob("*"))
    with pytest.raises(InputError, match="s/figures is not a folder"):
        report(folder / "s")
    (folder / "s" / "figures").unlink()
    before.remove(folder / "s" / "figures")
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda path, how: False)
        with pytest.raises(InputError, match="s cannot be written"):
            report(folder / "s")
    with monkeypatch.context() as patch:
        full_disk = OSError(28, "No space left on device")
        patch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(full_disk))
        with pytest.raises(InputError, match="cannot be written: No space left on device"):
            report(folder / "s")
    assert sorted(folder.rglob("*")) == before


def test_a_record_that_may_not_be_read_is_named(folder, monkeypatch):
    made = full("m", 1, 1.5)
    path = write_record(folder / "s" / "runs", made)
    write_manifest(folder / "s", [made["key"]])

    def denied(name, *more, **options):
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(name, *more, **options)

    opened = os.open
    monkeypatch.setattr("os.open", denied)
    with pytest.raises(InputError, match="record.json is damaged: PermissionError"):
        report(folder / "s")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_somebody_elses_readme_in_another_encoding_is_left_alone(encoding, folder):
    made = full("m", 1, 1.5)
    write_record(folder / "r" / "s" / "runs", made)
    write_manifest(folder / "r" / "s", [made["key"]])
    for path in (folder / "r" / "README.md", folder / "README.md"):
        path.write_text("Ä <!-- leaderboard:s --> <!-- /leaderboard:s -->", encoding=encoding)
    before = contents(folder)
    with pytest.raises(InputError, match="README.md cannot be read"):
        report(folder / "r" / "s", folder / "README.md")
    assert contents(folder) == before
    report(folder / "r" / "s")
    assert contents(folder).items() >= before.items()


def test_a_readme_of_very_many_marks_takes_no_time_and_is_left_alone(folder):
    start, end = "<!-- leaderboard:s -->", "<!-- /leaderboard:s -->"
    with limited(5, 256):
        assert rewritten(end + start * 100_000, "leaderboard", "s", "new") is None
        for marks in (start * 100_000 + end, start + end * 2, start + end + start + end):
            with pytest.raises(InputError, match="occurs [0-9]+ times"):
                rewritten(marks, "leaderboard", "s", "new")
    assert rewritten(f"{end} {start}", "leaderboard", "s", "new") is None
    assert rewritten(f"a {start}{end} b", "leaderboard", "s", "new") == f"a {start}\nnew\n{end} b"


def test_options_that_are_no_names_still_tell_models_apart(folder):
    """Two runs of one task and model differ in an option's value, or in its name."""
    values = ("\ud800", "\x1b[2J\n", "\\x1b[2J\\n", "y" * 100_000, "y" * 99_999, "plain")
    made = [full("m", 1, 1.5 + number) for number, _ in enumerate(values)]
    for number, (record, value) in enumerate(zip(made, values)):
        record["key"] = f"{number:016x}"
        record["config"] = {"trainer": {"beta": 1.0, "name": value}, "seed": 1}
        write_record(folder / "s" / "runs", record)
    write_manifest(folder / "s", [record["key"] for record in made])
    with limited(60, 1024):
        report(folder / "s")
    runs = read_runs(folder / "s" / "runs.csv")
    assert runs["model"].nunique() == len(values) and "m trainer.name=plain" in set(runs["model"])


def test_a_manifest_of_any_size_and_depth_takes_no_time(folder, capsys):
    made = full("m", 1, 1.5)
    write_record(folder / "s" / "runs", made)
    keys = [f"{number:016x}" for number in range(100_000)]
    write_manifest(folder / "s", [*keys, made["key"]])
    with limited(60):
        assert len(load_sweep(folder / "s")) == 1
        assert main(["status", "s", "--results", "."]) == 1
        write_manifest(folder / "s", [made["key"]] * 100_000)
        with pytest.raises(InputError, match="names a run more than once"):
            load_sweep(folder / "s")
        assert len(capsys.readouterr().out) < 1000
    rng = random.Random(4)
    text = json.dumps({"sweep": "s", "keys": [made["key"]]})
    for number in range(60):
        changed = json.dumps(changed_somewhere(json.loads(text), rng))
        (folder / "s" / "manifest.json").write_bytes(
            damaged(text, rng) if number % 3 else changed.encode()
        )
        with limited(30, 256):
            try:
                load_sweep(folder / "s")
            except InputError as error:
                assert str(error).isprintable()


def test_of_damaged_tables_each_gets_a_line_or_is_cited_without_harm(folder, capsys):
    rng, refused = random.Random(5), 0
    text = csv_text(runs_table([full("m", 1, 1.5), full("m", 2, 1.25)], "s"))
    (folder / "s").mkdir()
    lines = [line.split(",") for line in text.splitlines()]
    for number in range(60):
        content = damaged(text, rng)
        if number % 3:
            cells = copy.deepcopy(lines)
            row = rng.choice(cells[1:])
            row[rng.randrange(len(row))] = rng.choice([*TEXTS, str(any_number(rng))])
            content = "\n".join(",".join(row) for row in cells).encode("utf-8", "replace")
        (folder / "s" / "runs.csv").write_bytes(content)
        with limited(30, 512):
            code = main(["cite", "task=digits-17", "--results", "."])
            if code == 0:
                parse_runs(content, "runs.csv")
        out, error = capsys.readouterr()
        assert code in (0, 2) and (out + error).replace("\n", "").isprintable()
        # What is to be typed runs nothing else.
        assert "outside;" not in out or "'\"'\"'" in out
        refused += code == 2
    assert refused > 10 and [path.name for path in folder.iterdir()] == ["s"]


def test_records_that_pass_are_reported_or_refused_never_a_traceback(record, folder):
    rng, passed = random.Random(6), 0
    for number in range(5):
        runs, keys = folder / "s" / "runs", []
        while len(keys) < 5:
            # Of one kind in a sweep: runs of one task have the same data.
            made = impossible(record if number % 2 else full("other", 1, 1.5), rng)
            if isinstance(made, dict) and not isinstance(made.get("model"), dict):
                made["key"] = f"{rng.randrange(16**16):016x}"
                try:
                    check_consistent(read_record(write_record(runs, made)))
                except (InputError, ValueError, TypeError):
                    continue
                keys.append(made["key"])
        write_manifest(folder / "s", keys)
        with limited(60, 1024):
            try:
                report(folder / "s")
                passed += 1
            except InputError:
                pass
    assert passed >= 2
    outside = [p for p in folder.rglob("*") if "outside" in p.name]
    assert not outside and {p.name for p in folder.iterdir()} == {"s", "README.md"}


@pytest.mark.parametrize("task", ["../../outside", "/tmp/outside", "a/b", "", "x\ny", 3, "ä"])
def test_a_task_that_would_be_a_path_is_refused(task, record, folder):
    path = write_record(folder / "s" / "runs", record | {"task": task})
    with pytest.raises(InputError, match="names no task"):
        read_record(path)


def test_a_models_name_that_is_broken_mathematics_is_drawn_as_it_is(folder):
    for number, name in enumerate((r"$\frac{", "$a$", r"\$", "$" * 7)):
        made = full(name, 1, 1.5 + number)
        write_record(folder / "s" / "runs", made)
    write_manifest(folder / "s", [path.name for path in (folder / "s" / "runs").iterdir()])
    report(folder / "s")
    assert (folder / "s" / "figures" / "digits-17-decomposition.png").is_file()


@pytest.mark.parametrize("mode", ["LA", "I;16", "P", "too many pixels"])
def test_a_picture_of_another_kind_is_refused_before_anything_is_written(mode, folder):
    import base64
    import io

    from PIL import Image

    stream = io.BytesIO()
    many = mode.startswith("too")
    Image.new("L" if many else mode, (5000, 5000) if many else (4, 4)).save(stream, "png")
    made = full("m", 1, 1.5)
    made["images"]["samples"] = base64.b64encode(stream.getvalue()).decode()
    write_record(folder / "s" / "runs", made)
    write_manifest(folder / "s", [made["key"]])
    with limited(30, 256), pytest.raises(InputError, match="is not a PNG that can be shown"):
        report(folder / "s")
    assert sorted(path.name for path in (folder / "s").iterdir()) == ["manifest.json", "runs"]


@pytest.mark.parametrize(
    "change",
    [
        {"bits": 10 * LARGEST},
        {"bits": -0.5},
        {"stderr": -0.1},
        {"stderr_data": -0.1},
        {"stderr_data": "0.1"},
        {"timing": {"key": 1.0}},
        {"timing": {"fit_seconds": -1.0}},
        {"timing": {"core_hours": 1.0}},
        {"timing": {"ended_at": 1e12}},
        {"timing": {"started_at": 2.0, "ended_at": 1.0}},
        {"reason": "\ud800"},
    ],
    ids=str,
)
def test_numbers_that_no_run_has_are_refused(change):
    made = full("m", 1, 1.5)
    estimates = made["metrics"]["test"] = dict(made["metrics"]["test"])
    estimates["bits_per_dim"] = estimate(change.get("bits", 1.5), change.get("stderr", 0.1))
    estimates["bits_per_dim"]["stderr_data"] = change.get("stderr_data", 0.1)
    made["timing"] = change.get("timing", made["timing"])
    if "reason" in change:
        made |= {"status": "failed", "reason": change["reason"]}
    assert problem_of(made).startswith(("has no", "has negative", "failed without"))


def test_a_density_without_dequantization_may_have_negative_bits():
    assert problem_of(full("m", 1, -3.0) | {"bound": "none"}) is None


@pytest.mark.parametrize("values", [(1.5, 1.5), (1.5, 1.75)])
@pytest.mark.parametrize("bounds", [("exact", "exact"), ("exact", "upper")])
def test_an_exact_bound_of_several_seeds_is_held_against_others(bounds, values, capsys):
    made = [full("e", s, v) | {"bound": b} for s, v, b in zip((1, 2), values, bounds)]
    everything_but_figures([*made, full("o", 1, 2.0), full("o", 2, 2.1)])
    board = leaderboard_table(list(map(slim, [*made, full("o", 1, 2.0)])), "s")
    narrow = board["bits_per_dim_low"][0] == board["bits_per_dim"][0]
    assert narrow == (values[0] == values[1])


def test_an_environment_without_a_commit_is_reported_as_such(folder):
    made = full("m", 1, 1.5) | {"environment": {}}
    write_record(folder / "s" / "runs", made)
    write_manifest(folder / "s", [made["key"]])
    assert len(report(folder / "s")) == 1


def test_a_sweep_of_densities_alone_has_an_empty_leaderboard(folder, capsys):
    made = full("m", 1, -3.0) | {"bound": "none"}
    write_record(folder / "s" / "runs", made)
    write_manifest(folder / "s", [made["key"]])
    assert report(folder / "s").empty
    assert (folder / "s" / "leaderboard.csv").read_text().startswith("rank,task,model,")
