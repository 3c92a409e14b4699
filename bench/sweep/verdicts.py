"""What becomes of a cited run that was run again: numbers held against tolerances.

A publisher can write anything into a table and its records. So a tolerance is never taken from the
row under test: its Monte-Carlo part is the new run's own, and what other published seeds say of the
spread counts up to a limit that is fixed here.
"""

from dataclasses import dataclass, replace
from math import isfinite, sqrt

import pandas as pd

from bench.records.row import METRICS, row_of

# What float64 sums may differ by on machines whose instructions differ.
ROUNDING = 1e-6
# The most that seeds may differ by, as a share of the new run's |log_likelihood|. Of the published
# models (three seeds, 8 × 8 digits) the widest two spreads of bits/dim and of the terms in nats have
# standard deviations of 1.6 % and 2.3 %, and two runs differ by 1.96 √2 as much: 4.5 % and 6.4 %.
# On MNIST they are below 0.1 %, and there the published interval decides.
MOST_OF_LIKELIHOOD = 0.05
# The same for what is no likelihood: latent dimensions, and the data's sharpness.
MOST = {"active_units": 3.0}
MOST |= {f"sharpness{of}": 0.05 for of in ("", "_aggregate", "_reconstruction")}
# A Monte-Carlo error is an estimate as well: it is false if it is off by more than this factor.
ERROR_FACTOR = 2.0
# Names of the code beside its hash. They decide no number and anybody can write them.
LABELS = ("commit", "commit_unknown", "dirty", "version")
# What a row says of its run beside estimates; each must be the same in the new run.
FACTS = (
    "key", "task", "model", "decoder", "prior", "seed", "split", "status", "dimensions", "levels",
    "n", "parameters", "importance_samples", "beta", "importance_data", "data_sha256",
    "config_sha256",
)  # fmt: skip
GOOD = ("identical", "within")


@dataclass(frozen=True)
class Verdict:
    """What became of one run.

    Attributes:
        key: The run.
        label: Task, model and seed.
        outcome: identical: every number to the last bit; within: in another environment, inside
            the tolerances; outside; changed: data or configuration are not what they were; altered:
            table, record and commit do not say the same; or dirty: the code was not that of its
            commit. Of the last three nothing was run.
        reasons: What differs: numbers that are outside, or what has changed.
    """

    key: str
    label: str
    outcome: str
    reasons: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return self.outcome in GOOD


@dataclass(frozen=True)
class Cited:
    """A run as it was published.

    Attributes:
        key: The run.
        rows: Its rows of runs.csv, as ``read_runs`` returns them.
        config: Its configuration, if that is known.
        record: Its record, if it is there.
        model: The name that tables have for its model by its record, or else by the sweep, if
            either is there.
    """

    key: str
    rows: pd.DataFrame
    config: dict | None
    record: dict | None
    model: str | None

    @property
    def label(self) -> str:
        first = self.rows.iloc[0]
        return f"{first['task']} {first['model']} seed {first['seed']}"

    @property
    def environment(self) -> dict | None:
        return None if self.record is None else self.record["environment"]


def tolerance(
    record: dict, split: str, column: str, others: list[float], same_weights: bool
) -> float:
    """Return how far a published estimate may be from the new one; nothing of its row enters.

    Monte-Carlo estimates may differ by 1.96 · √2 · standard error, of the new run, which has the
    published number of samples and data. A training that is done again elsewhere is as another seed:
    it may also differ by the 95 % prediction interval of one more seed, from the spread s of the n
    others with the new one, t · s · √(1 + 1/n), and by no more than a fixed share of the new run's
    log-likelihood, since the others come from the same publisher. Of a single seed nobody knows the
    spread: bits/dim and log-likelihood have their Monte-Carlo error alone, as strict as one can be,
    and the other estimates that share.

    Args:
        record: The new run.
        split: train or test.
        column: The estimate; it is in the record.
        others: What was published of it for other seeds of the same task and model.
        same_weights: Nothing was trained again, so that seeds do not matter.
    """
    from scipy.stats import t

    metrics = record["metrics"][split]
    value, error = metrics[column]["value"], metrics[column].get("stderr")
    allowed = ROUNDING * max(1.0, abs(value)) + 1.96 * sqrt(2) * (error or 0.0)
    if same_weights or not record["parameters"]:
        return allowed
    most = MOST.get(column, MOST_OF_LIKELIHOOD * likelihood_of(metrics, column))
    seeds = pd.Series([value, *(other for other in others if isfinite(other))])
    if len(seeds) == 1:
        return allowed + (0.0 if column in ("bits_per_dim", "log_likelihood") else most)
    quantile = float(t.ppf(0.975, len(seeds) - 1))
    return allowed + min(most, quantile * float(seeds.std()) * sqrt(1 + 1 / len(seeds)))


def likelihood_of(metrics: dict, column: str) -> float:
    """Return the size of a run's log-likelihood, in the unit of a column: bits/dim or nats."""
    name = "bits_per_dim" if column == "bits_per_dim" else "log_likelihood"
    return abs(metrics[name]["value"])


def judge(cited: Cited, record: dict, runs: pd.DataFrame, same_weights: bool) -> Verdict:
    """Hold a run's new record against its published rows.

    Args:
        cited: The published run.
        record: The new run.
        runs: The whole runs.csv.
        same_weights: Nothing was trained again.
    """
    different, outside = [], []
    for _, row in cited.rows.iterrows():
        again = row_of(record, str(row["sweep"]), str(row["split"]))
        outside += [
            f"{row['split']} {name}: published {row[name]}, now {again[name]}"
            for name in FACTS
            if not same_cell(row[name], again[name])
        ]
        # How long training took elsewhere is free, but not how long it can have taken.
        if not same_weights and not same_cell(row["epochs"], again["epochs"]):
            longest = record["config"]["trainer"]["max_epochs"] if record.get("parameters") else -1
            is_possible = pd.notna(row["epochs"]) and 0 < row["epochs"] <= longest
            words = f"{row['split']} epochs: published {row['epochs']}, now {again['epochs']}"
            (different if is_possible else outside).append(words)
        numbers, wrong = hold(row, again, record, runs, same_weights)
        different, outside = different + numbers, outside + wrong
    if different and cited.environment is not None and is_same(cited.environment, record):
        # On the same kind of machine, with the same code and versions, nothing may differ at all.
        outside = outside or different[:3]
    outcome = "outside" if outside else "within" if different else "identical"
    if record["status"] != "ok":
        outside.insert(0, f"failed: {record['reason']}")
    verdict = Verdict(cited.key, cited.label, outcome, tuple(outside))
    return with_environment(verdict, cited, record)


def hold(
    row: pd.Series, again: dict, record: dict, runs: pd.DataFrame, same_weights: bool
) -> tuple[list[str], list[str]]:
    """Return, in words, which of a row's estimates differ, and which by more than is allowed."""
    split, different, outside = str(row["split"]), [], []
    others = runs[
        (runs["task"] == row["task"])
        & (runs["model"] == row["model"])
        & (runs["split"] == split)
        & (runs["key"] != row["key"])
    ]
    for column in (*METRICS, "bits_per_dim_stderr"):
        old, new = row[column], again[column]
        if same_cell(old, new):
            continue
        words = f"{split} {column}: published {old!r}, now {new!r}"
        different.append(words)
        if pd.isna(old) or new is None:
            outside.append(words)
        elif column == "bits_per_dim_stderr":
            if not new / ERROR_FACTOR <= old <= new * ERROR_FACTOR:
                outside.append(f"{words}, more than {ERROR_FACTOR:.0f} times as much or as little")
        else:
            published = others[column].dropna().tolist()
            allowed = tolerance(record, split, column, published, same_weights)
            if not abs(new - old) <= allowed:
                outside.append(
                    f"{split} {column}: published {old:.6g}, now {new:.6g}, tolerance {allowed:.2g}"
                )
    return different, outside


def same_cell(old, new) -> bool:
    """Tell whether a published cell is what it would be now; empty ones are None."""
    return new is None if pd.isna(old) else new is not None and bool(old == new)


def with_environment(verdict: Verdict, cited: Cited, record: dict) -> Verdict:
    """Add to a verdict what differs between the published environment and this one."""
    if verdict.outcome == "identical":
        return verdict
    if cited.environment is None:
        text = "environment: no record to compare with"
    else:
        text = "; ".join(differences(cited.environment, record))
        text = f"environment: {text or 'the same, as far as it is recorded'}"
    return replace(verdict, reasons=(*verdict.reasons, text))


def is_same(published: dict, record: dict) -> bool:
    """Tell whether an environment has all that decides numbers in common with a new record's."""
    old, new = flat(published), flat(record["environment"])
    return all(old.get(name) == new[name] for name in new if name not in LABELS)


def differences(published: dict, record: dict) -> list[str]:
    """Return what of a published environment is another one in a new record."""
    old, new = flat(published), flat(record["environment"])
    return [
        f"{name}: {old.get(name)} → {new.get(name)}" for name in new if old.get(name) != new[name]
    ]


def flat(environment: dict) -> dict:
    """Return an environment with its package versions beside the rest; hashes of code are short."""
    plain = {name: value for name, value in environment.items() if name != "packages"}
    for name in ("commit", "code_sha256"):
        if plain.get(name):
            plain[name] = str(plain[name])[:12]
    packages = environment.get("packages")
    return plain | (packages if isinstance(packages, dict) else {})
