"""Descriptions of the tables: datapackage.json for programs, the data dictionary for readers."""

import json
from pathlib import Path

import pandas as pd

from bench.records.columns import Column, leaderboard_columns, runs_columns, timings_columns
from bench.records.types import Environment
from bench.system.files import MIB, is_there, read_bytes
from bench.version import __version__

# A new column raises the second number, a renamed column or a changed meaning the first.
SCHEMA_VERSION = "2.0.0"
TITLE = "# What the tables hold"
# The dictionary's text on tables that are in no package of a sweep.
OTHER_TABLES = (
    "",
    "## Others",
    "",
    "`<sweep>/claims.csv`: a row for each claim of the lecture, statement, task, model and seed: the two",
    "sides of the statement, their difference, its standard error, the tolerance, and whether it holds.",
    "",
    "`paper_match.csv`: a row for each published number whose recipe was run: `ours` with its 95 % interval",
    "over `seeds`, `theirs`, the `difference` (ours less theirs), the `tolerance` that was fixed beforehand,",
    "the `verdict` (match, better, worse, or different), what `differs` in the recipe, the `source` and",
    "`how` it is known (read, recalled).",
    "",
    "`codecs/codecs.csv`: lossless codecs on the test images: `layout` is each image by itself (images)",
    "or all of them as one (strip), `headers` says whether those are counted, `bits_per_dim` is",
    "8 bytes / (n D).",
    "",
    "`calibration/calibration.csv`: every estimator against a known truth, its bias, the bias that is",
    "expected, the share of its intervals that cover its expectation, and the share of repeats in which it",
    "gives no standard error (`empty`). `perf/perf.csv`: times of ours and of others, and their ratio.",
    "",
    "In these tables a `commit` that ends in `-dirty` is not that of the code, which differed from it.",
    "",
    "What is published of the default sweep and of these instruments is under `published/`.",
    "",
    "## Records and pictures",
    "",
    "`<sweep>/runs/KEY/record.json` holds all numbers of a run. Pictures of published runs are in",
    "`<sweep>/runs/images/`, each distinct one once, and records name them by their SHA-256;",
    "`python -m bench.records.images results/<sweep>/runs` puts them there. A record's checksum is that",
    "of its whole content, pictures included.",
    "",
    "All files of the repository together are to stay under 30 MB. A test holds those that are no",
    "checkpoints to 15 MB and, until fewer are kept, the checkpoints to 40 MB. Figures and pages of the",
    "smoke sweeps are not kept: `make report` draws them from the records.",
)
KEYS = {"runs": ["key", "split"], "leaderboard": ["task", "model"], "timings": ["key"]}


def package_files(
    directory: Path, timings: pd.DataFrame, environments: list[Environment]
) -> dict[Path, str]:
    """Return {file: content}: a sweep's datapackage.json (Data Package v2) and the data dictionary.

    Args:
        directory: The sweep's folder; the dictionary is README.md in its parent folder.
        timings: timings.csv.
        environments: The distinct environments of its runs.
    """
    tables = {
        "runs": runs_columns(),
        "leaderboard": leaderboard_columns(),
        "timings": timings_columns(timings),
    }
    package = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": directory.name.lower(),
        "title": f"Likelihood Bench: sweep {directory.name}",
        "version": SCHEMA_VERSION,
        "licenses": [{"name": "MIT"}],
        "resources": [resource(name, columns) for name, columns in tables.items()],
        "software": {"name": "likelihood-bench", "version": __version__},
        "environments": environments,
    }
    files = {directory / "datapackage.json": json.dumps(package, indent=1) + "\n"}
    readme = directory.parent / "README.md"
    # A README that this did not write is left alone.
    if not is_there(readme) or is_ours(readme):
        files[readme] = dictionary()
    return files


def is_ours(readme: Path) -> bool:
    """Tell whether a README begins like the data dictionary."""
    try:
        return read_bytes(readme, MIB).startswith(TITLE.encode())
    except OSError:
        return False


def resource(name: str, columns: list[Column]) -> dict[str, object]:
    """Return the description of one table for datapackage.json."""
    return {
        "name": name,
        "type": "table",
        "path": f"{name}.csv",
        "scheme": "file",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": {
            "fields": [field(column) for column in columns],
            "primaryKey": KEYS[name],
            "missingValues": [""],
        },
    }


def field(column: Column) -> dict[str, str]:
    more = {"unit": column.unit, "bound": column.bound, "source": column.source}
    described = {"name": column.name, "type": column.type, "description": column.meaning}
    return described | {name: text for name, text in more.items() if text}


def dictionary() -> str:
    """Return results/README.md, which describes every column of every table."""
    lines = [
        TITLE,
        "",
        f"Version {SCHEMA_VERSION} of the columns; written by `make report`, as are the",
        "`datapackage.json` (frictionless Data Package) of every sweep. `runs.csv` has a row for each",
        "run and split, `leaderboard.csv` a row for each task and model, `timings.csv` what may differ",
        "when the same is run again. Empty cells were not measured, or are infinite; they are no",
        "zeros. *Bound* says what the number is to the truth.",
    ]
    for name, columns in (("runs.csv", runs_columns()), ("leaderboard.csv", leaderboard_columns())):
        lines += [
            "",
            f"## {name}",
            "",
            "| column | unit | bound | meaning | source |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| `{c.name}` | {c.unit} | {c.bound} | {c.meaning.replace('|', chr(92) + '|')} | {c.source} |"
            for c in columns
        ]
    return "\n".join([*lines, *OTHER_TABLES]) + "\n"
