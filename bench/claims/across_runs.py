"""Claims that compare runs, or need their records alone: 1, 5, 6, 7 and 10. No PyTorch."""

import json
from math import log, sqrt

from bench.claims.curves import Curve
from bench.claims.rows import STANDARD_ERRORS, Row, Subject, at_most, equal, rounding
from bench.records.types import Config, EstimateRecord, Record
from bench.settings import Split

# Two trainings reached the same bound if they differ by no more than this share of it, which is
# about twice the difference between seeds.
SAME_BOUND = 0.02
# A training is nearly done once its bound is within this share of its last one.
NEARLY_DONE = 0.05
SPLITS: tuple[Split, ...] = ("train", "test")


def subject_of(record: Record) -> Subject:
    return Subject(record["task"], record["model"], record["seed"], record["key"])


def estimate_of(record: Record, name: str, split: Split = "test") -> EstimateRecord | None:
    """Return an estimate of a run; None where its model has no such number."""
    return record["metrics"][split].get(name)


def value_of(record: Record, name: str, split: Split = "test") -> float:
    return record["metrics"][split][name]["value"]


def stderr_of(record: Record, name: str, split: Split = "test") -> float:
    """Return the Monte-Carlo error of an estimate, or the error over data where that is not known."""
    estimate = record["metrics"][split][name]
    error = estimate["stderr"]
    return (estimate.get("stderr_data") if error is None else error) or 0.0


def bits_per_dim(elbo: float, dimensions: int) -> float:
    return -elbo / (dimensions * log(2))


def steps_of(record: Record, epoch: int) -> int:
    """Return the number of optimizer steps of so many epochs."""
    return epoch * (record["data"]["sizes"]["train"] // record["config"]["trainer"]["batch_size"])


def decomposition_rows(record: Record) -> list[Row]:
    """Claim 1 where the true posterior is unknown: L_K − ELBO bounds KL(q‖p(z|y)) from below."""
    if estimate_of(record, "marginal_kl") is None or record["bound"] != "upper":
        return []
    error = stderr_of(record, "inference_gap")
    k = record["metrics"]["test"]["log_likelihood"]["samples"]
    return [
        at_most(
            1,
            f"KL(q ‖ p(z|y)) is not negative: ELBO ≤ L_{k}, their difference bounds it from below",
            subject_of(record),
            value_of(record, "log_likelihood") - value_of(record, "inference_gap"),
            value_of(record, "log_likelihood"),
            tolerance=STANDARD_ERRORS * error,
            stderr=error,
        )
    ]


def surgery_rows(record: Record) -> list[Row]:
    """Claim 10 on both splits, for models with a posterior."""
    if estimate_of(record, "marginal_kl") is None:
        return []
    return [row for split in SPLITS for row in surgery_rows_of(record, split)]


def surgery_rows_of(record: Record, split: Split) -> list[Row]:
    """Claim 10 on one split.

    One sample per datum has no standard error, and only the identity of the estimates is judged.
    """
    subject = subject_of(record)
    kl, information, marginal, log_n = (
        value_of(record, name, split)
        for name in ("kl", "mutual_information", "marginal_kl", "log_n")
    )
    parts = information + marginal
    rows = [
        equal(
            10,
            f"{split}: kl = mutual_information + marginal_kl",
            subject,
            kl,
            parts,
            tolerance=rounding(kl),
        )
    ]
    if record["metrics"][split]["kl"]["stderr"] is None:
        return rows
    if estimate_of(record, "kl_analytic", split) is not None:
        error = stderr_of(record, "kl", split)
        rows.append(
            equal(
                10,
                f"{split}: the closed form of the KL = mutual_information + marginal_kl",
                subject,
                value_of(record, "kl_analytic", split),
                parts,
                tolerance=STANDARD_ERRORS * error + rounding(kl),
                stderr=error,
            )
        )
    error = stderr_of(record, "mutual_information", split)
    allowed = STANDARD_ERRORS * error + rounding(information)
    for left, right, words in (
        (0.0, information, "0 ≤ mutual_information"),
        (information, log_n, "mutual_information ≤ log n"),
    ):
        rows.append(at_most(10, f"{split}: {words}", subject, left, right, allowed, error))
    return rows


def without(config: Config, *paths: str) -> str:
    """Return a configuration without some options, as text to compare."""
    copy = json.loads(json.dumps(config))
    for path in paths:
        *groups, name = path.split(".")
        part = copy
        for group in groups:
            part = part.get(group, {})
        part.pop(name, None)
    return json.dumps(copy, sort_keys=True)


def alternating_rows(records: list[Record]) -> list[Row]:
    """Claim 5: alternating encoder and decoder steps against joint training, seed by seed."""
    ignored = [f"trainer.{name}" for name in ("encoder_steps", "decoder_steps", "max_epochs")]
    joint = {
        without(record["config"], *ignored): record
        for record in records
        if not record["config"]["trainer"]["encoder_steps"]
    }
    rows = []
    for record in records:
        twin = joint.get(without(record["config"], *ignored))
        if twin is not None and record["config"]["trainer"]["encoder_steps"]:
            rows += alternating_rows_of(record, twin)
    return rows


def alternating_rows_of(record: Record, twin: Record) -> list[Row]:
    """Claim 5 for one alternating training and its joint twin."""
    subject = subject_of(record)
    steps, twin_steps = (steps_of(r, r["epochs"] or 0) for r in (record, twin))
    meaning = "gradient steps" if steps == twin_steps else "updates of each half"
    bound, reference = value_of(record, "elbo"), value_of(twin, "elbo")
    error = sqrt(stderr_of(record, "elbo") ** 2 + stderr_of(twin, "elbo") ** 2)
    rows = [
        equal(
            5,
            f"at equal {meaning}, training by turns (left) reaches joint training's test ELBO "
            f"within {SAME_BOUND:.0%}",
            subject,
            bound,
            reference,
            tolerance=SAME_BOUND * abs(reference) + STANDARD_ERRORS * error,
            stderr=error,
        )
    ]
    goal = (1 + NEARLY_DONE) * twin["history"][-1]["validation_elbo"]
    first, second = (steps_to(r, goal) for r in (twin, record))
    if steps == twin_steps and first is not None:
        # An alternating training that never reaches the goal needs more steps than it had.
        rows.append(
            at_most(
                5,
                f"joint training (left) comes within {NEARLY_DONE:.0%} of its last validation "
                "bound in no more gradient steps than training by turns",
                subject,
                first,
                steps if second is None else second,
                unit="gradient steps",
            )
        )
    return rows


def steps_to(record: Record, goal: float) -> int | None:
    """Return the number of steps after which the validation bound first reached ``goal``."""
    for point in record["history"]:
        if point["validation_elbo"] >= goal:
            return steps_of(record, point["epoch"])
    return None


def degeneracy_rows(record: Record) -> list[Row]:
    """Claim 7 on a run without dequantization: −ELBO/(D ln 2), which is then not a code length."""
    if record["bound"] != "none":
        return []
    subject, history = subject_of(record), record["history"]
    dimensions = record["data"]["dimensions"]
    half = bits_per_dim(history[len(history) // 2 - 1]["train_elbo"], dimensions)
    last = bits_per_dim(history[-1]["train_elbo"], dimensions)
    unit = "'bits/dim'"
    return [
        at_most(
            7,
            "without dequantization the 'bits/dim' on train falls below 0, where no probability "
            "mass function can be",
            subject,
            last,
            0.0,
            unit=unit,
        ),
        at_most(
            7,
            "it still falls in the second half of the training: last 'bits/dim' ≤ that at half time",
            subject,
            last,
            half,
            unit=unit,
        ),
        at_most(
            7,
            "on test images too, at the epoch of the best validation bound, it is below 0",
            subject,
            value_of(record, "bits_per_dim"),
            0.0,
            unit=unit,
        ),
    ]


def dequantization_gap_rows(curves: list[Curve]) -> list[Row]:
    """Claim 6 across runs: learned noise leaves a smaller gap than uniform noise, seed by seed."""
    ladders = {
        (curve["task"], curve["model"], curve["seed"]): curve
        for curve in curves
        if curve["figure"] == "ladder"
    }
    rows = []
    for (task, model, seed), learned in ladders.items():
        # The twin that is trained alike: the same options follow on its name.
        uniform = ladders.get((task, model.removeprefix("variational_"), seed))
        if not model.startswith("variational_realnvp") or uniform is None:
            continue
        gaps, variances = [], []
        for curve in (learned, uniform):
            bits = 1 / (curve["dimensions"] * log(2))
            gaps.append((curve["y"][-1] - curve["y"][0]) * bits)
            variances.append((curve["error"][-1] ** 2 + curve["error"][0] ** 2) * bits**2)
        learned_gap, uniform_gap = gaps
        error = sqrt(sum(variances))
        rows.append(
            at_most(
                6,
                f"the gap from the bound to L_{learned['x'][-1]} is smaller with learned noise "
                "(left) than with uniform noise",
                Subject(task, model, seed),
                learned_gap,
                uniform_gap,
                tolerance=STANDARD_ERRORS * error,
                stderr=error,
                unit="bits/dim",
            )
        )
    return rows
