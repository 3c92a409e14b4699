"""The table of a rate–distortion curve, beside trained models."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.inspection.rate_distortion import CurvePoint, CurveSettings
from bench.inspection.trained_points import TrainedPoint


def curve_table(
    curve: Sequence[CurvePoint], settings: CurveSettings, trained: Sequence[TrainedPoint]
) -> pd.DataFrame:
    """Return rate-distortion.csv, in nats per image.

    Rows of the kind ``annealed`` are the curve's, one for each β. Those of the kind ``encoder`` are
    trained models with their own encoders, the inspected one first. ``beta`` weighs the distortion,
    ``trained_beta`` the rate.
    """
    annealed = [
        {"beta": point.beta}
        | numbers_of(point)
        | {"chains": settings.chains, "temperatures": settings.temperatures, "kind": "annealed"}
        for point in curve
    ]
    encoders = [
        numbers_of(point)
        | {"kind": "encoder", "samples": point.rate.samples}
        | {"model": point.model, "trained_beta": point.beta}
        | {"key": point.key, "seed": point.seed, "epochs": point.epochs, "weights": point.weights}
        for point in trained
    ]
    counts = ["chains", "temperatures", "samples", "seed", "epochs", "weights"]
    table = pd.DataFrame([*annealed, *encoders])
    # A column of integers stays one where some cells are empty.
    return table.astype({name: "Int64" for name in counts if name in table})


def numbers_of(point: CurvePoint | TrainedPoint) -> dict[str, Any]:
    return {
        "rate_nats": point.rate.value,
        "rate_stderr": point.rate.stderr,
        "distortion_nats": point.distortion.value,
        "distortion_stderr": point.distortion.stderr,
        "n": point.rate.n,
    }
