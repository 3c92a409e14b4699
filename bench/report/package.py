"""Descriptions of the tables: datapackage.json for programs, the data dictionary for readers."""

import json
from pathlib import Path

from bench.records.columns import COST_COLUMNS, leaderboard_columns, runs_columns
from bench.records.run_columns import Column
from bench.report.published_tables import PublishedTables
from bench.system.files import MIB, is_there, read_bytes
from bench.version import __version__

# A new column raises the second number, a renamed column or a changed meaning the first.
SCHEMA_VERSION = "4.0.0"
TITLE = "# What the tables hold"
# The dictionary's text on tables that are in no package of a sweep.
OTHER_TABLES = (
    "",
    "## Others",
    "",
    "`<sweep>/claims.csv`: a row for each claim of the lecture, statement, task, model and seed: the two",
    "sides of the statement, their difference, its standard error, the tolerance, and whether it holds.",
    "",
    "`paper_match.csv`: a row for each published number whose recipe was run. `ours` has its 95 % interval",
    "over `seeds`; `theirs_spread` is what their table has behind ±. `difference` is ours less theirs, with",
    "a 95 % interval of our seeds, of their spread, which is taken for a standard error although that was not",
    "verified, and of `draws_stderr`: binarized test images of a dynamic task are one draw, ours in all seeds",
    "and another one theirs, and this is the standard error of the difference by these two draws. Where it is",
    "empty the interval does not contain it: there is no draw, or it was not measured. `margin` is the",
    "largest difference that counts as equivalent, at most half of `effect`, the difference that their",
    "table is about (`effect_of`). `verdict`: equivalent within δ (the interval lies within ± `margin`: two",
    "one-sided tests of 2.5 % each), different (it lies outside), not decided (it does neither, or there is",
    "one seed), not comparable (the numbers are not of one quantity). `seeds_to_decide` is how many seeds",
    "would decide if mean and spread stayed exactly as they are; where it is empty beside *not decided* no",
    "number up to 1,000 would, or there is one seed. It is no rule for when to stop. `reason` says why not,",
    "or what was tested to explain a difference. `reference_fixed` and `margin_fixed` are when their number",
    "and the margin were committed as they are, `reference_before_run` and `margin_before_run` whether that",
    "was before the code of the runs. `differs` says how the recipe does, `how` whether the `source` was",
    "read, transcribed by others, or recalled.",
    "",
    "`withdrawn.csv`: numbers that were run, held against a published one and replaced by other runs:",
    "`ours` as it stood in `table` at `table_commit`, beside `published` and with `verdict_then`, the commit",
    "that made it (`run_commit`), the `reason`, and what it was `replaced_by`. Empty cells are not known.",
    "",
    "`codecs/codecs.csv`: lossless codecs on the test images: `layout` is each image by itself (images)",
    "or all of them as one (strip), `headers` says whether those are counted, `bits_per_dim` is",
    "8 bytes / (n D). The rows `bits back, MODEL` are trained VAEs that were used as codecs, `layout` chain;",
    "`codecs/bits_back.csv` holds what they sent beside the bounds (docs/bits-back.md), and",
    "`codecs/timings.csv` the images that they compress in a second.",
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
    "`<sweep>/checkpoints/` holds the weights of the runs that the README evaluates again. `SHA256SUMS`",
    "there also has the hashes of those that are not kept.",
    "",
    "All files of the repository together stay under 30 MB, which a test holds. Figures and pages of the",
    "smoke sweeps are not kept: `make report` draws them from the records.",
)
KEYS = {"runs": ["key", "split"], "leaderboard": ["task", "model"], "timings": ["key"]}


def data_package(tables: PublishedTables) -> str:
    """Return datapackage.json (Data Package v2)."""
    content = {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": tables.sweep.lower(),
        "title": tables.title,
        "version": SCHEMA_VERSION,
        "licenses": [{"name": "MIT"}],
        "resources": [resource(name, columns) for name, columns in tables.columns.items()],
        "software": {"name": "likelihood-bench", "version": __version__},
        "environments": list(tables.environments),
    }
    return json.dumps(content, indent=1) + "\n"


def dictionary_files(results: Path) -> dict[Path, str]:
    """Return {README.md: the data dictionary} of a folder of sweeps; empty if it has another README."""
    readme = results / "README.md"
    # A README that this did not write is left alone.
    return {readme: dictionary()} if not is_there(readme) or is_ours(readme) else {}


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
        f"Version {SCHEMA_VERSION} of the columns; written by `make report`, as are the descriptions of",
        "every sweep: `datapackage.json` (frictionless Data Package), `croissant.json` (MLCommons",
        "Croissant) and `ro-crate-metadata.json` (RO-Crate, with how the tables were made). `runs.csv`",
        "has a row for each run and split, `leaderboard.csv` a row for each task and model, `timings.csv`",
        "what may differ when the same is run again. Empty cells were not measured, or are infinite; they",
        "are no zeros. *Bound* says what the number is to the truth.",
    ]
    tables = {
        "runs.csv": runs_columns(),
        "leaderboard.csv": leaderboard_columns(),
        "timings.csv, after the seconds of each phase": list(COST_COLUMNS),
    }
    for name, columns in tables.items():
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
