"""What `bench export` writes is what a model hub's own library reads."""

import pytest
from huggingface_hub import ModelCard

from bench.__main__ import main
from bench.records.record import write_record
from bench.records.tables import csv_text
from bench.report.reduce import runs_table
from tests.made_up import record

COMMIT = "c0ffee" * 6 + "c0ff"


@pytest.fixture
def results(tmp_path):
    made = [record("m: {x}", 1, 2.0), record("m: {x}", 2, 2.5), record("failed", 3, 2.0, "failed")]
    for position, run in enumerate(made, start=1):
        run |= {"key": f"{position:016x}", "environment": {"commit": COMMIT}}
        write_record(tmp_path / "sweep" / "runs", run)
    (tmp_path / "sweep" / "runs.csv").write_text(csv_text(runs_table(made, "sweep")))
    return tmp_path


@pytest.fixture
def card(results):
    """Return the card of a row, as Hugging Face's library reads it, and its text."""

    def of(*words):
        path = results / "made" / "card.md"
        assert main(["export", *words, "--results", str(results), "--output", str(path)]) == 0
        text = path.read_text(encoding="utf-8")
        return ModelCard(text), text

    return of


def test_a_row_of_several_seeds_has_their_means_with_units_and_source(card):
    read, text = card("model=m: {x}", "--url", "https://example.org/results")
    assert read.data.model_name == "m: {x}"
    found = {result.metric_type: result for result in read.data.eval_results}
    assert found["bits_per_dim"].metric_value == 2.25
    assert found["bits_per_dim"].metric_name == (
        "bits_per_dim, bits/dim, test, mean of 2 seeds, bound with K = 100"
    )
    assert "nats" in found["log_likelihood"].metric_name and len(found) == 2
    for result in found.values():
        assert (
            result.dataset_name.startswith("digits-17 (17 levels")
            and result.dataset_split == "test"
        )
        assert result.task_type == "unconditional-image-generation"
        assert result.source_url == "https://example.org/results"
        assert result.metric_args["seeds"] == [1, 2]
        assert len(result.dataset_args["sha256"][0]) == 64
    assert COMMIT in text and f"{1:016x} {2:016x}" in text


def test_one_run_has_its_own_numbers_and_no_source_unless_it_is_given(card):
    read, text = card(f"{1:016x}")
    found = {result.metric_type: result for result in read.data.eval_results}
    assert found["bits_per_dim"].metric_value == 2.0 and "mean" not in text
    assert found["bits_per_dim"].source_url is None


def test_seeds_that_failed_are_named_beside_the_mean_of_the_others(card, results):
    path = results / "sweep" / "runs.csv"
    path.write_text(path.read_text().replace(",failed,", ",m: {x},"))
    read, _ = card("model=m: {x}")
    assert ", mean of 2 seeds, 1 failed" in read.data.eval_results[0].metric_name


def test_a_card_that_is_there_is_left_alone(results, tmp_path, capsys):
    path = tmp_path / "README.md"
    path.write_text("mine\n")
    words = ["export", f"{1:016x}", "--results", str(results), "--output", str(path)]
    assert main(words) == 2 and "is there already" in capsys.readouterr().err
    assert path.read_text() == "mine\n"
    words[-1] = str(path / "below" / "card.md")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("bench: error: ")


def test_without_a_file_the_card_is_printed(results, capsys):
    assert main(["export", f"{2:016x}", "--results", str(results)]) == 0
    assert ModelCard(capsys.readouterr().out).data.eval_results[0].metric_value == 2.5


@pytest.mark.parametrize(
    "words, message",
    [
        (["task=digits-17"], "matches 2 rows, and a card is of one: task=digits-17 model=m: {x}"),
        (["model=failed"], "no run of this row ended well"),
        (["model=nothing"], "export: no row of 1 tables"),
        ([f"{1:016x}", "--url", "here"], "url: 'here' is not an address"),
    ],
)
def test_what_is_not_one_row_is_refused_in_a_line(results, words, message, capsys):
    assert main(["export", *words, "--results", str(results)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("bench: error: ") and message in error and "\n" not in error
