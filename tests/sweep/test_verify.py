"""A cited row is run again: the same, within what is allowed, outside, or not to be counted."""

import shutil
from math import log
from pathlib import Path

import pandas as pd
import pytest

from bench.__main__ import main
from bench.errors import InputError
from bench.records.manifest import read_manifest
from bench.records.record import read_record, write_record
from bench.records.tables import chosen_rows, csv_text, read_runs
from bench.report.rebuilt import altered_rows
from bench.report.reduce import leaderboard_table, load_sweep, runs_table
from bench.sweep.verify import cited_runs, unverifiable, verify
from bench.system.checkout import read_checkout
from tests.conftest import ThisProcess

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
DEFAULT = Path(__file__).parents[2] / "results" / "published" / "default" / "runs.csv"
silent = lambda phase, share, text: None


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    (folder / "tiny.yaml").write_text(SWEEP)
    call = ["sweep", str(folder / "tiny.yaml"), "--results", str(folder), "--wandb=disabled"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.sweep.apart.EngineApart", ThisProcess)
        assert main(call) == 0
    # As of an installed wheel: these tests also run where the code is not its commit's.
    for key in read_manifest(folder / "tiny"):
        rewrite(folder / "tiny", key, environment={"commit": None, "dirty": None})
    publish(folder / "tiny")
    board = leaderboard_table(load_sweep(folder / "tiny"), "tiny")
    (folder / "tiny" / "leaderboard.csv").write_text(csv_text(board))
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
    assert printed.count("on cpu; published on cpu") == 3


def test_a_table_that_is_not_its_records_is_altered(copy, capsys):
    key = row_key(copy, 1)
    edit(copy, key, elbo=lambda old: old - 50.0)
    [verdict] = verify(copy / "leaderboard.csv", key, silent)
    assert verdict.outcome == "altered" and verdict.reasons[0].startswith("table: test elbo is -")
    assert main(["verify", str(copy / "runs.csv"), "--row", key]) == 1
    assert "0 of 1 runs verified" in capsys.readouterr().out


def board_of(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


EDITED = ("rank", "seeds", "failed", "importance_samples", "kl", "bits_per_dim_low", "bits_per_dim")
EDITED += ("bits_per_dim_stderr", "bits_per_dim_to_best", "bits_per_dim_to_best_high")
EDITED += ("bits_per_dim_to_best_low", "bound", "reference", "reference_source")
TEXTS = ("bound", "reference_source", "commit", "data_sha256")


def test_a_leaderboard_that_is_not_its_runs_is_altered(tmp_path):
    shutil.copy(DEFAULT, tmp_path / "runs.csv")
    path, runs = tmp_path / "leaderboard.csv", read_runs(DEFAULT)
    board = board_of(DEFAULT.with_name(path.name))
    names = list(zip(board["task"], board["model"]))
    more = ("diagnosed_seeds", "importance_data", "commit", "data_sha256", "rank_high")
    for columns in (more, EDITED[7:], EDITED[:7]):
        changed = board.copy()
        for row, column in enumerate(columns):
            changed.loc[row, column] = "another" if column in TEXTS else "7"
        changed.to_csv(path, index=False)
        found = {row: words.split(" is ")[0] for row, words in altered_rows(path, runs).items()}
        assert found == dict(zip(names, columns))
    pd.concat([board, board[:1]]).to_csv(path, index=False)
    assert list(altered_rows(path, runs).values()) == ["2 rows, where runs.csv gives one"]
    changed.to_csv(path, index=False)
    first = runs[runs["model"] == board["model"][0]].iloc[0]
    [verdict] = verify(path, first["key"], silent)
    assert verdict.outcome == "altered"
    assert verdict.reasons == ("leaderboard: rank is 7, where runs.csv gives 1",)


def test_a_leaderboard_of_older_columns_is_not_altered_by_todays_comparisons(tmp_path):
    shutil.copy(DEFAULT, tmp_path / "runs.csv")
    path, runs = tmp_path / "leaderboard.csv", read_runs(DEFAULT)
    board = board_of(DEFAULT.with_name(path.name))
    third = board.drop(columns=["diagnosed_seeds", "importance_data", "commit", "data_sha256"])
    older = third.drop(columns=["rank_low", "rank_high", "survivors_only"])
    older = older.assign(bits_per_dim_to_best_high="0.3", rank="1")
    for table in (third.assign(rank_high="3"), older):
        table.to_csv(path, index=False)
        assert altered_rows(path, runs) == {}
    older.assign(bits_per_dim="0.3").to_csv(path, index=False)
    assert len(altered_rows(path, runs)) == len(board)
    # In a table of today an emptied cell does not make the row an older one.
    board.loc[0, ["survivors_only", "rank"]] = [None, "7"]
    board.to_csv(path, index=False)
    assert list(altered_rows(path, runs).values()) == ["rank is 7, where runs.csv gives 1"]


@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("bits", ["0.5", "99"])
def test_a_row_that_no_run_has_puts_its_leaderboard_in_doubt(records, bits, copy):
    if not records:
        shutil.rmtree(copy / "runs")
    board = board_of(copy / "leaderboard.csv")
    invented = board.iloc[[0]].assign(model="my_flow", bits_per_dim=bits, rank="9")
    pd.concat([board, invented]).to_csv(copy / "leaderboard.csv", index=False)
    [verdict] = verify(copy / "leaderboard.csv", row_key(copy, 1), silent)
    assert verdict.outcome == "altered" and not verdict.is_good
    assert verdict.reasons == ("leaderboard: no run has its row digits-binary my_flow",)


def test_a_leaderboard_is_held_against_records_where_they_are(copy):
    """Of a number that is edited in both tables alike, and of a row that was left out."""
    path, runs = copy / "leaderboard.csv", read_runs(copy / "runs.csv")
    assert altered_rows(path, runs) == {}
    board = board_of(path)
    board.assign(failed="1").to_csv(path, index=False)
    own = "digits-binary", "bernoulli_vae"
    assert altered_rows(path, runs)[own] == "failed is 1, where the records give 0"
    board[:0].to_csv(path, index=False)
    assert altered_rows(path, runs)[own] == "no row, where the records give one"


def test_published_leaderboards_are_what_their_runs_are(monkeypatch):
    # A board of submissions has no runs.csv of its own beside it.
    found = sorted(DEFAULT.parents[2].rglob("leaderboard.csv"))
    paths = [path for path in found if path.with_name("runs.csv").is_file()]
    assert len(paths) >= 4 and len(found) - len(paths) <= 1
    for path in paths:
        assert altered_rows(path, read_runs(path)) == {}, path
    # The same without any record.
    monkeypatch.setattr("bench.report.rebuilt.records_beside", lambda table: None)
    for path in paths:
        assert altered_rows(path, read_runs(path)) == {}, path


@pytest.mark.parametrize("cell", ["", "1e200", "inf"])
def test_a_number_that_no_run_has_is_no_traceback(cell, tmp_path):
    shutil.copy(DEFAULT.with_name("leaderboard.csv"), tmp_path)
    table = board_of(DEFAULT)
    table.loc[:, "bits_per_dim"] = cell
    table.to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(InputError, match="no bits_per_dim, or a number that no run has"):
        altered_rows(tmp_path / "leaderboard.csv", read_runs(tmp_path / "runs.csv"))
    with pytest.raises(InputError, match="neither runs.csv nor leaderboard.csv"):
        verify(tmp_path / "copy.csv", "", silent)


def test_runs_that_a_report_has_named_apart_keep_their_names(copy):
    """Records that say one name for two configurations, of which tables make two."""
    for seed in (1, 2, 3):
        rewrite(copy, row_key(copy, seed), config={"note": f"of {seed % 2}"})
    (copy / "runs.csv").write_text(csv_text(runs_table(load_sweep(copy), "tiny")))
    cited, _ = cited_runs(copy / "runs.csv", "")
    cited = [one for one in cited if "bernoulli" in one.model]
    assert sorted(one.model for one in cited) == [f"bernoulli_vae note=of {n}" for n in (0, 1, 1)]
    assert [unverifiable(one, {}).outcome for one in cited] == ["changed"] * 3


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
    # On a GPU numbers are the same up to rounding.
    gpu = {"gpu": "NVIDIA H100 80GB HBM3", "cuda": "13.0"}
    write_record(copy / "runs", record | {"environment": record["environment"] | gpu})
    publish(copy)
    [verdict] = verify(copy / "runs.csv", key, silent)
    assert verdict.outcome == "within" and "cuda: 13.0 → None" in verdict.reasons[-1]
    assert verdict.devices == "on cpu; published on NVIDIA H100 80GB HBM3"


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
    # Nobody has this sweep, so that the checkpoint alone knows the model's name.
    renamed = shutil.copytree(copy, copy.with_name("renamed"))
    shutil.rmtree(renamed / "runs")
    for split in ("train", "test"):
        edit(renamed, key, split, model=lambda old: "my_flow", sweep=lambda old: "nobodys")
    call[1] = str(renamed / "runs.csv")
    assert main(call) == 1
    assert "model is my_flow, and bernoulli_vae in the checkpoint" in capsys.readouterr().out
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
    # An option may be called as a column is; after a whole name its word is a condition.
    table.loc[0, "model"] = "vae prior=Mixture"
    split = table.loc[0, "split"]
    for row in ("model=vae prior=Mixture", f"model=vae prior=Mixture split={split}"):
        assert len(chosen_rows(table, row, "runs.csv")) == 1
    seed, name = table.loc[1, ["seed", "model"]]
    assert (chosen_rows(table, f"model={name} seed={seed}", "runs.csv")["model"] == name).all()
    for wrong in ("nothing here", "model=none", "ffffffffffffffffffff"):
        with pytest.raises(InputError):
            chosen_rows(table, wrong, "runs.csv")


def test_it_tells_what_share_of_all_runs_is_done(published, monkeypatch):
    def done_before(job, report):
        report("train", 0.5, "")
        report("evaluate", 0.5, "")
        return read_record(published / "runs" / job.key / "record.json")

    monkeypatch.setattr("bench.sweep.verify.run", done_before)
    told = []
    row = "task=digits-binary model=bernoulli_vae"
    verdicts = verify(published / "leaderboard.csv", row, lambda *words: told.append(words[1]))
    assert [verdict.outcome for verdict in verdicts] == ["identical"] * 3
    shares = [(number + done) / 3 for number in range(3) for done in (0.35, 0.85)]
    assert told == pytest.approx(shares)
