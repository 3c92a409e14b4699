"""A record whose numbers contradict each other is no run's, whatever its checksum says."""

import copy
from math import log
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.records.consistency import check_consistent, check_same_data, contradiction_of
from bench.records.manifest import write_manifest
from bench.records.record import read_record, write_record
from bench.report.reduce import load_sweep
from tests.made_up import record

RESULTS = Path(__file__).parents[2] / "results"
PATHS = sorted(RESULTS.rglob("record.json"))
VAE = read_record(next((RESULTS / "mnist" / "runs").glob("d6726cebe9cf4dd8/record.json")))


def test_no_published_record_contradicts_itself():
    records = [read_record(path) for path in PATHS if "default" not in path.parts]
    assert len(records) > 100
    assert [r["key"] for r in records if contradiction_of(r)] == []
    check_same_data(records)


def changed(name, part="value", by=0.001, split="test"):
    made = copy.deepcopy(VAE)
    estimate = made["metrics"][split][name]
    estimate[part] = estimate[part] + by
    return made


@pytest.mark.parametrize(
    "name", ["bits_per_dim", "log_likelihood", "log_n", "kl", "elbo", "reconstruction"]
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_number_that_does_not_follow_from_the_others_is_named(name, split):
    for by in (0.001, -0.001, 1e6):
        assert f"on the {split} split" in contradiction_of(changed(name, by=by, split=split))


@pytest.mark.parametrize("part", ["samples", "n"])
def test_more_samples_or_data_than_were_asked_for_are_named(part):
    wrong = contradiction_of(changed("log_likelihood", part, 1))
    assert f"log_likelihood has {part} = " in wrong and "its configuration " in wrong


def test_a_datum_cannot_tell_more_than_which_it_is():
    made = copy.deepcopy(VAE)
    for name, by in (("mutual_information", 5.0), ("marginal_kl", -5.0)):
        made["metrics"]["test"][name]["value"] += by
    assert "more than log n" in contradiction_of(made)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_limit_of_the_information_is_log_n_nats(split):
    """But for the accuracy of q_agg, a thousandth of a nat."""
    metrics = copy.deepcopy(VAE)["metrics"]
    for above, is_wrong in ((0.002, True), (0.0005, False)):
        made = VAE | {"metrics": copy.deepcopy(metrics)}
        own = made["metrics"][split]
        by = log(VAE["data"]["sizes"][split]) + above - own["mutual_information"]["value"]
        own["mutual_information"]["value"] += by
        own["marginal_kl"]["value"] -= by
        assert ("more than log n" in (contradiction_of(made) or "")) == is_wrong


@pytest.mark.parametrize(
    "name, value",
    [
        ("effective_sample_size_median", 0.9),
        ("effective_sample_size_median", 5001.0),
        ("effective_sample_size_below_10", 1.1),
        ("pareto_k_above_threshold", -0.1),
        ("bound_rise", -0.1),
    ],
)
def test_a_diagnostic_that_no_weights_have_is_named(name, value):
    made = copy.deepcopy(VAE)
    estimate = {"value": 1.0, "stderr": None, "n": 10_000, "samples": 5000}
    made["metrics"]["test"][name] = estimate
    assert contradiction_of(made) is None
    estimate["value"] = value
    assert f"on the test split {name} is {value:.6g}, outside" in contradiction_of(made)


def test_an_inference_gap_that_is_none_is_named():
    made = record("m", 1, 2.0)
    own = made["metrics"]["test"]
    own |= {"elbo": dict(own["log_likelihood"]), "inference_gap": dict(own["bits_per_dim"])}
    own["inference_gap"]["value"] = 0.0
    assert contradiction_of(made) is None
    own["inference_gap"]["value"] = 0.1
    assert "inference_gap is 0.1" in contradiction_of(made)
    # Of fewer data than the ELBO has, it is another difference.
    own["log_likelihood"]["n"] = 100
    assert contradiction_of(made) is None


def test_a_forged_record_with_a_right_checksum_is_refused_by_reports(tmp_path):
    forged = {k: v for k, v in changed("bits_per_dim", by=-0.1).items() if k != "checksum"}
    write_record(tmp_path / "runs", forged)
    write_manifest(tmp_path, [forged["key"]])
    with pytest.raises(InputError, match=f"run {forged['key']} contradicts itself: on the test"):
        load_sweep(tmp_path)
    assert check_consistent(VAE) is VAE


def test_runs_of_other_data_are_no_rows_of_one_task(tmp_path):
    records = [record("a", 1, 2.0), record("b", 1, 2.0), record("c", 1, 2.0, status="failed")]
    for made in records:
        write_record(tmp_path / "runs", made)
    write_manifest(tmp_path, [made["key"] for made in records])
    assert len(load_sweep(tmp_path)) == 3
    records[1]["data"] |= {"split_sha256": "c"}
    write_record(tmp_path / "runs", records[1])
    with pytest.raises(InputError, match=r"digits-17 used different data \(split_sha256\)"):
        load_sweep(tmp_path)
    check_same_data([records[0], records[1] | {"task": "another"}])
