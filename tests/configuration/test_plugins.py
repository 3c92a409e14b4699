"""Parts from outside: the user's word alone loads them, and records say which source they had."""

import json
from itertools import count
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.configuration import plugins
from bench.configuration.job import Job
from bench.configuration.load_plugin import load_plugin
from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run, validate
from bench.errors import InputError
from bench.records.differences import options_of
from bench.records.key import key_of
from bench.records.record import read_record, write_record
from bench.records.row import plugins_of, plugins_text
from bench.records.tables import csv_text, read_runs
from bench.report.page.data import board_of
from bench.report.rebuilt import altered_rows
from bench.report.reduce import leaderboard_table, load_sweep, runs_table
from tests.conftest import SMALL_VAE, parsed_once, small_config
from tests.own_parts import WIDE

OWN = ["--data", "digits-binary", "--model", "bernoulli_vae", "--model.prior", "Wide"]
COUNT = count()
QUICK = [*SMALL_VAE, "--trainer.max_epochs=1", "--evaluation.importance_samples=4"]


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch, tmp_path):
    """Each test begins as a process that has loaded no plugin, in a folder of its own."""
    monkeypatch.setattr("bench.configuration.plugins.LOADED", (loaded := {}))
    monkeypatch.setattr("bench.configuration.load_plugin.LOADED", loaded)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def parts(tmp_path):
    path = tmp_path / "my_parts.py"
    path.write_text(WIDE)
    return path


def own_config(*more):
    return parse_run([*OWN, *QUICK, *more])


def test_a_configuration_names_a_part_that_the_user_gave_and_is_hashed_with_its_source(parts):
    plain = small_config("bernoulli_vae", "digits-binary")
    before = key_of(plain)
    plugin = load_plugin("my_parts.py")
    config = own_config("--model.prior.width", "3")
    assert config["model"]["init_args"]["prior"] == {
        "class_path": "Wide",
        "init_args": {"width": 3.0},
    }
    assert config["plugins"] == [{"name": "my_parts.py", "version": None, "sha256": plugin.sha256}]
    assert build_model(config, (1, 8, 8), 2).prior.density.width == 3.0
    # A run that takes nothing from the plugin is as it is without.
    parsed_once.cache_clear()
    assert small_config("bernoulli_vae", "digits-binary") == plain and key_of(plain) == before
    assert "plugins" not in options_of(plain) and "plugins" in options_of(config)
    assert validate(json.loads(json.dumps(config))) == config


def test_the_key_changes_with_code_and_version_and_not_with_prose_or_the_files_name(
    parts, monkeypatch
):
    def key(text, name="my_parts.py"):
        monkeypatch.setattr("bench.configuration.plugins.LOADED", (loaded := {}))
        monkeypatch.setattr("bench.configuration.load_plugin.LOADED", loaded)
        (parts.parent / name).write_text(text)
        load_plugin(name)
        return key_of(own_config())

    first = key(WIDE)
    assert key(WIDE.replace("Its standard deviation.", "σ.") + "# the end\n") == first
    assert key(WIDE, "renamed.py") == first
    others = [key(WIDE.replace("2.0", "2.5")), key(WIDE.replace("zero", "0") + "x = 1\n")]
    others.append(key(WIDE + '__version__ = "1.2"\n'))
    assert len({first, *others}) == 4


def test_types_are_checked_and_help_is_shown_as_for_parts_of_bench(parts, capsys):
    load_plugin("my_parts.py")
    with pytest.raises(InputError, match="model.prior.*width: Expected a float"):
        own_config("--model.prior.width", "wide")
    with pytest.raises(InputError, match="'widht' is not accepted"):
        own_config("--model.prior.widht", "1")
    with pytest.raises(InputError, match="WideDensity of my_parts.py is no part: .*forward"):
        parse_run([*OWN[:-1], "WideDensity"])
    with pytest.raises(SystemExit):
        parse_run([*OWN, "--model.prior.help", "Wide"])
    assert "Its standard deviation." in capsys.readouterr().out


BROKEN = {
    "x = (\n": r"my_parts.py is not Python: line 1: '\(' was never closed",
    "x = '\0'\n": "my_parts.py is not Python: ",
    "import os\nimport no_such_module\n": "cannot be imported: line 2: ModuleNotFoundError: No module",
    "raise SystemExit(3)\n": "cannot be imported: line 1: SystemExit: 3",
    "from bench.networks.mlp import MLP\n": "my_parts.py defines no part: a part is a subclass of Model",
    "class Some: pass\n": r"defines no part \(only Some\)",
    WIDE.replace("class Wide(", "class Vamp("): "defines Vamp, a name that bench has already",
    WIDE.replace(
        "def forward(", "def backward("
    ): r"Wide is a Prior without forward\(encode, noise",
    WIDE + "__version__ = 3\n": "__version__ is not a text",
    "import helpers\n" + WIDE: "my_parts.py imports helpers beside it, which the hash",
}


@pytest.mark.parametrize("text", BROKEN, ids=list(BROKEN.values()))
def test_what_is_no_plugin_is_refused_in_a_line(text, parts, monkeypatch):
    (parts.parent / "helpers.py").write_text("")
    monkeypatch.syspath_prepend(str(parts.parent))
    parts.write_text(text)
    with pytest.raises(InputError, match=BROKEN[text]) as error:
        load_plugin("my_parts.py")
    assert "\n" not in str(error.value)
    assert not plugins.LOADED


def test_a_place_where_there_is_none(parts, capsys):
    for place, words in {
        "absent.py": "absent.py: no such file",
        "my_parts": "a file is named with its ending .py",
        "not a name": "no module 'not a name'",
        "bench.densities": "is bench itself",
        "sys": "sys defines no part",
        "x" * 200 + ".py": "longer than 100 letters",
    }.items():
        assert main(["train", "--plugin", place, *OWN]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert words in line
    for words in (["train", "--plugin"], ["sweep", "default", "--plugin", "--dry-run"]):
        assert main(words) == 2
        assert "plugin: is empty" in capsys.readouterr().err


def test_two_plugins_may_not_define_one_name(parts):
    load_plugin("my_parts.py")
    (parts.parent / "more.py").write_text(WIDE)
    with pytest.raises(InputError, match="more.py defines Wide, a name that another plugin has"):
        load_plugin("more.py")
    (parts.parent / "more.py").write_text(WIDE.replace("Wide", "Wider"))
    load_plugin("more.py")
    assert [p["name"] for p in own_config("--model.prior=Wider")["plugins"]] == ["more.py"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with an entry point. Each has a name of its own, as modules stay."""
    name = f"wide_priors_{next(COUNT)}"
    folder = tmp_path / "site" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f"from {name}.wide import Wide\n")
    (folder / "wide.py").write_text(WIDE)
    information = folder.parent / f"{name}-1.5.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: {name}\nVersion: 1.5\n")
    entry = f"[likelihood_bench.parts]\nwide = {name}\n"
    (information / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder


def test_an_entry_point_has_the_version_of_its_distribution_and_all_source_of_its_package(package):
    plugin = load_plugin("wide")
    assert (plugin.version, list(plugin.parts)) == ("1.5", ["Wide"])
    assert own_config()["plugins"][0]["name"] == "wide"
    (package / "elsewhere.py").write_text("x = 1\n")
    with pytest.raises(InputError, match="wide has changed since it was imported"):
        load_plugin("wide")


def test_a_modules_name_will_do(package):
    assert load_plugin(f"{package.name}.wide").version is None
    assert own_config()["plugins"][0]["name"] == f"{package.name}.wide"


def test_no_file_loads_a_plugin(parts, capsys):
    """Neither a sweep nor a configuration nor a record: they say which one the user has to give."""
    parts.write_text("open('executed', 'w')\n" + WIDE)
    matrix = {"data": ["digits-binary"], "model": ["bernoulli_vae"], "model.prior": ["Wide"]}
    (parts.parent / "s.json").write_text(json.dumps({"matrix": matrix, "plugin": "my_parts.py"}))
    (parts.parent / "s.json").rename(parts.parent / "s.yaml")
    assert main(["sweep", "s.yaml", "--dry-run"]) == 2
    assert "unknown section 'plugin'" in capsys.readouterr().err
    for name in ("plugin", "plugins"):
        (parts.parent / "c.yaml").write_text(f"{name}: [my_parts.py]\nmodel.prior: Wide\n")
        with pytest.raises(InputError):
            parse_run(["--config", "c.yaml", *OWN])
    config = small_config("bernoulli_vae", "digits-binary")
    one = {"name": "my_parts.py", "version": None, "sha256": "a" * 64}
    with pytest.raises(InputError, match="needs --plugin my_parts.py with SHA-256 a{64}; give it"):
        validate(config | {"plugins": [one]})
    for hostile in (
        "my_parts.py",
        [],
        [one] * 11,
        [one | {"place": "my_parts.py"}],
        [one | {"name": "a\nb"}],
        [one | {"sha256": "a"}],
        [one | {"version": 3}],
    ):
        with pytest.raises(InputError, match="plugins: "):
            validate(config | {"plugins": hostile})
    assert not (parts.parent / "executed").exists()


def test_from_a_run_to_its_citation(parts, capsys, monkeypatch):
    """Trained, evaluated and verified with the plugin; refused without, and with another source."""
    words = ["train", "--plugin=my_parts.py", *OWN, *QUICK, "--output=trained", "--wandb=disabled"]
    assert main(words) == 0
    [folder] = (parts.parent / "trained" / "runs").iterdir()
    record = read_record(folder / "record.json")
    # As of an installed wheel: this test also runs where the code is not its commit's.
    record["environment"] |= {"commit": None, "dirty": None}
    write_record(folder.parent, record)
    [made_with] = record["config"]["plugins"]
    assert record["prior"] == "Wide" and made_with["name"] == "my_parts.py"
    cell, records = f"my_parts.py sha256:{made_with['sha256']}", load_sweep(folder.parents[1])
    tables = {"runs": runs_table(records, "trained")}
    tables["leaderboard"] = leaderboard_table(records, "trained")
    for name, table in tables.items():
        assert table["plugin"].eq(cell).all()
        (parts.parent / "trained" / f"{name}.csv").write_text(csv_text(table))
    assert f"come from {cell}" in board_of(tables["leaderboard"], records)[0]["plugin"]
    assert not altered_rows(Path("trained/leaderboard.csv"), read_runs(Path("trained/runs.csv")))
    Path("trained/manifest.json").unlink()  # and from runs.csv alone
    assert not altered_rows(Path("trained/leaderboard.csv"), read_runs(Path("trained/runs.csv")))
    capsys.readouterr()
    assert main(["cite", folder.name, "--results", "."]) == 0
    cited = capsys.readouterr().out
    assert f"  plugin   {cell}" in cited and cited.rstrip().endswith("--plugin my_parts.py")
    # The configuration as the page shows it.
    (parts.parent / "run.json").write_text(json.dumps(record["config"]))
    (parts.parent / "run.json").rename("run.yaml")
    assert key_of(parse_run(["--config", "run.yaml"])) == folder.name
    again = [["evaluate", str(folder / "best.ckpt")], ["verify", "trained/runs.csv"]]
    needed = f"this run needs --plugin my_parts.py with SHA-256 {made_with['sha256']}"
    for command in again:
        assert main([*command, "--plugin", "my_parts.py"]) == 0
    plugins.LOADED.clear()
    for command in again:
        assert main(command) == 2
        assert f"{needed}; give it" in capsys.readouterr().err
    parts.write_text(WIDE.replace("2.0", "2.5"))
    for command in again:
        assert main([*command, "--plugin", "my_parts.py"]) == 2
        assert f"{needed}; the one that was given has SHA-256" in capsys.readouterr().err


def test_a_cell_says_all_of_the_plugins():
    for version in (None, "1.0 beta"):
        plugins = [{"name": n, "version": version, "sha256": n[0] * 64} for n in ("a b.py", "c")]
        assert plugins_of(plugins_text({"plugins": plugins})) == {"plugins": plugins}
    assert plugins_of(None) == {} and plugins_text({}) is None


def test_a_part_that_fails_is_the_users_to_mend(parts, capsys):
    parts.write_text(WIDE.replace("super().__init__(latent", "super().__init__(undefined, latent"))
    assert main(["train", "--plugin", "my_parts.py", *OWN, *QUICK]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "digits-binary, bernoulli_vae: cannot be built: name 'undefined' is not defined" in line


def test_a_job_takes_its_plugin_along(parts):
    load_plugin("my_parts.py")
    job = Job(own_config(), "m", "s", "", "disabled")
    assert job.plugins == (str(parts),)
    assert Job(small_config("bernoulli_vae"), "m", "s", "", "disabled").plugins == ()
    plugins.LOADED.clear()
    job.load_outside()
    parts.write_text(WIDE.replace("2.0", "2.5"))
    with pytest.raises(InputError, match="has changed since it was imported"):
        job.load_outside()
    plugins.LOADED.clear()
    with pytest.raises(InputError, match="this run needs --plugin my_parts.py .* was given has"):
        job.load_outside()
