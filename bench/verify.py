"""`bench verify`: run cited rows again from their configuration, and judge what comes out."""

import tempfile
from dataclasses import dataclass, replace
from math import log, sqrt
from pathlib import Path

import pandas as pd

from bench.config import Job, Report, key_of, task_of
from bench.data.tasks import load_task
from bench.errors import InputError
from bench.parsing import validate
from bench.record import environment, read_record, record_path
from bench.report.reduce import METRICS, SPLITS, data_hash, row_of
from bench.report.rows import chosen_rows, read_runs
from bench.run import describe_data, evaluate_model, run
from bench.sweep.driver import SweepOptions, make_plan
from bench.trained import load_trained

# What float64 sums may differ by on machines whose instructions differ.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Verdict:
    """What became of one run.

    Attributes:
        key: The run.
        label: Task, model and seed.
        outcome: identical: every number to the last bit; within: in another environment, inside
            the tolerances; outside; or changed: data or configuration are not what they were, and
            nothing was run.
        reasons: What differs: numbers that are outside, or what has changed.
    """

    key: str
    label: str
    outcome: str
    reasons: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return self.outcome in ("identical", "within")


@dataclass(frozen=True)
class Cited:
    """A run as it was published: its rows of runs.csv, its configuration and environment if known."""

    key: str
    rows: pd.DataFrame
    config: dict | None
    environment: dict | None

    @property
    def label(self) -> str:
        first = self.rows.iloc[0]
        return f"{first['task']} {first['model']} seed {first['seed']}"


def cited_runs(table: Path, row: str) -> tuple[list[Cited], pd.DataFrame]:
    """Return the runs that ``row`` of a table names, and the whole runs.csv.

    A configuration is taken from the run's record where that is there, else from the sweep of the
    same name in configs/: it is the same if its key is.

    Raises:
        InputError: No such table or row, or a damaged record.
    """
    runs = read_runs(table)
    chosen = chosen_rows(runs, row, str(table.with_name("runs.csv")))
    planned: dict[str, dict] = {}
    cited = []
    for key, rows in chosen.groupby("key", sort=False):
        path = record_path(table.parent / "runs", str(key))
        if path.is_file():
            record = read_record(path)
            cited.append(Cited(str(key), rows, readable(record["config"]), record["environment"]))
            continue
        planned = planned or configurations(str(rows["sweep"].iloc[0]))
        cited.append(Cited(str(key), rows, planned.get(str(key)), None))
    return cited, runs


def readable(config: dict) -> dict | None:
    """Return a recorded configuration with the options that came since; None if it cannot be read."""
    try:
        return validate(config)
    except InputError:
        return None


def configurations(sweep: str) -> dict[str, dict]:
    """Return {key: configuration} of a sweep under configs/; none if there is no such sweep."""
    try:
        plan = make_plan(sweep, Path("results"), SweepOptions())
    except InputError:
        return {}
    return {key: job.config for key, job in plan.jobs.items()}


def tolerance(runs: pd.DataFrame, row: pd.Series, column: str, same_weights: bool) -> float | None:
    """Return how far a number may be from the published one, from what was published alone.

    Of a training that is done again elsewhere: the 95 % prediction interval of one more seed, from
    the spread of the published ones, t · s · √(1 + 1/n); and of Monte-Carlo estimates
    1.96 · √2 · standard error. None where nothing was published that says how far.

    Args:
        runs: runs.csv.
        row: The row of one run and split.
        column: The estimate.
        same_weights: Nothing was trained again, so that seeds do not matter.
    """
    from scipy.stats import t

    allowed = ROUNDING * max(1.0, abs(row[column]))
    error = row["bits_per_dim_stderr"]
    known = column in ("bits_per_dim", "log_likelihood") and pd.notna(error)
    if known:
        unit = 1.0 if column == "bits_per_dim" else row["dimensions"] * log(2)
        allowed += 1.96 * sqrt(2) * error * unit
    if same_weights or row["parameters"] == 0:
        return allowed
    alike = runs[
        (runs["task"] == row["task"])
        & (runs["model"] == row["model"])
        & (runs["split"] == row["split"])
    ][column].dropna()
    if len(alike) < 2:
        return allowed if known else None
    quantile = float(t.ppf(0.975, len(alike) - 1))
    return allowed + quantile * float(alike.std()) * sqrt(1 + 1 / len(alike))


def judge(cited: Cited, record: dict, runs: pd.DataFrame, same_weights: bool) -> Verdict:
    """Hold a run's new record against its published rows."""
    if record["status"] != "ok":
        was_ok = (cited.rows["status"] == "ok").any()
        reason = (f"failed: {record['reason']}",)
        return Verdict(cited.key, cited.label, "outside" if was_ok else "identical", reason)
    different, outside = [], []
    for _, row in cited.rows.iterrows():
        again = row_of(record, str(row["sweep"]), str(row["split"]))
        for column in METRICS:
            old, new = row[column], again[column]
            if pd.isna(old) and new is None:
                continue
            if pd.isna(old) or new is None:
                outside.append(f"{row['split']} {column}: published {old}, now {new}")
                continue
            if float(old) != float(new):
                different.append(f"{row['split']} {column}: published {old!r}, now {new!r}")
            allowed = tolerance(runs, row, column, same_weights)
            if allowed is not None and abs(new - old) > allowed:
                outside.append(
                    f"{row['split']} {column}: published {old:.6g}, now {new:.6g}, "
                    f"tolerance {allowed:.2g}"
                )
    same = cited.environment is not None and not differences(cited.environment, record)
    if different and same:
        # On the same kind of machine, with the same code and versions, nothing may differ at all.
        outside = outside or different[:3]
    outcome = "outside" if outside else "within" if different else "identical"
    return Verdict(cited.key, cited.label, outcome, tuple(outside))


def what_changed(cited: Cited) -> str | None:
    """Say why a run cannot be compared: its configuration or its data are not what they were."""
    if cited.config is None:
        return "configuration: neither a readable record nor this version's sweep has this key"
    if key_of(cited.config) != cited.key:
        return "configuration: this version reads it differently, its key is another"
    here = data_hash(describe_data(load_task(task_of(cited.config)))["data"])
    published = cited.rows["data_sha256"].iloc[0]
    if here != published:
        return f"data: payload or split has the hash {here[:16]}…, published {str(published)[:16]}…"
    return None


def verify(table: Path, row: str, report: Report) -> list[Verdict]:
    """Run the chosen rows again, one after the other, and judge each; writes nothing.

    Raises:
        InputError: No such table or row.
    """
    cited, runs = cited_runs(table, row)
    verdicts = []
    for number, one in enumerate(cited):
        follow = lambda phase, share, text, number=number, one=one: report(
            f"{number + 1} of {len(cited)} {one.label}: {phase}", share, text
        )
        changed = what_changed(one)
        if changed is not None:
            verdicts.append(Verdict(one.key, one.label, "changed", (changed,)))
            continue
        with tempfile.TemporaryDirectory() as folder:
            first = one.rows.iloc[0]
            job = Job(one.config, str(first["model"]), str(first["sweep"]), folder, "disabled")
            record = run(job, follow)
        verdicts.append(with_environment(judge(one, record, runs, False), one, record))
    return verdicts


def verify_checkpoint(table: Path, row: str, checkpoint: Path, report: Report) -> list[Verdict]:
    """Evaluate a released checkpoint again, without training, and judge it by its run's rows.

    Raises:
        InputError: No such table, row or checkpoint, or the row is of another run.
    """
    trained = load_trained(checkpoint)
    key = key_of(trained.config)
    cited, runs = cited_runs(table, row or key)
    if [one.key for one in cited] != [key]:
        raise InputError(f"checkpoint: {checkpoint} is of run {key}, which is not the row '{row}'")
    one = replace(cited[0], config=trained.config)
    changed = what_changed(one)
    if changed is not None:
        return [Verdict(key, one.label, "changed", (changed,))]
    metrics, _ = evaluate_model(trained.model, trained.data, trained.config, "cpu", report)
    first = one.rows.iloc[0]
    record = {
        "key": key,
        "config": trained.config,
        "task": trained.data.task.name,
        "model": first["model"],
        "seed": trained.config["seed"],
        "status": "ok",
        "metrics": {split: metrics[split] for split in SPLITS},
        "environment": environment("cpu"),
    } | describe_data(trained.data)
    return [with_environment(judge(one, record, runs, True), one, record)]


def with_environment(verdict: Verdict, cited: Cited, record: dict) -> Verdict:
    """Add to a verdict what differs between the published environment and this one."""
    if verdict.outcome == "identical":
        return verdict
    if cited.environment is None:
        return replace(
            verdict, reasons=(*verdict.reasons, "environment: no record to compare with")
        )
    text = "; ".join(differences(cited.environment, record))
    text = f"environment: {text or 'the same, as far as it is recorded'}"
    return replace(verdict, reasons=(*verdict.reasons, text))


def differences(published: dict, record: dict) -> list[str]:
    """Return what of a published environment is another one in a new record."""
    old, new = flat(published), flat(record["environment"])
    return [
        f"{name}: {old.get(name)} → {new.get(name)}" for name in new if old.get(name) != new[name]
    ]


def flat(environment: dict) -> dict:
    """Return an environment with its package versions beside the rest; hashes of code are short."""
    plain = {name: value for name, value in environment.items() if name != "packages"}
    plain = {n: v[:12] if n in ("commit", "code_sha256") and v else v for n, v in plain.items()}
    return plain | environment["packages"]
