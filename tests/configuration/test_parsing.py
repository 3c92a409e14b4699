import copy
import json

import pytest

from bench.configuration.models import build_model
from bench.configuration.parsing import SeedParser, parse_run, validate
from bench.errors import InputError
from bench.records.differences import options_of
from bench.records.key import HISTORICAL_PATHS, hashed_part, key_of
from bench.settings import EvaluationConfig
from tests.conftest import small_config

BASE = ["--data", "digits-17", "--model", "gaussian_vae"]

BAD = [
    (["--data", "digits-18", "--model", "gaussian_vae"], "data: 'digits-18' is unknown"),
    (["--data", "../../etc/passwd", "--model", "gaussian_vae"], "is not a name"),
    (["--data", "digits-17", "--model", "gausian_vae"], "model: 'gausian_vae' is unknown"),
    (["--data", "digits-17", "--model", "missing.yaml"], "no such file"),
    (["--data", "digits-17"], "model"),
    ([*BASE, "--model.decoder", "Foo"], "model.decoder"),
    ([*BASE, "--model.decoder", "os.system"], "outside bench"),
    ([*BASE, "--model.prior", "{class_path: subprocess.Popen}"], "outside bench"),
    ([*BASE, "--model.decoder.sgma", "0.1"], "Option 'sgma' is not accepted"),
    ([*BASE, "--model.latent_dimensions", "two"], "model.latent_dimensions: Expected a int"),
    ([*BASE, "--trainer.max_epochs", "many"], "trainer.max_epochs: Expected a int"),
    ([*BASE, "--trainer.max_epochs", "0"], "trainer.max_epochs: 0 is not a positive"),
    ([*BASE, "--trainer.learning_rate", "nan"], "trainer.learning_rate"),
    ([*BASE, "--trainer.beta", "-1"], "trainer.beta: -1.0 is negative"),
    ([*BASE, "--evaluation.importance_samples", "0"], "evaluation.importance_samples"),
    ([*BASE, "--sed", "3"], "--sed"),
    ([*BASE, "--seed", "x"], "seed: Expected a int"),
]


@pytest.mark.parametrize("arguments, message", BAD)
def test_bad_input_gets_one_clear_line(arguments, message):
    with pytest.raises(InputError) as error:
        parse_run(arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize("number", [2.5, True, "3", None, float("nan")])
def test_numbers_of_samples_that_are_not_whole_are_refused(number):
    with pytest.raises(InputError, match="evaluation.importance_samples: .* is not a whole number"):
        EvaluationConfig(importance_samples=number)


@pytest.mark.parametrize(
    "option, content, message",
    [
        ("--trainer", "patience: x", "trainer.patience: Expected a int"),
        ("--evaluation", "elbo_samples: x", "evaluation.elbo_samples: Expected a int"),
        ("--data", "binarization: x", "data.binarization: Expected"),
        ("--config", "trainer: {patience: x}", "trainer.patience: Expected a int"),
        ("--config", "data: x", "data: 'x' is not a mapping"),
        ("--config", "trainer: 3", "trainer: 3 is not a mapping"),
        ("--config", "evaluation: [1]", "evaluation: [1] is not a mapping"),
    ],
)
def test_a_mistake_in_a_file_is_named_by_its_option_once(option, content, message, tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        parse_run([*BASE, option, str(path)])
    assert str(error.value).startswith(message)


def test_canonical_form_holds_every_default_and_reads_back():
    config = parse_run(BASE)
    assert config["model"]["init_args"]["encoder"]["init_args"]["activation"] == "silu"
    assert config["trainer"]["optimizer"] == "adam" and config["seed"] == 1
    assert validate(copy.deepcopy(config)) == config


def test_the_key_is_the_configurations():
    assert key_of(parse_run(BASE)) == key_of(parse_run([*BASE, "--seed=1", "--trainer.beta", "1"]))
    assert key_of(parse_run(BASE)) != key_of(parse_run([*BASE, "--seed=2"]))


def test_an_argument_added_to_a_model_leaves_the_keys_from_before_it():
    words = ["--data", "digits-17", "--model", "realnvp"]
    config = parse_run(words)
    before = copy.deepcopy(config)
    assert before["model"]["init_args"].pop("shift") == "after_scaling"
    assert key_of(before) == key_of(config)
    assert key_of(parse_run([*words, "--model.shift=before_scaling"])) != key_of(config)


def test_overrides_reach_the_model():
    config = parse_run([*BASE, "--model.prior", "Mixture", "--model.prior.components", "7"])
    assert build_model(config, (1, 8, 8), 17).prior.loc.shape == (7, 10)


def test_initialisation_depends_on_the_seed_alone():
    import torch

    def weights(seed):
        torch.rand(3)  # whatever was drawn before
        return build_model(parse_run([*BASE, f"--seed={seed}"]), (1, 8, 8), 17).state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(
        first["posterior.network.layers.0.weight"], other["posterior.network.layers.0.weight"]
    )


@pytest.mark.parametrize(
    "hostile",
    [None, [], "x", {"model": {"class_path": "os.system", "init_args": {"command": "true"}}}],
)
def test_configurations_from_files_are_checked(hostile):
    with pytest.raises(InputError):
        validate(hostile)


def test_a_key_does_not_depend_on_where_a_class_is_defined():
    named = small_config("gated_vamp_vae")
    moved = json.loads(
        json.dumps(named).replace('"class_path": "', '"class_path": "bench.elsewhere.')
    )
    assert moved != named
    assert key_of(moved) == key_of(named) and options_of(moved) == options_of(named)


def test_a_class_that_came_after_the_first_records_is_hashed_by_its_name():
    config = small_config("bernoulli_vae")
    config["model"]["init_args"]["prior"] = {"class_path": "Laplace"}
    assert hashed_part(config)["model"]["init_args"]["prior"] == {"class_path": "Laplace"}


def test_configurations_hold_the_names_of_classes_whichever_way_they_are_given():
    prior = "bench.densities.priors.Vamp"
    for given in ("Vamp", prior):
        config = small_config("bernoulli_vae", "digits-binary", f"--model.prior={given}")
        assert config["model"]["init_args"]["prior"]["class_path"] == "Vamp"
    historical = copy.deepcopy(config)
    historical["model"]["init_args"]["prior"]["class_path"] = HISTORICAL_PATHS["Vamp"]
    assert validate(historical) == config


@pytest.mark.parametrize(
    "seed", ["0", "3", "12345", "007", "1e2", "-1", "x", "99999999999999999999"]
)
def test_runs_of_other_seeds_are_parsed_as_any_run(seed):
    """By a parser that has seen the other options, with the same configuration or the same line."""
    words = ["--data", "digits-17", "--model", "gaussian_vae", "--trainer.max_epochs", "3"]
    parser = SeedParser()
    first = parser.parse([*words, "--seed", "7"])
    first["trainer"]["max_epochs"] = 0  # what a caller does to it changes no other run

    def outcome(parse):
        try:
            return parse([*words, "--seed", seed])
        except InputError as error:
            return str(error)

    assert outcome(parser.parse) == outcome(parse_run)
    assert parser.parse([*words, "--seed", "7"])["trainer"]["max_epochs"] == 3


def test_one_parse_serves_all_seeds(monkeypatch):
    calls = []
    parse = lambda words: calls.append(words) or parse_run(words)
    monkeypatch.setattr("bench.configuration.parsing.parse_run", parse)
    parser = SeedParser()
    words = ["--data", "digits-17", "--model", "gaussian_vae"]
    keys = {key_of(parser.parse([*words, "--seed", str(seed)])) for seed in range(5)}
    assert len(keys) == 5 and len(calls) == 1
    parser.parse([*words, "--seed", "1", "--trainer.max_epochs", "3"])
    assert len(calls) == 2
