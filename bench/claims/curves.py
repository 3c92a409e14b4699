"""The data of the claims' figures, as types: made by workers, kept in measurements as plain data."""

from typing import Literal, NotRequired, TypedDict

from bench.claims.rows import Subject


class CurveSubject(TypedDict):
    """The run, or model in closed form, that a curve is of."""

    task: str
    model: str
    seed: int | None


def curve_subject(subject: Subject) -> CurveSubject:
    return {"task": subject.task, "model": subject.model, "seed": subject.seed}


class LadderCurve(CurveSubject):
    """L_K against K: ``y`` in nats per image, with standard errors; ``dimensions`` of an image."""

    figure: Literal["ladder"]
    x: list[int]
    y: list[float]
    error: list[float]
    dimensions: int


class EMCurve(CurveSubject):
    """The bound (nats per image) after each half-step of EM.

    ``limit`` is the maximum of the evidence, where it has a closed form.
    """

    figure: Literal["em"]
    x: list[int]
    y: list[float]
    limit: NotRequired[float]


class LevelsCurve(CurveSubject):
    """Mass that a model gives to each level, beside the level's share among test pixels."""

    figure: Literal["levels"]
    x: list[int]
    y: list[float]
    share: list[float]
    unseen: list[int]


class ExemplarsCurve(CurveSubject):
    """Gain of q_agg over the prior (nats per image) against the number of exemplars in q_agg."""

    figure: Literal["exemplars"]
    split: str
    x: list[int]
    y: list[float]
    error: list[float | None]


class SampleGrids(CurveSubject):
    """Grids of images as PNG in base64, by what they show."""

    figure: Literal["samples"]
    images: dict[str, str]


class GapsCurve(CurveSubject):
    """Gaps of a VAE, its ELBO and log-likelihood (nats per image), and their Monte-Carlo errors."""

    figure: Literal["gaps"]
    posterior: str
    values: dict[str, float]
    errors: dict[str, float]


class PixelValues(TypedDict):
    """Share of pixels at each level, and the density of dequantized pixels by bin."""

    figure: Literal["pixels"]
    task: str
    x: list[int]
    y: list[float]
    bins: list[float]
    density: list[float]


Curve = LadderCurve | EMCurve | LevelsCurve | ExemplarsCurve | SampleGrids | GapsCurve | PixelValues
