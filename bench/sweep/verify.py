"""`bench verify`: run cited rows again from their configuration, and judge what comes out."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.configuration.job import Job
from bench.configuration.parsing import validate
from bench.data.tasks import load_task, task_of
from bench.errors import InputError
from bench.records.consistency import check_consistent
from bench.records.key import key_of
from bench.records.provenance import environment
from bench.records.record import read_record, record_path
from bench.records.row import data_hash
from bench.records.tables import altered_column, chosen_rows, read_runs
from bench.records.types import SPLITS
from bench.report.citation import has_other_code
from bench.report.rebuilt import altered_rows, records_beside
from bench.runs.run import describe_data, evaluate_model, run
from bench.runs.trained import load_trained
from bench.settings import Progress
from bench.sweep.driver import SweepOptions, make_plan
from bench.sweep.progress import share_of_run
from bench.sweep.verdicts import Cited, Verdict, judge


def cited_runs(table: Path, row: str) -> tuple[list[Cited], pd.DataFrame]:
    """Return the runs that ``row`` of a table names, and the whole runs.csv.

    A configuration is taken from the run's record where that is there, else from the sweep of the
    same name in configs/: it is the same if its key is.

    Raises:
        InputError: No such table or row, or a record that is damaged or contradicts itself.
    """
    if table.name not in ("runs.csv", "leaderboard.csv"):
        raise InputError(f"table: {table} is named neither runs.csv nor leaderboard.csv")
    runs = read_runs(table)
    chosen = chosen_rows(runs, row, str(table.with_name("runs.csv")))
    planned: dict[str, Job] = {}
    names: dict[str, str] | None = None
    cited = []
    for key, rows in chosen.groupby("key", sort=False):
        path = record_path(table.parent / "runs", str(key))
        if path.is_file():
            record = check_consistent(read_record(path))
            model = record["model"]
            if not rows["model"].eq(model).all():
                names = names if names is not None else names_in_tables(table)
                model = names.get(str(key), model)
            cited.append(Cited(str(key), rows, readable(record["config"]), record, model))
            continue
        planned = planned or jobs_of(str(rows["sweep"].iloc[0]))
        job = planned.get(str(key))
        config, model = (job.config, job.model) if job is not None else (None, None)
        cited.append(Cited(str(key), rows, config, None, model))
    return cited, runs


def names_in_tables(table: Path) -> dict[str, str]:
    """Return models' names by their runs' keys; those of one name may differ in their options."""
    return {record["key"]: record["model"] for record in records_beside(table) or []}


def readable(config: dict) -> dict | None:
    """Return a recorded configuration with the options that came since; None if it cannot be read."""
    try:
        return validate(config)
    except InputError:
        return None


def jobs_of(sweep: str) -> dict[str, Job]:
    """Return the jobs of a sweep under configs/ by their keys; none if there is no such sweep."""
    try:
        return make_plan(sweep, Path("results"), SweepOptions()).jobs
    except InputError:
        return {}


def altered_in(table: Path, runs: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return what is wrong in rows of the table that was named, if it is a leaderboard.csv."""
    return altered_rows(table, runs) if table.name == "leaderboard.csv" else {}


def unverifiable(cited: Cited, altered: dict[tuple[str, str], str]) -> Verdict | None:
    """Return the verdict on a run that need not be done again, because it cannot count; else None.

    Args:
        cited: The run.
        altered: What is wrong in rows of the leaderboard, by task and model.
    """
    environment = cited.environment or {}
    if environment.get("dirty") is True or cited.rows["dirty"].eq(True).any():
        reason = "code: it was not that of the commit when this was run, so that nobody else has it"
        return Verdict(cited.key, cited.label, "dirty", (reason,))
    for _, row in cited.rows.iterrows():
        record = cited.record and cited.record | {"model": cited.model}
        column = altered_column(row, record) if record is not None else None
        if column is None and cited.model not in (None, row["model"]):
            column = "model"
        if column is not None:
            told = "the run's record" if cited.record is not None else "the sweep"
            reason = (
                f"table: {row['split']} {column} is {row[column]}, which is not what {told} says"
            )
            return Verdict(cited.key, cited.label, "altered", (reason,))
    first = cited.rows.iloc[0]
    wrong = altered.get((first["task"], first["model"]))
    if wrong is not None:
        return Verdict(cited.key, cited.label, "altered", (f"leaderboard: {wrong}",))
    if has_other_code(environment.get("commit"), environment.get("code_sha256")):
        reason = "code: that of the record's commit has another hash than the record says"
        return Verdict(cited.key, cited.label, "altered", (reason,))
    changed = what_changed(cited)
    return changed and Verdict(cited.key, cited.label, "changed", (changed,))


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


def verify(table: Path, row: str, progress: Progress) -> list[Verdict]:
    """Run the chosen rows again, one after the other, and judge each; writes nothing.

    ``report`` is told the share of all of them that is done.

    Raises:
        InputError: No such table or row.
    """
    cited, runs = cited_runs(table, row)
    altered, verdicts = altered_in(table, runs), []
    for number, one in enumerate(cited):
        follow = lambda phase, share, text, number=number, one=one: progress(
            f"{number + 1} of {len(cited)} {one.label}: {phase}",
            (number + share_of_run(phase, share)) / len(cited),
            text,
        )
        known = unverifiable(one, altered)
        if known is not None:
            verdicts.append(known)
            continue
        with tempfile.TemporaryDirectory() as folder:
            first = one.rows.iloc[0]
            job = Job(one.config, str(first["model"]), str(first["sweep"]), folder, "disabled")
            record = run(job, follow)
        verdicts.append(judge(one, record, runs, False))
    return verdicts


def verify_checkpoint(table: Path, row: str, checkpoint: Path, progress: Progress) -> list[Verdict]:
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
    first = one.rows.iloc[0]
    named = first["model"] if one.record is None else one.record["model"]
    if named != trained.name:
        reason = f"table: model is {named}, and {trained.name} in the checkpoint"
        return [Verdict(one.key, one.label, "altered", (reason,))]
    known = unverifiable(one, altered_in(table, runs))
    if known is not None:
        return [known]
    metrics, _ = evaluate_model(trained.model, trained.data, trained.config, "cpu", progress)
    record = {
        "key": key,
        "config": trained.config,
        "task": trained.data.task.name,
        "model": first["model"],
        "seed": trained.config["seed"],
        "status": "ok",
        "decoder": trained.model.decoder_name,
        "prior": trained.model.prior_name,
        "parameters": sum(p.numel() for p in trained.model.parameters() if p.requires_grad),
        "metrics": {split: metrics[split] for split in SPLITS},
        "environment": environment("cpu"),
    } | describe_data(trained.data)
    return [judge(one, record, runs, True)]
