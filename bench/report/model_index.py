"""A row in the form in which model hubs take evaluation results: `model-index` of a model card.

Source: Hugging Face's model card specification, modelcard.md of huggingface/hub-docs.
"""

from pathlib import Path

import pandas as pd
import yaml

from bench.errors import InputError
from bench.records.row import samples_text
from bench.records.run_columns import ESTIMATES
from bench.report.citation import citation

# What a card shows. Diagnostics and provenance stay in the tables.
SHOWN = (
    "bits_per_dim",
    "log_likelihood",
    "elbo",
    "reconstruction",
    "kl",
    "mutual_information",
    "marginal_kl",
)


def model_card(rows: pd.DataFrame, directory: Path, url: str | None = None) -> str:
    """Return a model card in Markdown: metadata with a row's results on test, and what to cite for it.

    Args:
        rows: The row's runs in runs.csv, of one task and model, as ``read_runs`` returns them.
        directory: The folder of that runs.csv.
        url: Where readers find the results; without one the metadata name no source.

    Raises:
        InputError: No run ended well, or a record is damaged.
    """
    metadata = {"model-index": [model_index(rows, url)]}
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=2**20)
    cited = "\n".join(f"    {line}".rstrip() for line in citation(rows, directory).split("\n"))
    return f"---\n{front}---\n\nEvaluated with Likelihood Bench. What to cite:\n\n{cited}\n"


def model_index(rows: pd.DataFrame, url: str | None) -> dict[str, object]:
    tests = rows[rows["split"] == "test"]
    good = tests[tests["status"] == "ok"]
    if good.empty:
        raise InputError("export: no run of this row ended well, so that it has no number")
    first = good.iloc[0]
    result: dict[str, object] = {
        "task": {
            # The task of the hub's list under which unconditional models of images are.
            "type": "unconditional-image-generation",
            "name": "Likelihood of images",
        },
        "dataset": {
            "name": f"{first['task']} ({first['levels']} levels, {first['dimensions']} dimensions)",
            "type": str(first["task"]),
            "split": "test",
            "args": {"sha256": [str(text) for text in good["data_sha256"].drop_duplicates()]},
        },
        "metrics": metrics_of(good, len(tests) - len(good)),
    }
    if url is not None:
        result["source"] = {"name": f"Likelihood Bench, runs {', '.join(good['key'])}", "url": url}
    return {"name": str(first["model"]), "results": [result]}


def metrics_of(good: pd.DataFrame, failed: int) -> list[dict[str, object]]:
    """Return the metrics that every run has: of one run its value, of several seeds their mean.

    Args:
        good: The runs that ended well, one line each.
        failed: Number of the others.
    """
    samples = samples_text(good["importance_samples"].dropna())
    bounds = samples if samples == "exact" else f"bound with {samples}"
    over = f", mean of {len(good)} seeds" if len(good) > 1 else ""
    over += f", {failed} failed" if failed else ""
    metrics: list[dict[str, object]] = []
    for column in ESTIMATES:
        if column.name not in SHOWN or good[column.name].isna().any():
            continue
        words = f"{column.name}, {column.unit}, test{over}"
        if column.name in ("bits_per_dim", "log_likelihood"):
            words += f", {bounds}"
        value = float(good[column.name].mean())
        args = {"unit": column.unit, "seeds": [int(seed) for seed in good["seed"]]}
        metrics.append({"type": column.name, "value": value, "name": words, "args": args})
    return metrics
