"""What to cite for a run or a row: code, data, keys, and how to do it again."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import pandas as pd

from bench.records.code import hashes_at
from bench.records.consistency import check_consistent
from bench.records.record import read_record, record_path
from bench.records.tables import altered_column
from bench.system.checkout import COMMIT, lacks_at
from bench.system.printing import number


def citation(table: pd.DataFrame, directory: Path) -> str:
    """Return what to cite for runs.

    Args:
        table: Their rows of runs.csv, as ``read_runs`` returns it.
        directory: The folder of that runs.csv, with the runs' records if they are there.
    """
    lines = [f"Likelihood Bench, {directory}/leaderboard.csv"]
    for (task, model), group in table.groupby(["task", "model"], sort=False):
        tests = group[group["split"] == "test"]
        tests = group.drop_duplicates("key") if tests.empty else tests
        measured = tests[tests["split"] == "test"]
        bits = ", ".join(number(value, 4) for value in measured["bits_per_dim"].dropna())
        samples = " and ".join(f"{k:.0f}" for k in measured["importance_samples"].dropna().unique())
        lines += [
            "",
            f"  row      {task}, {model}, seed {', '.join(map(str, tests['seed']))}",
            f"  result   {bits or 'none: failed'} bits/dim on test, K = {samples or '–'}",
            f"  data     sha256 {' '.join(map(str, tests['data_sha256'].unique()))}",
            f"  key      {' '.join(tests['key'])}",
        ]
        row = f"task={task} model={model}" if len(tests) > 1 else str(tests["key"].iloc[0])
        lines += code_lines(tests, directory, row)
    return "\n".join(lines)


@dataclass(frozen=True)
class Code:
    """The code that made a run: what the table and, if it is there, the record tell of it.

    Attributes:
        commit: Its commit, None if that is not known.
        unknown: Why it is not; None if it is.
        is_dirty: The code was not the commit's.
        code_sha256: The code's hash, if there is a record.
        version: Its version, likewise.
        troubles: What a reader must know before citing it.
    """

    commit: str | None
    unknown: str | None
    is_dirty: bool
    code_sha256: str | None
    version: str | None
    troubles: tuple[str, ...]


def code_of(run: pd.Series, directory: Path) -> Code:
    """Return the code that made a run.

    Raises:
        InputError: Its record is damaged or contradicts itself.
    """
    path = record_path(directory / "runs", str(run["key"]))
    record = check_consistent(read_record(path)) if path.is_file() else None
    environment = {} if record is None else record["environment"]
    told = lambda name: text if isinstance(text := environment.get(name), str) else None
    commit = str(run["commit"]) if COMMIT.fullmatch(str(run["commit"])) else None
    is_dirty = environment.get("dirty") is True or (pd.notna(run["dirty"]) and bool(run["dirty"]))
    unknown = told("commit_unknown") or "the code was in no checkout that git could read"
    troubles = []
    if is_dirty:
        troubles.append(
            "DIRTY: the code was not that of this commit, and no checkout makes it again"
        )
    elif other_code(commit, told("code_sha256")):
        troubles.append("WRONG: the code of this commit has another hash than the record's")
    altered = record and altered_column(run, record)
    if altered:
        troubles.append(f"ALTERED: the table's {altered} is not that of the run's record")
    return Code(
        commit,
        None if commit else unknown,
        is_dirty,
        told("code_sha256"),
        told("version"),
        tuple(troubles),
    )


def other_code(commit: str | None, code_sha256: str | None) -> bool:
    """Tell whether a commit is in this checkout's history, and its code not that of the hash."""
    if commit is None or code_sha256 is None:
        return False
    possible = hashes_at(commit)
    return bool(possible) and code_sha256 not in possible


def code_lines(runs: pd.DataFrame, directory: Path, row: str) -> list[str]:
    """Return which code made runs, and how to run them again: for each code that did.

    Args:
        runs: One row of runs.csv for each run of a task and model.
        directory: The folder of runs.csv.
        row: What `bench verify --row` takes for all of them.
    """
    codes: dict[Code, list[pd.Series]] = {}
    for _, run in runs.iterrows():
        codes.setdefault(code_of(run, directory), []).append(run)
    lines = []
    for code, own in codes.items():
        whose = f" (seed {seeds_of(own)})" if len(codes) > 1 else ""
        lines.append(f"  commit   {code.commit or f'unknown: {code.unknown}'}{whose}")
        lines += [f"           {trouble}" for trouble in code.troubles]
        if code.code_sha256:
            version = code.version or "unknown"
            lines.append(f"  code     sha256 {code.code_sha256}, version {version}")
        rows = [row] if len(codes) == 1 else [str(run["key"]) for run in own]
        table = quote(f"{directory}/runs.csv")
        again = [f"bench verify {table} --row {quote(one)}" for one in rows]
        if code.commit is not None and lacks_at(code.commit, "bench/sweep/verify.py"):
            # Before there was `bench verify`, a sweep made its runs anew in another folder.
            again = [f"bench sweep {quote(str(own[0]['sweep']))} --results again"]
        lines += again_lines(code, again)
    return lines


def again_lines(code: Code, again: list[str]) -> list[str]:
    """Return the lines that tell how runs of one code are done again, if they can be."""
    if code.is_dirty:
        return ["  again    not from here: run it anew at a commit, and cite that"]
    if code.commit is None:
        version = f"version {code.version}" if code.version else "the version that made it"
        first = (
            f"  again    install {version} of likelihood-bench; verify says whether the code is it"
        )
        return [first, *(f"           {line}" for line in again)]
    # Beside this checkout: at that commit the tables of now were not there yet.
    place = f"../at-{code.commit[:12]}"
    first = f"  again    git worktree add --detach {place} {code.commit} && make -C {place} setup"
    return [first, *(f"           {place}/.venv/bin/{line}" for line in again)]


def seeds_of(runs: list[pd.Series]) -> str:
    return ", ".join(str(run["seed"]) for run in runs)
