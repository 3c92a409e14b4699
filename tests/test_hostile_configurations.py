"""Configurations from strangers name classes of ours or nothing: no other code is imported or called."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import yaml

import bench
from bench.__main__ import main
from bench.configuration.class_names import check_classes, class_paths, classes_of
from bench.configuration.files import CONFIGS
from bench.configuration.parsing import parse_run, validate
from bench.errors import InputError
from bench.records.key import key_of
from bench.sweep.verify import readable
from bench.system.yaml_text import load_yaml, read_yaml
from tests.conftest import small_config
from tests.limits import limited

ROOT = Path(bench.__file__).parents[1]
# Of runs: the records of submissions are of models that no configuration describes.
RECORDS = sorted(
    path for path in (ROOT / "results").rglob("record.json") if "submissions" not in path.parts
)
BASE = ["--data", "digits-17", "--model", "gaussian_vae"]
MODULES = ("evil", "evil1", "evil\u00e9", "evil_")
PATHS = [
    *(f"{module}.Evil" for module in MODULES),
    "evil1 .Evil",
    "evil1.\uff25vil",
    "bench.training.checkpoints.remove",
    "bench.system.files.write_atomically",
    "bench.networks.mlp.fast_tanh",
    "bench.networks.mlp.torch.hub.load",
    # Imported there, and defined elsewhere.
    "bench.models.vae.MLP",
    # Made of objects of the caller's.
    "bench.library.external.ExternalVAE",
]
# As jsonargparse would read it, which takes texts for YAML once more.
HIDDEN = ['{class_path: "evil1\\x2eEvil"}', "{class_path: evil1.Evil}", "evil1.Evil #", "a b"]


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A current folder whose modules leave a trace when they are imported; checks that none did."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    trace = tmp_path / "executed"
    code = f"open({str(trace)!r}, 'w').close()\nfrom bench.networks.mlp import MLP\nclass Evil(MLP): pass\n"
    for module in MODULES:
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
    yield tmp_path
    assert not trace.exists(), "a stranger's code ran"


def outside(words):
    with limited(seconds=60), pytest.raises(InputError) as error:
        parse_run(words)
    text = str(error.value)
    assert "outside bench" in text or "is not a value" in text
    assert text.isprintable() and len(text) < 500


@pytest.mark.parametrize("path", PATHS + HIDDEN)
def test_no_option_names_code_outside(path, canary):
    for option in ("--model.prior", "--model.encoder", "--model.prior.class_path"):
        outside([*BASE, option, json.dumps(path)])
        outside([*BASE, f"{option}={json.dumps(path)}"])
    outside([*BASE, "--model.prior", json.dumps({"class_path": path})])
    outside([*BASE, "--trainer.optimizer", json.dumps([path])])


@pytest.mark.parametrize("path", PATHS)
def test_no_help_imports_code_outside(path, canary):
    for option in ("--model.help", "--model.prior.help", "--model.init_args.prior.help"):
        with pytest.raises(InputError, match="outside bench"):
            parse_run([*BASE, option, path])
        with pytest.raises(InputError, match="outside bench"):
            parse_run([*BASE, f"{option}={path}"])


@pytest.mark.parametrize("option", ["--model+", "--data+", "--config+", "--model[0]", "--model."])
def test_no_other_way_to_write_an_option_passes_the_checks(option, canary):
    (canary / "evil").write_text("class_path: evil1.Evil")
    for value in ("evil1.Evil", "evil"):
        with pytest.raises(InputError, match="is not an option"):
            parse_run([*BASE, f"{option}={value}"])


def test_the_help_of_a_class_of_ours_is_shown(capsys):
    with pytest.raises(SystemExit):
        parse_run(["--model.help", "VAE"])
    assert "latent_dimensions" in capsys.readouterr().out


@pytest.mark.parametrize("path", PATHS + HIDDEN)
def test_no_file_names_code_outside(path, canary):
    for content in ({"class_path": path}, {"class_path": "VAE", "init_args": {"decoder": path}}):
        (canary / "m.yaml").write_text(json.dumps(content))
        outside(["--data", "digits-17", "--model", "m.yaml"])
        (canary / "c.yaml").write_text(json.dumps({"model": content}))
        outside(["--data", "digits-17", "--config", "c.yaml"])
    (canary / "c.yaml").write_text(json.dumps({"model": path}))
    outside(["--data", "digits-17", "--config=c.yaml"])


def test_no_name_stands_for_a_file_that_nobody_checked(canary):
    for name in ("evil", "MLP", "digits"):
        (canary / name).write_text("class_path: evil1.Evil")
    (canary / "c.yaml").write_text("data: {dataset: digits}\nmodel: evil\n")
    with pytest.raises(InputError, match="model: 'evil' is unknown"):
        parse_run(["--config", "c.yaml"])
    config = parse_run([*BASE, "--model.encoder", "MLP"])
    assert config["model"]["init_args"]["encoder"]["class_path"] == "MLP"
    for group in ("model", "data", "trainer"):
        with pytest.raises(InputError):
            validate(config | {group: "evil"})
    for name in ("config", "model.help", "print_config"):
        (canary / "c.yaml").write_text(f"{name}: evil")
        with pytest.raises(InputError):
            parse_run([*BASE, "--config", "c.yaml"])
        with pytest.raises(InputError):
            validate(config | {name: "evil"})


def test_a_file_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "t.yaml"
    for option, depth in (("--trainer", 0), ("--config", 1)):
        checked = {"max_epochs": 7} if not depth else {"trainer": {"max_epochs": 7}}
        path.write_text(yaml.safe_dump(checked).replace("7", "9"))
        replaced = lambda p, c=checked: c if Path(p) == path else read_yaml(p)
        monkeypatch.setattr("bench.configuration.parsing.read_yaml", replaced)
        assert parse_run([*BASE, option, str(path)])["trainer"]["max_epochs"] == 7


@pytest.mark.parametrize(
    "path", ["evil1.Evil", "evil\u00e9.Evil", "bench.training.checkpoints.remove"]
)
def test_no_sweep_and_no_claim_names_code_outside(path, canary, capsys):
    matrix = {"data": ["digits-17"], "model": ["gaussian_vae"], "seed": [1]}
    rule = {"when": {"seed": 1}, "set": {"model.prior": path}}
    sweeps = [{"matrix": matrix | {"model.prior": [path]}}, {"matrix": matrix, "overrides": [rule]}]
    (canary / "m.yaml").write_text(f"class_path: {path}", encoding="utf-8")
    sweeps.append({"matrix": matrix | {"model": ["m.yaml"]}})
    for sweep in sweeps:
        (canary / "s.yaml").write_text(json.dumps(sweep))
        assert main(["sweep", "s.yaml", "--results", "r", "--dry-run"]) == 2
        assert "outside bench" in capsys.readouterr().err
        claims = {"images": 10, "closed_form": {"data": [], "seed": []}}
        claims["experiments"] = {"x": {"claims": [2]} | sweep}
        (canary / "c.yaml").write_text(json.dumps(claims))
        assert main(["claims", "c.yaml", "--results", "r"]) == 2
        assert "outside bench" in capsys.readouterr().err
    assert not (canary / "r").exists()


@pytest.mark.parametrize("path", PATHS + HIDDEN)
def test_no_record_and_no_checkpoint_names_code_outside(path, canary):
    config = small_config("gaussian_vae")
    for part in ("decoder", "prior", "encoder"):
        for value in (path, {"class_path": path}, {"class_path": path, "init_args": {"path": "x"}}):
            hostile = copy.deepcopy(config)
            hostile["model"]["init_args"][part] = value
            assert readable(hostile) is None
            with pytest.raises(InputError, match="outside bench|is not a value"):
                validate(hostile)
    with pytest.raises(InputError, match="outside bench"):
        validate(config | {"model": {"class_path": path}})


def test_every_configuration_that_comes_along_is_read_and_keeps_its_key():
    assert len(RECORDS) > 100
    for path in RECORDS:
        record = json.loads(path.read_text())
        check_classes(record["config"])
        assert key_of(record["config"]) == record["key"], path
    for path in CONFIGS.glob("model/*.yaml"):
        check_classes(read_yaml(path))
    # One of each set of classes is read whole, which takes longer.
    kinds = {json.dumps(c["model"], sort_keys=True): c for c in map(config_of, RECORDS)}
    for config in kinds.values():
        assert key_of(validate(copy.deepcopy(config))) == key_of(config)


def config_of(path):
    return json.loads(path.read_text())["config"]


def test_a_class_that_is_added_to_a_module_of_ours_may_be_named(tmp_path):
    root = shutil.copytree(
        ROOT / "bench", tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__", "page")
    )
    assert classes_of(root) == class_paths()
    with open(root / "densities" / "decoders.py", "a") as file:
        file.write("\n\nclass Binomial(Bernoulli):\n    pass\n\n\ndef function():\n    pass\n")
    (root / "models" / "chain.py").write_text(
        "from bench.models import terms\nfrom bench.networks.mlp import MLP\nimport os\n\n\n"
        "class Chain(terms.Model):\n    pass\n\n\nclass Other:\n    pass\n"
    )
    added = {
        "Binomial": "bench.densities.decoders.Binomial",
        "Chain": "bench.models.chain.Chain",
    }
    assert classes_of(root) == class_paths() | added


@pytest.mark.parametrize(
    "text, message",
    [
        ("seed: [2001-01-01]", "contains a date"),
        ("seed: [2001-99-99]", ""),
        ("seed: [!!binary aGk=]", "contains a bytes"),
        ("seed: !!set {a, b}", "contains a set"),
        ("zip: [{seed: [2001-01-01 00:00:00]}]", "contains a datetime"),
        (f"seed: [{'9' * 5000}]", ""),
        (f"seed: [{2**63}, -1]", "63 bits"),
        ("set: {1: 2}", "names are strings"),
        ("set: {~: 2}", "names are strings"),
        ("set: {yes: 2}", "names are strings"),
        ("a: 1\nb: {c: 1, d: 2, c: 3}", "line 2: the key 'c' occurs twice"),
        ("a: 1\n'a': 2", "the key 'a' occurs twice"),
    ],
)
def test_yaml_that_is_no_plain_data_is_refused_in_a_line(text, message, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_yaml(path)
    assert message in str(error.value) and str(error.value).isprintable()
    assert main(["sweep", str(path), "--results", str(tmp_path / "r"), "--dry-run"]) == 2


def test_keys_of_a_merged_mapping_may_be_given_anew():
    text = "a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}"
    assert load_yaml(text)["c"] == {"x": 3, "y": 4}


@pytest.mark.parametrize(
    "words, message",
    [
        (["--seed", "99999999999999999999"], "63 bits"),
        (["--seed=-99999999999999999999"], "63 bits"),
        (["--trainer.beta", "1e101"], "trainer.beta: 1e+101 is more than 1e+100"),
        (["--model.latent_dimensions", str(2**63)], "63 bits"),
    ],
)
def test_what_no_record_holds_is_refused_before_the_work(words, message):
    with pytest.raises(InputError) as error:
        parse_run([*BASE, *words])
    assert message in str(error.value)
