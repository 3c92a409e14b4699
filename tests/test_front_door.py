"""The command line as users call it: sweeps that are killed, resumed, spread; bad input."""

import copy
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import pandas as pd
import pytest
import yaml

from bench.__main__ import COMMANDS, main
from bench.commands.sweeps import print_missing
from bench.records.record import read_record, write_record
from bench.system.launchers import is_a_launchers
from bench.training.checkpoints import content_hash
from tests.conftest import patience
from tests.offline_logs import read_offline_run

SWEEP = {
    "matrix": {
        "data": ["digits-17", "digits-binary"],
        "model": ["gaussian_vae", "realnvp", "aggregate_vae"],
        "seed": [1],
    },
    "exclude": [{"data": "digits-binary", "model": ["gaussian_vae", "realnvp"]}],
    "overrides": [
        {
            "when": {"data": ["digits-17", "digits-binary"]},
            "set": {
                "trainer.max_epochs": 6,
                "trainer.validate_every": 2,
                "evaluation.importance_samples": 12,
            },
        },
        {"when": {"model": "aggregate_vae"}, "set": {"model.prior.exemplars": 50}},
        {"when": {"model": "realnvp"}, "set": {"model.widths": [16], "model.couplings": 2}},
        {
            "when": {"model": "aggregate_vae", "data": "digits-binary"},
            "set": {"model.decoder": "Bernoulli"},
        },
    ],
}
RUNS = 4 + 4
TABLES = ("runs.csv", "leaderboard.csv")


@pytest.fixture(scope="session")
def bench(warm):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return lambda *words: warm.start("-m", "bench", *words, env=environment)


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "small.yaml"
    path.write_text(yaml.safe_dump(SWEEP))
    return path


@pytest.fixture(scope="module")
def whole(sweep_file, tmp_path_factory):
    """A sweep without Ray, undisturbed, W&B offline: what the others are held against."""
    folder, printed = tmp_path_factory.mktemp("whole"), io.StringIO()
    words = ["sweep", str(sweep_file), "--results", str(folder), "--wandb", "offline"]
    with redirect_stdout(printed):
        assert main([*words, "--workers", "0"]) == 0
    return folder / "small", printed.getvalue()


def table_bytes(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in TABLES]


def check_tables(folder: Path, output: str) -> None:
    board = pd.read_csv(folder / "leaderboard.csv")
    assert len(board) == RUNS and (board["failed"] == 0).all()
    assert {"uniform", "independent_pixels"} < set(board["model"])
    assert "digits-17: test split" in output and "aggregate_vae" in output
    for name in ("curves", "samples", "decomposition"):
        assert (folder / "figures" / f"digits-17-{name}.png").stat().st_size > 5000
    assert 500_000 < (folder / "page.html").stat().st_size < 5_000_000
    assert len(pd.read_csv(folder / "runs.csv")) == 2 * RUNS
    assert len(pd.read_csv(folder / "timings.csv")) == RUNS


def test_a_sweep_writes_its_tables_and_prints_its_leaderboard(whole):
    check_tables(*whole)


def test_a_second_call_trains_nothing(whole, sweep_file, capsys):
    folder, _ = whole
    before, started = table_bytes(folder), time.time()
    words = ["sweep", str(sweep_file), "--results", str(folder.parent), "--wandb", "offline"]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert f"{RUNS} runs, {RUNS} with a record" in output and "starting the engine" not in output
    assert table_bytes(folder) == before
    assert all(p.stat().st_mtime < started for p in folder.glob("runs/*/record.json"))


def test_begun_by_one_worker_killed_and_continued_unread_by_two_gives_the_same_bytes(
    bench, whole, sweep_file, tmp_path, warm
):
    """SIGKILL of driver and worker once a run is trained; a record is damaged as well."""
    words = ["sweep", sweep_file, "--results", tmp_path, "--wandb", "disabled", "--workers"]
    process = bench(*words, 1)
    runs, deadline = tmp_path / "small" / "runs", time.monotonic() + patience(120)
    while len(list(runs.glob("*/record.json"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(patience(60))
    written = sorted(runs.glob("*/record.json"))
    assert 5 <= len(written) < RUNS
    written[0].write_text(written[0].read_text()[:100])
    time.sleep(1)  # the engine's own processes follow their driver
    again = subprocess.Popen(
        [warm.python, "-m", "bench", *map(str, [*words, 2])], stdout=subprocess.PIPE, text=True
    )
    output = "".join(iter(again.stdout.readline, "starting the engine\n"))
    # As `head` does. Nobody reads on, and the sweep goes on.
    again.stdout.close()
    assert again.wait(patience(240)) == 0
    assert "damaged" in output and f"{RUNS} runs, {len(written) - 1} with a record" in output
    assert table_bytes(tmp_path / "small") == table_bytes(whole[0])


def test_wandb_holds_what_the_csv_holds(whole):
    """Every run's offline log, read back, against runs.csv: equal to the last digit."""
    folder, _ = whole
    runs = pd.read_csv(folder / "runs.csv", float_precision="round_trip").set_index(
        ["key", "split"]
    )
    logs = {
        path.stem.removeprefix("run-"): path for path in folder.glob("runs/*/wandb/*/run-*.wandb")
    }
    trained = {key for key, split in runs.index if runs.loc[(key, split), "epochs"] > 0}
    assert set(logs) == trained and len(trained) == 4
    for key, path in logs.items():
        header, history, summary = read_offline_run(path)
        test = runs.loc[(key, "test")]
        assert header["id"] == key and header["group"] == "small" and header["job_type"] == "train"
        assert set(header["tags"]) == {test["task"], test["model"]}
        for column in runs.columns:
            if pd.notna(test[column]):
                assert summary[column] == test[column], column
        train = runs.loc[(key, "train")]
        assert summary["train/elbo"] == train["elbo"]
        record = json.loads((folder / "runs" / key / "record.json").read_text())
        curve = [row["validation_elbo"] for row in history if "validation_elbo" in row]
        assert len(curve) == len(record["history"]) == 3
        assert header["config"]["trainer"] == record["config"]["trainer"]
        assert any("images/samples.sha256" in row for row in history)


def test_train_then_evaluate_gives_the_records_numbers(tmp_path, capsys):
    words = ["--data", "digits-17", "--model", "gaussian_vae", "--seed", "4"]
    words += ["--trainer.max_epochs=2", "--evaluation.importance_samples=12"]
    assert main(["train", *words, "--output", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("runs/*/record.json")
    record = json.loads(path.read_text())
    assert f"{record['metrics']['test']['elbo']['value']:.4f}" in capsys.readouterr().out
    own, released = path.parent / "best.ckpt", tmp_path / "made" / "released.ckpt"
    assert main(["release", str(own), "--output", str(released)]) == 0
    assert released.stat().st_size < own.stat().st_size / 2
    for checkpoint in (own, released):
        out = tmp_path / f"{checkpoint.stem}.json"
        assert main(["evaluate", str(checkpoint), "--output", str(out)]) == 0
        assert json.loads(out.read_text()) == record["metrics"]
    assert main(["release", str(own), "--output", str(released)]) == 2
    assert_one_line(capsys, "is there already")
    # A record made before the diagnostics of L_K gets them; one with other numbers stays as it is.
    older = copy.deepcopy(record)
    for metrics in older["metrics"].values():
        for name in (
            "effective_sample_size_median",
            "effective_sample_size_below_10",
            "bound_rise",
        ):
            del metrics[name]
        metrics["bits_per_dim"]["stderr"] = 1e-3  # of 12 draws no error is known today
    del older["data"]["images_sha256"]
    write_record(tmp_path / "runs", older)
    refresh = ["evaluate", str(released), "--refresh", str(tmp_path)]
    assert main(refresh) == 0
    refreshed = read_record(path)
    assert refreshed["metrics"] == record["metrics"] and refreshed["data"] == record["data"]
    assert refreshed["environment"] == record["environment"]
    assert refreshed["evaluated_with"]["code_sha256"] == record["environment"]["code_sha256"]
    assert main([*refresh, "--importance_samples", "5"]) == 2
    assert_one_line(capsys, "its own configuration alone")
    for metrics in older["metrics"].values():
        for name in ("elbo", "reconstruction"):
            metrics[name]["value"] += 5
        metrics["inference_gap"]["value"] -= 5
    write_record(tmp_path / "runs", older)
    assert main(refresh) == 2
    assert_one_line(capsys, "its record is left as it is")
    assert read_record(path)["metrics"] == older["metrics"]
    assert main(["evaluate", str(released), "--refresh", str(tmp_path / "made")]) == 2
    assert_one_line(capsys, "has no record of run")
    # A checkpoint whose weights do not fit its configuration, and a truncated one.
    import torch

    held = torch.load(path.parent / "best.ckpt", weights_only=True)
    held["bench"]["config"]["model"]["init_args"]["latent_dimensions"] = 3
    del held["sha256"]
    torch.save(held | {"sha256": content_hash(held)}, tmp_path / "other.ckpt")
    (tmp_path / "cut.ckpt").write_bytes((path.parent / "best.ckpt").read_bytes()[:5000])
    for name, message in (("other", "is of another model"), ("cut", "cannot be read")):
        assert main(["evaluate", str(tmp_path / f"{name}.ckpt")]) == 2
        assert_one_line(capsys, message)


def assert_one_line(capsys, message):
    error = capsys.readouterr().err.strip()
    assert error.startswith("bench: error: ") and message in error and "\n" not in error


BAD_SWEEPS = [
    (
        {"matrix": SWEEP["matrix"] | {"seed": []}},
        "matrix.seed is neither a list of values nor a range, or it is empty",
    ),
    ({"matrix": SWEEP["matrix"], "exclud": []}, "unknown section 'exclud'"),
    ({"matrix": SWEEP["matrix"] | {"model": ["gausian_vae"]}}, "'gausian_vae' is unknown"),
    ({"matrix": SWEEP["matrix"] | {"data": ["digits-16"]}}, "'digits-16' is unknown"),
    ({"matrix": SWEEP["matrix"] | {"model": ["bernoulli_vae"]}}, "over 2 levels, not 17"),
    ({"matrix": SWEEP["matrix"] | {"trainer.batch_size": [5000]}}, "more than the 1197 training"),
    ({"matrix": SWEEP["matrix"] | {"trainer.max_epoch": [5]}}, "max_epoch"),
    ({"matrix": SWEEP["matrix"] | {"data": ["mnist-256"]}}, "mnist not found"),
    ({"matrix": SWEEP["matrix"], "resources": {"gpus": 99}}, "asks for 1 cores and 99 GPUs"),
    ({"matrix": SWEEP["matrix"], "resources": {"cpus": 9999}}, "asks for 9999 cores"),
]


@pytest.mark.parametrize("sweep, message", BAD_SWEEPS, ids=[m for _, m in BAD_SWEEPS])
def test_bad_sweeps_stop_before_anything_is_written(sweep, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no cache"))
    monkeypatch.setattr("bench.data.files.DEBIAN_DATASETS", tmp_path / "nothing")
    file, results = tmp_path / "bad.yaml", tmp_path / "results"
    file.write_text(yaml.safe_dump(sweep))
    assert main(["sweep", str(file), "--results", str(results)]) == 2
    assert_one_line(capsys, message)
    assert not results.exists()


BAD_WORDS = [
    (["swep"], "'swep' is not a command"),
    (["sweep", "nothing"], "'nothing' is unknown"),
    (["sweep", "--worker", "2"], "worker"),
    (["sweep", "--workers", "-1"], "workers: -1 is negative"),
    (["claims", "--workers", "-1"], "workers: -1 is negative"),
    (["sweep", "--workers", "0", "--address", "here:1"], "and not on the cluster at here:1"),
    (["train", "--data", "digits-17"], "model"),
    (["train", "--data", "digits-17", "--model", "bernoulli_vae"], "over 2 levels, not 17"),
    (["evaluate", "nowhere.ckpt"], "cannot be read"),
    (["report", "nowhere"], "no sweep in"),
    (["data", "imagenet"], "imagenet"),
]


@pytest.mark.parametrize("words, message", BAD_WORDS, ids=[" ".join(w) for w, _ in BAD_WORDS])
def test_bad_words_get_one_line_and_exit_code_2(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert_one_line(capsys, message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["cite", "task=digits-17 model=realnvp"], ["--help"]])
def test_a_pipe_that_is_closed_silences_a_command(words):
    command = [sys.executable, "-m", "bench", *words]
    ended = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ended.stdout.close()
    assert ended.stderr.read() == b"" and ended.wait() == 0


def test_output_that_has_no_place_is_missed_only_where_it_was_wanted():
    command = f"{sys.executable} -m bench cite 'task=digits-17 model=realnvp'"
    full = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True)
    assert full.returncode == 2 and "output: incomplete: No space left" in full.stderr
    assert subprocess.run(f"{command} >&- 2>&-", shell=True).returncode == 0


def test_a_training_obeys_a_termination_signal_at_once(tmp_path, capsys, monkeypatch):
    """Lightning alone would wait for the end of the epoch."""
    told = []

    def terminated(*progress):
        told.append(progress)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("bench.commands.runs.print_progress", lambda: terminated)
    words = ["--data=digits-17", "--model=gaussian_vae", f"--output={tmp_path}"]
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main(["train", *words]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(told) == 1 and capsys.readouterr().err == "bench: interrupted\n"


def test_only_selected_runs_are_listed_as_missing(capsys):
    print_missing(["a", "b", "c"], {"b", "d"})
    said = capsys.readouterr().out
    assert "1 runs have no record and are not in the tables: b\n" in said
    assert "2 runs that were not selected have no record yet" in said
    print_missing(["a", "b"], None)
    assert capsys.readouterr().out.endswith(
        "2 runs have no record and are not in the tables: a, b\n"
    )


def test_the_help_of_train_explains_every_option(capsys):
    with pytest.raises(SystemExit) as done:
        main(["train", "--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: bench train")
    # An option whose help is nothing but its type was not explained.
    options = re.split(r"\n  (?=--|\w+ +\w)", text.split("options:")[1])
    for option in options[1:]:
        words = re.split(r"\s{2,}", option.strip(), maxsplit=1)
        explained = len(words) > 1 and not words[1].startswith("(type:")
        assert explained or option.startswith("--trainer CONFIG"), option


# {command: what its usage says of the words after it}
WORDS = {
    "sweep": "[NAME]",
    "evaluate": "CHECKPOINT",
    "compare": "KEYS...",
    "data": "[NAMES...]",
    "leaderboard add": "FOLDER",
}


@pytest.mark.parametrize(
    "command", sorted({*COMMANDS, "leaderboard add"} - {"train", "leaderboard"})
)
def test_help_shows_options_as_they_are_typed(command, capsys):
    """Each is explained, and taken by the command under the name that the help has."""
    assert main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: bench {command} {WORDS.get(command, '')}")
    shown = re.findall(r"^  (--[\w.-]+)(?: \S+)?(?:  +|\n +)(\S+)", text, re.MULTILINE)
    assert len(shown) == len(re.findall(r"^  --", text, re.MULTILINE))
    assert (shown or command == "data") and not [name for name, _ in shown if "_" in name]
    for name, _ in shown:
        assert main([*command.split(), "x", f"{name}="]) == 2
        # Refused for its empty value, and not because it is unknown.
        assert f"{re.sub('[-.]', '_', name[2:])}: is empty" in capsys.readouterr().err


def test_bench_alone_shows_first_what_most_users_need(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("  ")]
    assert shown == list(COMMANDS) and shown[:5] == ["sweep", "train", "score", "claims", "cite"]
    assert max(map(len, lines)) <= 100


def test_print_config_is_a_configuration(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["train", "--data", "digits-17", "--model", "realnvp", "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["model"]["init_args"]["couplings"] == 8
    assert printed["data"]["dataset"] == "digits" and printed["data"]["binarization"] == "none"


def test_no_command_sees_what_a_launcher_has_set(monkeypatch):
    """Lightning reads some when it is imported, and stops at a RANK that is no number."""
    seen = {}
    monkeypatch.setattr("bench.__main__.dispatch", lambda words: seen.update(os.environ) or 0)
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"):
        monkeypatch.setenv(name, "")
    assert main([]) == 0
    assert not {name for name in seen if is_a_launchers(name)} and os.environ["RANK"] == ""
