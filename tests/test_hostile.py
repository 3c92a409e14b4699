"""Files from strangers: nothing in them runs, nothing is written for them, each gets one line."""

import copy
import random

import pytest
import yaml

from bench.__main__ import main
from bench.configuration.job import Job
from bench.errors import InputError
from bench.records.record import write_record
from bench.runs.run import run
from bench.sweep.driver import SweepOptions, make_plan
from tests.conftest import small_config

GOOD_SWEEP = {
    "matrix": {
        "data": ["digits-17"],
        "model": ["gaussian_vae", "realnvp"],
        "seed": [1],
        "trainer.beta": [1.0],
    },
    "exclude": [{"model": "realnvp", "seed": 1}],
    "trainer": "digits",
    "evaluation": "digits",
    "overrides": [
        {"when": {"model": "gaussian_vae"}, "set": {"model.encoder.widths": [16]}},
    ],
    "resources": {"cpus": 1},
}
# What is put in a place: of the wrong kind, of the wrong size, or meant to be run or written to.
POISON = [
    None,
    True,
    0,
    -1,
    10**30,
    1e400,
    float("nan"),
    "",
    "x\ny",
    "\x1b[31m",
    "../../outside",
    "/etc/passwd",
    "os.system",
    "torch.nn.Linear",
    "{class_path: os.system}",
    "!!python/object/apply:os.system [touch /tmp/x]",
    "$(touch x)",
    "[red]",
    [],
    [[]],
    {},
    {"class_path": "subprocess.Popen", "init_args": {"args": "touch x"}},
    {"from": 1, "to": 10**12},
    ["a"] * 50,
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_line(capsys):
    error = capsys.readouterr().err.strip()
    assert error.startswith("bench: error: ") and "\n" not in error
    return error


def test_yaml_that_would_run_code_is_refused(folder, capsys):
    (folder / "x.yaml").write_text("matrix: !!python/object/apply:os.system ['touch exploded']\n")
    assert main(["sweep", "x.yaml", "--results", "r"]) == 2
    assert "not valid YAML" in one_line(capsys)
    assert sorted(p.name for p in folder.iterdir()) == ["x.yaml"]


def changed_somewhere(value, rng):
    """Return a copy of nested data with a random place poisoned, renamed or removed."""
    value = copy.deepcopy(value)
    parent, name = None, None
    current = value
    while isinstance(current, (dict, list)) and current and (parent is None or rng.random() < 0.75):
        parent = current
        name = (
            rng.choice(list(current)) if isinstance(current, dict) else rng.randrange(len(current))
        )
        current = current[name]
    if parent is None:
        return rng.choice(POISON)
    kind = rng.random()
    if kind < 0.7:
        parent[name] = copy.deepcopy(rng.choice(POISON))
    elif kind < 0.85 or isinstance(parent, list):
        del parent[name]
    else:
        parent[str(name) + rng.choice(["x", "", ".y", "é"])] = parent.pop(name)
    return value


def broken_text(text, rng):
    """Return a text with some characters cut out or put in."""
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(text))
        piece = rng.choice(["", "\x00", "{", "]", ": ", "\t", "&a *a", "- ", "\n", "%", "9" * 400])
        text = text[:place] + piece + text[place + rng.randrange(0, 9) :]
    return text


def test_five_hundred_broken_sweeps_get_a_line_each_and_write_nothing(folder):
    rng, refused = random.Random(1), 0
    path = folder / "fuzz.yaml"
    for number in range(500):
        if number % 3:
            text = yaml.safe_dump(changed_somewhere(GOOD_SWEEP, rng), allow_unicode=True)
        else:
            text = broken_text(yaml.safe_dump(GOOD_SWEEP), rng)
        path.write_text(text, encoding="utf-8")
        try:
            make_plan("fuzz.yaml", folder / "r", SweepOptions())
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 2000, (text, error)
            refused += 1
        assert [p.name for p in folder.iterdir()] == ["fuzz.yaml"]
    assert refused > 250


def test_secrets_of_the_environment_are_in_no_file(folder, monkeypatch):
    secret = "S3CRETKEYS3CRETKEYS3CRETKEYS3CRETKEYS3CR"
    monkeypatch.setenv("WANDB_API_KEY", secret)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    config = small_config("gaussian_vae")
    made = run(Job(config, "gaussian_vae", "s", str(folder / "run"), "offline"))
    made.pop("notes")
    write_record(folder / "runs", made)
    for path in folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
