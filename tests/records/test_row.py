"""What a row of runs.csv takes from a record: hashes of data, and whether its code was dirty."""

import pytest

from bench.records.row import data_hash, dirty_of_run, payload_hash, samples_text

DATA = {"payload_sha256": {"digits": "a"}, "split_sha256": "b", "images_sha256": "c"}


@pytest.mark.parametrize(
    "other", [{"payload_sha256": {"digits": "x"}}, {"payload_sha256": {"x": "a"}}]
)
def test_the_hash_of_payloads_changes_with_each_payload_and_with_the_splits(other):
    hashes = {
        payload_hash(DATA),
        payload_hash(DATA | other),
        payload_hash(DATA | {"split_sha256": "x"}),
    }
    assert len(hashes) == 3
    assert payload_hash(DATA | {"images_sha256": "x"}) == payload_hash(DATA)
    assert data_hash(DATA) == "c"


@pytest.mark.parametrize(
    "training, evaluation, dirty",
    [
        (False, None, False),
        (True, None, True),
        (None, None, None),
        (False, True, True),
        (None, True, True),
        (True, False, True),
        (False, False, False),
    ],
)
def test_a_run_is_dirty_if_its_training_or_a_later_evaluation_was(training, evaluation, dirty):
    record = {"environment": {"dirty": training}}
    if evaluation is not None:
        record["evaluated_with"] = {"dirty": evaluation}
    assert dirty_of_run(record) is dirty


def test_readers_see_exact_and_not_a_bound_of_no_samples():
    assert samples_text([0, 0]) == "exact" and samples_text([100.0]) == "K = 100"
    assert samples_text([1000, 10, 10]) == "K = 10 and 1000" and samples_text([float("nan")]) == ""
