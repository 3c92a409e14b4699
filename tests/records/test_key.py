"""The key of a run: which parts of a configuration it is a function of."""

import json
from copy import deepcopy

import pytest

from bench.records.key import bare_name, key_of
from bench.system.checkout import REPOSITORY

CONFIG = {
    "seed": 1,
    "data": {"dataset": "digits", "binarization": "none", "leave_out_every": 0},
    "model": {"class_path": "RealNVP", "init_args": {"couplings": 2, "shift": "after_scaling"}},
    "trainer": {"beta": 1.0, "samples": 1, "encoder_steps": 0},
    "evaluation": {"importance_samples": 100, "importance_data_train": 0},
}


@pytest.mark.parametrize(
    "section, name, value",
    [
        ("data", "dataset", "mnist"),
        ("data", "leave_out_every", 2),
        ("trainer", "beta", 0.5),
        ("trainer", "samples", 5),
        ("trainer", "encoder_steps", 3),
        ("evaluation", "importance_samples", 5000),
        ("evaluation", "importance_data_train", 10),
        ("model", "class_path", "VAE"),
        ("model", "init_args", {"couplings": 4, "shift": "after_scaling"}),
        ("model", "init_args", {"couplings": 2, "shift": "before_scaling"}),
    ],
)
def test_every_option_counts_also_those_that_were_added_later(section, name, value):
    other = deepcopy(CONFIG)
    other[section][name] = value
    assert key_of(other) != key_of(CONFIG) != key_of(CONFIG | {"seed": 2})


def test_an_added_option_at_its_old_value_is_as_if_it_were_not_there():
    older = deepcopy(CONFIG)
    del older["data"]["leave_out_every"], older["model"]["init_args"]["shift"]
    del older["trainer"]["samples"], older["evaluation"]["importance_data_train"]
    assert key_of(older) == key_of(CONFIG)


def test_committed_records_keep_their_keys_also_with_the_default_posterior():
    paths = sorted(REPOSITORY.glob("results/**/record.json"))
    assert len(paths) > 100
    with_posterior = 0
    for path in paths:
        record = json.loads(path.read_text())
        config = deepcopy(record["config"])
        assert key_of(config) == record["key"], path
        # Models of others, which were scored, have no class of ours; some VAEs have a richer posterior.
        model, normal = config["model"], {"class_path": "NormalPosterior"}
        posterior = model.get("init_args", {}).get("posterior", normal)["class_path"]
        if (bare_name(model.get("class_path", "")), posterior) == ("VAE", "NormalPosterior"):
            config["model"]["init_args"]["posterior"] = normal
            assert key_of(config) == record["key"], path
            config["model"]["init_args"]["posterior"] = {"class_path": "FullCovariancePosterior"}
            assert key_of(config) != record["key"], path
            with_posterior += 1
    assert with_posterior > 50
