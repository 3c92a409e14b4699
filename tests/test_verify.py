"""A cited row is run again: the same, within what is allowed, outside, or not to be counted."""

import shutil
from math import log
from pathlib import Path

import pandas as pd
import pytest

from bench.__main__ import main
from bench.checkout import read_checkout
from bench.errors import InputError
from bench.record import read_record, write_record
from bench.report.reduce import csv_text, read_manifest, runs_table
from bench.report.rows import altered_mean, chosen_rows, read_runs
from bench.verify import verify

SWEEP = """
matrix:
  data: [digits-binary]
  model: [bernoulli_vae]
  seed: [1, 2, 3]
trainer: digits
evaluation: digits
overrides:
  - when: {model: bernoulli_vae}
    set:
      trainer.max_epochs: 4
      evaluation.importance_samples: 20
      evaluation.importance_data: 100
      model.encoder.widths: [16]
      model.decoder_network.widths: [16]
"""
DEFAULT = Path(__file__).parents[1] / "results" / "published" / "default" / "runs.csv"
silent = lambda phase, share, text: None


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    (folder / "tiny.yaml").write_text(SWEEP)
    call = ["sweep", str(folder / "tiny.yaml"), "--results", str(folder), "--wandb=disabled"]
    assert main([*call, "--workers=1"]) == 0
    # As of an installed wheel: these tests also run where the code is not its commit's.
    for key in read_manifest(folder / "tiny"):
        rewrite(folder / "tiny", key, environment={"commit": None, "dirty": None})
    publish(folder / "tiny")
    return folder / "tiny"


@pytest.fixture
def copy(published, tmp_path):
    return shutil.copytree(published, tmp_path / "tiny")


def rewrite(directory, key, metrics=None, **parts):
    """Change a record, parts of mappings and estimates of both splits, under a right checksum."""
    record = read_record(directory / "runs" / key / "record.json")
    del record["checksum"]
    for name, part in parts.items():
        record[name] |= part
    for split in record["metrics"].values():
        for name, change in (metrics or {}).items():
            split[name] |= change
    write_record(directory / "runs", record)


def publish(directory):
    """Write runs.csv of the records, whatever they say."""
    records = [record_of(directory, key) for key in read_manifest(directory)]
    (directory / "runs.csv").write_text(csv_text(runs_table(records, directory.name)))


def record_of(directory, key):
    return read_record(directory / "runs" / key / "record.json")


def edit(directory, key, split="test", **cells):
    table = pd.read_csv(directory / "runs.csv", float_precision="round_trip")
    for name, change in cells.items():
        mine = (table["key"] == key) & (table["split"] == split)
        table.loc[mine, name] = change(table.loc[mine, name])
    table.to_csv(directory / "runs.csv", index=False)


def row_key(directory, seed):
    table = pd.read_csv(directory / "runs.csv")
    return table[(table["model"] == "bernoulli_vae") & (table["seed"] == seed)]["key"].iloc[0]


def test_the_same_machine_gives_the_same_bytes(published, capsys):
    table = str(published / "leaderboard.csv")
    assert main(["verify", table, "--row", "task=digits-binary model=bernoulli_vae"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("identical ") == 3 and "3 of 3 runs verified" in printed


def test_a_table_that_is_not_its_records_is_altered(copy, capsys):
    key = row_key(copy, 1)
    edit(copy, key, elbo=lambda old: old - 50.0)
    [verdict] = verify(copy / "leaderboard.csv", key, silent)
    assert verdict.outcome == "altered" and verdict.reasons[0].startswith("table: test elbo is -")
    assert main(["verify", str(copy / "runs.csv"), "--row", key]) == 1
    assert "0 of 1 runs verified" in capsys.readouterr().out


def test_a_leaderboard_that_is_not_its_runs_is_altered(tmp_path):
    shutil.copy(DEFAULT, tmp_path / "runs.csv")
    path, runs = tmp_path / "leaderboard.csv", read_runs(DEFAULT)
    board = pd.read_csv(DEFAULT.with_name(path.name), float_precision="round_trip")
    first = runs.query("model == 'gaussian_vae' and task == 'digits-17'").iloc[0]
    mine = (board["task"] == first["task"]) & (board["model"] == first["model"])
    for name in ("seeds", "kl", "bits_per_dim_low", "bits_per_dim"):
        changed = board.copy()
        changed.loc[mine, name] -= 1
        changed.to_csv(path, index=False)
        assert altered_mean(path, runs, first["task"], first["model"])
    [verdict] = verify(path, first["key"], silent)
    assert verdict.outcome == "altered"
    assert verdict.reasons[0].startswith("leaderboard: bits_per_dim is 1.3")


def test_published_leaderboards_are_what_their_runs_are():
    for path in DEFAULT.parents[2].rglob("leaderboard.csv"):
        runs = read_runs(path)
        rows = runs[["task", "model"]].drop_duplicates().itertuples(index=False)
        assert [row for row in rows if altered_mean(path, runs, *row)] == [], path


def test_a_little_off_is_within_in_another_environment_alone(copy):
    key = row_key(copy, 2)
    record = record_of(copy, key)
    del record["checksum"]
    record["metrics"]["test"]["sharpness"]["value"] += 1e-9
    for environment, outcome in (
        ({}, "outside"),
        ({"commit": "0" * 40, "version": "9", "dirty": False, "code_sha256": None}, "within"),
        ({"commit": "0" * 40, "version": "9", "dirty": False}, "outside"),
        ({"packages": {"torch": "1.0"}}, "within"),
    ):
        changed = {"environment": record["environment"] | environment}
        write_record(copy / "runs", record | changed)
        publish(copy)
        [verdict] = verify(copy / "runs.csv", key, silent)
        assert verdict.outcome == outcome, environment
    assert "torch: 1.0 → " in verdict.reasons[-1]


def test_rows_edited_to_a_better_number_with_a_large_error_are_outside(copy):
    """Table and records of every seed say the same, and come from another commit and machine."""
    nats = -64 * log(2)
    for key in (row_key(copy, seed) for seed in (1, 2, 3)):
        better = {"bits_per_dim": {"value": 0.2, "stderr": 0.5}}
        better |= {"log_likelihood": {"value": 0.2 * nats, "stderr": -0.5 * nats}}
        rewrite(copy, key, better, environment={"commit": "0" * 40, "cpu": "another"})
    publish(copy)
    [verdict] = verify(copy / "runs.csv", row_key(copy, 1), silent)
    assert verdict.outcome == "outside"
    assert any(reason.startswith("test bits_per_dim: published 0.2") for reason in verdict.reasons)


def test_code_that_was_not_its_commits_never_counts(copy):
    first, second, third = (row_key(copy, seed) for seed in (1, 2, 3))
    rewrite(copy, first, environment={"dirty": True})
    rewrite(copy, second, environment={"commit": read_checkout().commit, "code_sha256": "0" * 64})
    publish(copy)
    edit(copy, third, dirty=lambda old: True)
    (copy / "runs" / third / "record.json").unlink()
    for key, outcome in ((first, "dirty"), (third, "dirty"), (second, "altered")):
        [verdict] = verify(copy / "runs.csv", key, silent)
        assert (verdict.outcome, verdict.is_good) == (outcome, False), verdict.reasons
        assert verdict.reasons[0].startswith("code: ")


def test_changed_data_and_configuration_are_named_and_not_run(copy):
    first, second = row_key(copy, 1), row_key(copy, 2)
    rewrite(copy, first, data={"split_sha256": "0" * 64})
    record = record_of(copy, second)
    rewrite(copy, second, config={"trainer": record["config"]["trainer"] | {"max_epochs": 5}})
    publish(copy)
    for key, word in ((first, "data: payload"), (second, "configuration: this version reads it")):
        [verdict] = verify(copy / "runs.csv", key, silent)
        assert verdict.outcome == "changed" and verdict.reasons[0].startswith(word)
    shutil.rmtree(copy / "runs" / second)
    [verdict] = verify(copy / "runs.csv", second, silent)
    assert verdict.outcome == "changed" and "neither a readable record" in verdict.reasons[0]


def test_a_name_that_the_sweep_does_not_give_is_altered(tmp_path):
    """Without records a row's name is that of the sweep under configs/ with its key."""
    shutil.copy(DEFAULT, tmp_path / "runs.csv")
    key = read_runs(DEFAULT)["key"].iloc[0]
    edit(tmp_path, key, model=lambda old: "a_model_of_ours")
    [verdict] = verify(tmp_path / "runs.csv", key, silent)
    assert verdict.outcome == "altered" and "test model is a_model_of_ours" in verdict.reasons[0]


def test_a_checkpoint_is_evaluated_again(published, copy, capsys):
    key = row_key(published, 3)
    checkpoint = next((published / "runs" / key).rglob("best.ckpt"), None)
    if checkpoint is None:
        pytest.fail("the sweep kept no best.ckpt")
    call = ["verify", str(published / "runs.csv"), "--evaluate-only", str(checkpoint)]
    assert main(call) == 0 and f"identical  {key}" in capsys.readouterr().out
    assert main([*call, "--row", row_key(published, 1)]) == 2
    assert f"is of run {key}" in capsys.readouterr().err
    # Without training, seeds are no excuse: half their spread is outside.
    spread = read_runs(copy / "runs.csv").groupby("split")["kl"].std()["test"]
    (copy / "runs" / key / "record.json").unlink()
    edit(copy, key, kl=lambda old: old + spread / 2)
    call[1] = str(copy / "runs.csv")
    assert main(call) == 1 and "test kl: published" in capsys.readouterr().out


def test_rows_are_found_by_names_with_spaces(published):
    table = read_runs(published / "runs.csv")
    table.loc[0, "model"] = "vae latent_dimensions=10"
    found = chosen_rows(table, "model=vae latent_dimensions=10 task=digits-binary", "runs.csv")
    assert len(found) == 1
    for wrong in ("nothing here", "model=none", "ffffffffffffffffffff"):
        with pytest.raises(InputError):
            chosen_rows(table, wrong, "runs.csv")


def test_it_tells_what_share_of_all_runs_is_done(published, monkeypatch):
    def done_before(job, report):
        report("train", 0.5, "")
        report("evaluate", 0.5, "")
        return read_record(published / "runs" / job.key / "record.json")

    monkeypatch.setattr("bench.verify.run", done_before)
    told = []
    row = "task=digits-binary model=bernoulli_vae"
    verdicts = verify(published / "leaderboard.csv", row, lambda *words: told.append(words[1]))
    assert [verdict.outcome for verdict in verdicts] == ["identical"] * 3
    shares = [(number + done) / 3 for number in range(3) for done in (0.35, 0.85)]
    assert told == pytest.approx(shares)
