"""`bench verify`: run cited rows again from their configuration, and judge the numbers."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.configuration.job import Job
from bench.configuration.parsing import validate
from bench.configuration.plugins import PluginMissing
from bench.data.own_task import OwnTask, place_of
from bench.data.tasks import load_task, task_of
from bench.errors import InputError
from bench.records.consistency import check_consistent
from bench.records.key import key_of
from bench.records.provenance import describe_data
from bench.records.record import has_record, read_record, record_path
from bench.records.row import data_hash, payload_hash
from bench.records.tables import altered_column, chosen_rows, read_runs
from bench.records.types import Config, Environment, Record
from bench.report.citation import has_other_code
from bench.report.rebuilt import altered_rows, records_beside
from bench.runs.evaluated import evaluated_again
from bench.runs.run import run
from bench.runs.trained import load_trained
from bench.settings import Progress
from bench.sweep.driver import SweepOptions, make_plan
from bench.sweep.progress import share_of_run
from bench.sweep.verdicts import Cited, Verdict, has_same_data, judge


def cited_runs(table: Path, row: str) -> tuple[list[Cited], pd.DataFrame]:
    """Return the runs that ``row`` of a table selects, and the whole runs.csv.

    The configuration comes from the run's record if there is one, else from the run of the same key
    in the sweep of the same name under configs/.

    Raises:
        InputError: There is no such table or row, or a record is damaged or contradicts itself, or
            needs a plugin or images that the user has not given.
    """
    if table.name not in ("runs.csv", "leaderboard.csv"):
        raise InputError(f"table: {table} is named neither runs.csv nor leaderboard.csv")
    runs = read_runs(table)
    chosen = chosen_rows(runs, row, str(table.with_name("runs.csv")))
    planned: dict[str, Job] = {}
    names: dict[str, str] | None = None
    cited = []
    for key, rows in chosen.groupby("key", sort=False):
        if has_record(table.parent / "runs", str(key)):
            record = check_consistent(read_record(record_path(table.parent / "runs", str(key))))
            model = record["model"]
            if not rows["model"].eq(model).all():
                names = names if names is not None else names_in_tables(table)
                model = names.get(str(key), model)
            cited.append(Cited(str(key), rows, readable(record["config"]), record, model))
            continue
        planned = planned or jobs_of(str(rows["sweep"].iloc[0]))
        if (job := planned.get(str(key))) is None:
            cited.append(Cited(str(key), rows, None, None, None))
        else:
            cited.append(Cited(str(key), rows, job.config, None, job.model))
    return cited, runs


def names_in_tables(table: Path) -> dict[str, str]:
    """Return {key: name of the model in tables}, in which names of several options differ."""
    return {record["key"]: record["model"] for record in records_beside(table) or []}


def readable(config: Config) -> Config | None:
    """Return a recorded configuration with the options added since; None if it cannot be read.

    Raises:
        InputError: The user has to give a plugin, or images, before anything is run.
    """
    try:
        known = validate(config)
    except PluginMissing:
        raise
    except InputError:
        return None
    task = task_of(known)
    if isinstance(task, OwnTask):
        place_of(task)
    return known


def jobs_of(sweep: str) -> dict[str, Job]:
    """Return the jobs of a sweep under configs/ by their keys; empty if there is no such sweep."""
    try:
        return make_plan(sweep, Path("results"), SweepOptions()).jobs
    except InputError:
        return {}


def altered_in(table: Path, runs: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return what is wrong in rows of the named table, if it is a leaderboard.csv."""
    return altered_rows(table, runs) if table.name == "leaderboard.csv" else {}


def unverifiable(cited: Cited, altered: dict[tuple[str, str], str]) -> Verdict | None:
    """Return the verdict on a run that is not worth running again; None for all others.

    Args:
        cited: The run.
        altered: What is wrong in rows of the leaderboard, by task and model.
    """
    environment: Environment = cited.environment or {}
    if environment.get("dirty") is True or cited.rows["dirty"].eq(True).any():
        reason = "code: it differed from the commit when this was run, so that nobody else has it"
        return Verdict(cited.key, cited.label, "dirty", (reason,))
    for _, row in cited.rows.iterrows():
        if (column := contradicted_column(cited, row)) is not None:
            source = "the run's record" if cited.record is not None else "the sweep"
            reason = f"table: {row['split']} {column} is {row[column]}, which contradicts {source}"
            return Verdict(cited.key, cited.label, "altered", (reason,))
    first = cited.rows.iloc[0]
    wrong = altered.get((first["task"], first["model"]))
    if wrong is not None:
        return Verdict(cited.key, cited.label, "altered", (f"leaderboard: {wrong}",))
    if has_other_code(environment.get("commit"), environment.get("code_sha256")):
        reason = "code: the code of the record's commit has another hash than the record"
        return Verdict(cited.key, cited.label, "altered", (reason,))
    changed = what_changed(cited)
    return None if changed is None else Verdict(cited.key, cited.label, "changed", (changed,))


def contradicted_column(cited: Cited, row: pd.Series) -> str | None:
    """Return the first column of a run's row that its record or its sweep contradicts, if any."""
    if cited.record is not None and cited.model is not None:
        named: Record = {**cited.record, "model": cited.model}
        if (column := altered_column(row, named)) is not None:
            return column
    return "model" if cited.model not in (None, row["model"]) else None


def what_changed(cited: Cited) -> str | None:
    """Return why a run cannot be compared: its configuration or data differ; None if they do not."""
    if cited.config is None:
        return "configuration: neither a readable record nor this version's sweep has this key"
    if key_of(cited.config) != cited.key:
        return "configuration: this version reads it differently, and its key differs"
    here = describe_data(load_task(task_of(cited.config)))
    published = cited.rows.iloc[0]
    if not has_same_data(published, data_hash(here), payload_hash(here)):
        return (
            f"data: payload, split or images have the hash {data_hash(here)[:16]}…, published "
            f"{str(published['data_sha256'])[:16]}…"
        )
    return None


def verify(table: Path, row: str, progress: Progress) -> list[Verdict]:
    """Run the chosen rows again, one after the other, and judge each. Writes nothing.

    Args:
        table: A runs.csv, or the leaderboard.csv beside it.
        row: The rows, see ``chosen_rows``.
        progress: Called with the share of all rows that is done.

    Raises:
        InputError: There is no such table or row.
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
        assert one.config is not None  # otherwise the run is unverifiable
        with tempfile.TemporaryDirectory() as folder:
            first = one.rows.iloc[0]
            job = Job(one.config, str(first["model"]), str(first["sweep"]), folder, "disabled")
            record = run(job, follow)
        verdicts.append(judge(one, record, runs, False))
    return verdicts


def verify_checkpoint(table: Path, row: str, checkpoint: Path, progress: Progress) -> list[Verdict]:
    """Evaluate a released checkpoint again, without training, and compare it with its run's rows.

    Raises:
        InputError: There is no such table, row or checkpoint, or the row is of another run.
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
    record: Record = {**evaluated_again(trained, progress), "model": first["model"]}
    return [judge(one, record, runs, True)]
