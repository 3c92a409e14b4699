"""A cited row is run again: the same, within what was published, outside, or not comparable."""

import json
import shutil

import pandas as pd
import pytest

from bench.__main__ import main
from bench.errors import InputError
from bench.record import read_record, write_record
from bench.report.rows import chosen_rows, read_runs
from bench.verify import tolerance, verify

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
silent = lambda phase, share, text: None


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    (folder / "tiny.yaml").write_text(SWEEP)
    call = ["sweep", str(folder / "tiny.yaml"), "--results", str(folder), "--wandb=disabled"]
    assert main([*call, "--workers=1"]) == 0
    return folder / "tiny"


@pytest.fixture
def copy(published, tmp_path):
    return shutil.copytree(published, tmp_path / "tiny")


def row_key(directory, seed):
    table = pd.read_csv(directory / "runs.csv")
    return table[(table["model"] == "bernoulli_vae") & (table["seed"] == seed)]["key"].iloc[0]


def test_the_same_machine_gives_the_same_bytes(published, capsys):
    table = str(published / "leaderboard.csv")
    assert main(["verify", table, "--row", "task=digits-binary model=bernoulli_vae"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("identical ") == 3 and "3 of 3 runs verified" in printed


def test_a_number_that_was_altered_is_outside(copy, capsys):
    key = row_key(copy, 1)
    table = pd.read_csv(copy / "runs.csv", float_precision="round_trip")
    table.loc[(table["key"] == key) & (table["split"] == "test"), "elbo"] -= 50.0
    table.to_csv(copy / "runs.csv", index=False)
    [verdict] = verify(copy / "leaderboard.csv", key, silent)
    assert verdict.outcome == "outside" and "test elbo: published" in verdict.reasons[0]
    assert verdict.reasons[-1] == "environment: the same, as far as it is recorded"
    assert main(["verify", str(copy / "runs.csv"), "--row", key]) == 1
    assert "0 of 1 runs verified" in capsys.readouterr().out


def test_a_little_off_is_within_in_another_environment_alone(copy):
    key = row_key(copy, 2)
    table = pd.read_csv(copy / "runs.csv", float_precision="round_trip")
    mine = (table["key"] == key) & (table["split"] == "test")
    table.loc[mine, "log_likelihood"] += 1e-9
    table.to_csv(copy / "runs.csv", index=False)
    [verdict] = verify(copy / "runs.csv", key, silent)
    assert verdict.outcome == "outside" and "test log_likelihood" in verdict.reasons[0]
    record = read_record(copy / "runs" / key / "record.json")
    record["environment"]["packages"]["torch"] = "1.0"
    record.pop("checksum")
    write_record(copy / "runs", record)
    [verdict] = verify(copy / "runs.csv", key, silent)
    assert verdict.outcome == "within" and "torch: 1.0 → " in verdict.reasons[-1]
    table.loc[mine, "reconstruction"] -= 500.0
    table.loc[:, "parameters"] = 0  # as of a model without training: no spread to expect
    table.to_csv(copy / "runs.csv", index=False)
    [verdict] = verify(copy / "runs.csv", key, silent)
    assert verdict.outcome == "outside" and "tolerance" in verdict.reasons[0]


def test_changed_data_and_configuration_are_named_and_not_run(copy):
    first, second = row_key(copy, 1), row_key(copy, 2)
    table = pd.read_csv(copy / "runs.csv", float_precision="round_trip")
    table.loc[table["key"] == first, "data_sha256"] = "0" * 64
    table.to_csv(copy / "runs.csv", index=False)
    path = copy / "runs" / second / "record.json"
    record = read_record(path)
    record["config"]["trainer"]["max_epochs"] = 5
    record.pop("checksum")
    write_record(copy / "runs", record)
    for key, word in ((first, "data: payload"), (second, "configuration: this version reads it")):
        [verdict] = verify(copy / "runs.csv", key, silent)
        assert verdict.outcome == "changed" and verdict.reasons[0].startswith(word)
    shutil.rmtree(path.parent)
    [verdict] = verify(copy / "runs.csv", second, silent)
    assert verdict.outcome == "changed" and "neither a readable record" in verdict.reasons[0]


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
    table = pd.read_csv(copy / "runs.csv", float_precision="round_trip")
    mine = (table["key"] == key) & (table["split"] == "test")
    table.loc[mine, "kl"] += table[table["split"] == "test"]["kl"].std() / 2
    table.to_csv(copy / "runs.csv", index=False)
    call[1] = str(copy / "runs.csv")
    assert main(call) == 1 and "test kl: published" in capsys.readouterr().out


def test_tolerance_is_a_prediction_interval():
    rows = pd.DataFrame(
        {
            "task": "t", "model": "m", "split": "test", "parameters": 5, "dimensions": 64,
            "bits_per_dim": [1.0, 1.2, 1.4], "kl": [1.0, 2.0, 3.0], "bits_per_dim_stderr": 0.01,
        }
    )  # fmt: skip
    # t(0.975, 2) = 4.30265, s = 0.2, n = 3
    expected = 4.30265 * 0.2 * (4 / 3) ** 0.5 + 1.96 * 2**0.5 * 0.01
    assert tolerance(rows, rows.iloc[0], "bits_per_dim", False) == pytest.approx(expected, rel=1e-4)
    assert tolerance(rows[:1], rows.iloc[0], "kl", False) is None
    assert tolerance(rows, rows.iloc[0], "kl", True) < 1e-5


def test_citing(published, capsys):
    assert main(["cite", row_key(published, 2), "--results", str(published.parent)]) == 0
    printed = capsys.readouterr().out
    assert "digits-binary, bernoulli_vae, seed 2" in printed and "sha256" in printed
    record = json.loads(next((published / "runs").glob("*/record.json")).read_text())
    assert (record["environment"]["commit"] or "None") in printed
    assert (
        main(["cite", "task=digits-binary model=bernoulli_vae", "--results", str(published.parent)])
        == 0
    )
    assert "seed 1, 2, 3" in capsys.readouterr().out
    assert main(["cite", "0123", "--results", str(published.parent)]) == 2
    assert main(["verify", str(published / "none" / "runs.csv")]) == 2


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
