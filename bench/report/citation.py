"""The citation of a run or a row: code, data, keys, and the commands that repeat it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from shlex import quote

import pandas as pd

from bench.records.code import hashes_at
from bench.records.consistency import check_consistent
from bench.records.record import has_record, read_record, record_path
from bench.records.row import plugins_of, samples_text
from bench.records.tables import altered_column
from bench.records.types import Environment
from bench.system.checkout import COMMIT, lacks_at
from bench.system.printing import number


def citation(table: pd.DataFrame, directory: Path) -> str:
    """Return what to cite for runs, as lines of text.

    Args:
        table: Their rows of runs.csv, as ``read_runs`` returns them.
        directory: The folder of that runs.csv, and of the runs' records if they exist.
    """
    lines = [f"Likelihood Bench, {directory}/leaderboard.csv"]
    for (task, model), group in table.groupby(["task", "model"], sort=False):
        tests = group[group["split"] == "test"]
        tests = group.drop_duplicates("key") if tests.empty else tests
        measured = tests[tests["split"] == "test"]
        bits, samples = numbers_of(measured)
        lines += [
            "",
            f"  row      {task}, {model}, seed {', '.join(map(str, tests['seed']))}",
            f"  result   {bits or 'none: failed'} bits/dim on test{samples}",
            f"  data     sha256 {' '.join(map(str, tests['data_sha256'].unique()))}",
            f"  key      {' '.join(tests['key'])}",
        ]
        plugins = tests["plugin"].dropna().unique()
        lines += [f"  plugin   {text}" for text in plugins]
        row = f"task={task} model={model}" if len(tests) > 1 else str(tests["key"].iloc[0])
        lines += code_lines(tests, directory, row)
    return "\n".join(lines)


def numbers_of(measured: pd.DataFrame) -> tuple[str, str]:
    """Return the bits/dim of rows of runs.csv, and what K they are of; empty where there are none."""
    bits = ", ".join(number(value, 4) for value in measured["bits_per_dim"].dropna())
    samples = samples_text(measured["importance_samples"].dropna())
    return bits, f", {samples}" if samples else ""


@dataclass(frozen=True)
class Code:
    """The code that made a run, according to the table and, if it exists, the record.

    Attributes:
        commit: Its commit; None if that is not known.
        unknown: Why the commit is not known; None if it is.
        is_dirty: The code differed from the commit.
        code_sha256: The code's hash, if there is a record.
        version: The code's version, if there is a record.
        warnings: What a reader must know before citing it.
    """

    commit: str | None
    unknown: str | None
    is_dirty: bool
    code_sha256: str | None
    version: str | None
    warnings: tuple[str, ...]


def code_of(run: pd.Series, directory: Path) -> Code:
    """Return the code that made a run.

    Raises:
        InputError: Its record is damaged or contradicts itself.
    """
    runs, key = directory / "runs", str(run["key"])
    record = (
        check_consistent(read_record(record_path(runs, key))) if has_record(runs, key) else None
    )
    environment: Environment = {} if record is None else record["environment"]
    commit = str(run["commit"]) if COMMIT.fullmatch(str(run["commit"])) else None
    code_sha256 = text_or_none(environment.get("code_sha256"))
    is_dirty = environment.get("dirty") is True or (pd.notna(run["dirty"]) and bool(run["dirty"]))
    unknown = text_or_none(environment.get("commit_unknown"))
    warnings = []
    if is_dirty:
        warnings.append("DIRTY: the code differed from this commit, and no checkout has it")
    elif has_other_code(commit, code_sha256):
        warnings.append("WRONG: the code of this commit has another hash than the record's")
    altered = None if record is None else altered_column(run, record)
    if altered is not None:
        warnings.append(f"ALTERED: the table's {altered} differs from the run's record")
    return Code(
        commit,
        None if commit else unknown or "the code was in no checkout that git could read",
        is_dirty,
        code_sha256,
        text_or_none(environment.get("version")),
        tuple(warnings),
    )


def codes_of(runs: pd.DataFrame, directory: Path) -> dict[Code, list[pd.Series]]:
    """Return {code: its runs} of runs, one row each, in their order; errors as of ``code_of``."""
    codes: dict[Code, list[pd.Series]] = {}
    for _, run in runs.iterrows():
        codes.setdefault(code_of(run, directory), []).append(run)
    return codes


def text_or_none(value: object) -> str | None:
    """Return a value of a record's environment if it is text: reading does not check its type."""
    return value if isinstance(value, str) else None


# Runs of one commit have one code, and parsing all of it takes a tenth of a second.
@lru_cache
def has_other_code(commit: str | None, code_sha256: str | None) -> bool:
    """Tell whether this checkout's history has a commit, and the hash of its code is another one."""
    if commit is None or code_sha256 is None:
        return False
    possible = hashes_at(commit)
    return bool(possible) and code_sha256 not in possible


def code_lines(runs: pd.DataFrame, directory: Path, row: str) -> list[str]:
    """Return the lines on the code that made runs, and on running them again, for each code.

    Args:
        runs: One row of runs.csv for each run of a task and model.
        directory: The folder of runs.csv.
        row: The argument of `bench verify --row` that selects all of them.
    """
    codes = codes_of(runs, directory)
    lines = []
    for code, own in codes.items():
        whose = f" (seed {seeds_of(own)})" if len(codes) > 1 else ""
        lines.append(f"  commit   {code.commit or f'unknown: {code.unknown}'}{whose}")
        lines += [f"           {warning}" for warning in code.warnings]
        if code.code_sha256:
            version = code.version or "unknown"
            lines.append(f"  code     sha256 {code.code_sha256}, version {version}")
        if scored := [run for run in own if pd.isna(run["beta"])]:
            lines += score_lines(scored, directory)
            continue
        rows = [row] if len(codes) == 1 else [str(run["key"]) for run in own]
        table = quote(f"{directory}/runs.csv")
        given = plugin_options(own[0]["plugin"])
        again = [f"bench verify {table} --row {quote(one)}{given}" for one in rows]
        if code.commit is not None and lacks_at(code.commit, "bench/sweep/verify.py"):
            # Before `bench verify` existed, runs were repeated by a sweep into another folder.
            again = [f"bench sweep {quote(str(own[0]['sweep']))} --results again"]
        lines += again_lines(code, again)
    return lines


def score_lines(runs: list[pd.Series], directory: Path) -> list[str]:
    """Return the lines on how to measure scored models again: their training is not known here."""
    lines = [
        "  again    with the model's own files, which are not here; `bench verify` cannot train it"
    ]
    for run in runs:
        key, task = str(run["key"]), str(run["task"])
        scored = None
        if has_record(directory / "runs", key):
            scored = read_record(record_path(directory / "runs", key)).get("scored")
        source = scored["source"] if scored else "FILE.py:NAME"
        has_weights = scored is None or scored["checkpoint_sha256"] is not None
        weights = " --checkpoint FILE" if has_weights else ""
        command = f"bench score {quote(source)}{weights} --data {quote(task)} --seed {run['seed']}"
        lines.append(f"           {command}")
        if scored is not None:
            hashes = {**scored["sources_sha256"], "weights": scored["checkpoint_sha256"]}
            lines += [f"           sha256 {text} {name}" for name, text in hashes.items() if text]
    return lines


def plugin_options(cell: object) -> str:
    """Return the options that give a run's plugins, from its cell of runs.csv."""
    plugins = plugins_of(cell if isinstance(cell, str) else None).get("plugins", [])
    return "".join(f" --plugin {quote(plugin['name'])}" for plugin in plugins)


def again_lines(code: Code, again: list[str]) -> list[str]:
    """Return the lines on how to repeat runs of one code; ``again`` are the commands."""
    if code.is_dirty:
        return ["  again    not possible: run it anew at a commit, and cite that"]
    if code.commit is None:
        version = f"version {code.version}" if code.version else "the version that made it"
        first = f"  again    install {version} of likelihood-bench; verify says whether the code is the same"
        return [first, *(f"           {line}" for line in again)]
    # Beside this checkout, whose tables do not exist at that commit.
    place = f"../at-{code.commit[:12]}"
    first = f"  again    git worktree add --detach {place} {code.commit} && make -C {place} setup"
    return [first, *(f"           {place}/.venv/bin/{line}" for line in again)]


def seeds_of(runs: list[pd.Series]) -> str:
    return ", ".join(str(run["seed"]) for run in runs)
