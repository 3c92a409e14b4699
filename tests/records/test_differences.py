"""Runs of one row differ in the seed alone: a sweep is refused, a report makes rows of their own."""

import copy

import pandas as pd
import pytest
import yaml

from bench.configuration.parsing import parse_run
from bench.errors import InputError
from bench.records.differences import differing, options_of
from bench.records.manifest import write_manifest
from bench.records.record import write_record
from bench.report.report import report
from bench.sweep.driver import SweepOptions, make_plan
from tests.made_up import record

SWEEP = {
    "matrix": {"data": ["digits-17"], "model": ["gaussian_vae"], "seed": [1, 2]},
    "trainer": "smoke",
}


def plan_with(rule, folder):
    path = folder / "two.yaml"
    path.write_text(yaml.safe_dump(SWEEP | {"overrides": [{"when": {"seed": 2}, **rule}]}))
    return make_plan(str(path), folder, SweepOptions())


@pytest.mark.parametrize(
    "option, values",
    [
        ({"trainer.max_epochs": 3}, "trainer.max_epochs is 8 with seed 1 and 3 with seed 2"),
        ({"model.decoder": "Categorical"}, "model.decoder is Gaussian with seed 1 and Categorical"),
        ({"evaluation.importance_data_train": 9}, "importance_data_train is not set with seed 1"),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else "",
)
def test_a_sweep_whose_override_by_seed_mixes_configurations_is_refused(option, values, tmp_path):
    with pytest.raises(InputError) as raised:
        plan_with({"set": option}, tmp_path)
    message = str(raised.value)
    assert message.startswith("two.yaml: digits-17, gaussian_vae: ") and values in message


@pytest.mark.parametrize(
    "rule", [{"resources": {"memory_gib": 1}}, {"set": {"trainer.compile": "none"}}]
)
def test_what_does_not_decide_a_number_may_depend_on_the_seed(rule, tmp_path):
    """``compile`` came after the first records, and at its first value it is as if not set."""
    assert len(plan_with(rule, tmp_path).jobs) == 4


def test_options_are_named_as_the_command_line_names_them():
    words = ["--data", "digits-17", "--model", "gaussian_vae"]
    base = options_of(parse_run(words))
    assert base["model.decoder"] == "Gaussian" and base["model.latent_dimensions"] == "10"
    assert "seed" not in base and "trainer.devices" not in base
    other = options_of(parse_run([*words, "--seed=7", "--model.encoder.widths=[8]"]))
    assert differing([base, other]) == ["model.encoder.widths"]
    assert other["model.encoder.widths"] == "[8]"


def test_records_of_several_configurations_under_one_name_are_rows_of_their_own(
    tmp_path, monkeypatch
):
    drawn = []
    page = lambda *content: drawn.extend(content[3]) or "a page"
    monkeypatch.setattr("bench.report.page.write.page_of", page)
    records = [record("vae", seed, 1.0 + 0.1 * seed) for seed in (1, 2, 3, 4)]
    for made, epochs in zip(records, (5, 5, 30, 5)):
        made["config"] = {"trainer": {"beta": 1.0, "max_epochs": epochs}, "seed": made["seed"]}
    # Written before this option came, and after.
    records[1]["config"] = copy.deepcopy(records[1]["config"])
    records[1]["config"]["trainer"]["devices"] = 1
    for made in records:
        write_record(tmp_path / "runs", made)
    write_manifest(tmp_path, [made["key"] for made in records])
    board = report(tmp_path).set_index("model")
    rows = {"vae trainer.max_epochs=5": 3, "vae trainer.max_epochs=30": 1}
    assert board["seeds"].to_dict() == rows
    assert board.loc["vae trainer.max_epochs=30", "bits_per_dim"] == pytest.approx(1.3)
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert runs.groupby("model")["key"].nunique().to_dict() == rows
    assert {made["model"] for made in drawn} == set(rows)
