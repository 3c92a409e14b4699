"""What the page of an inspection says and shows, section by section."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from itertools import groupby
from statistics import mean

from PIL import Image

from bench.estimators.estimate import Estimate
from bench.estimators.weights import pareto_threshold
from bench.inspection.inspected import Inspected
from bench.inspection.pictures import MOST_POINTS
from bench.inspection.rate_distortion import CurvePoint, CurveSettings, model_point
from bench.inspection.rate_distortion_figure import largest_shown
from bench.inspection.trained_points import TrainedPoint
from bench.report.style import DPI, with_minus

# Names of quantities, with their number of samples.
BOUNDS = {
    "log_likelihood_lower": "simulated data: annealing, a lower bound",
    "log_likelihood_upper": "simulated data: reverse annealing, an upper bound",
    "sandwich_gap": "simulated data: the difference of the two",
    "log_likelihood_annealed": "test images: annealing, a lower bound",
    "log_likelihood_importance": "test images: L_{samples} with draws from the encoder's q, a lower bound",
    "upper_heuristic_chain": "test images: reverse annealing from long chains, no bound",
    "upper_heuristic_cubo": "test images: CUBO with the draws of L_{samples}, no bound",
}
GAPS = {
    "log_likelihood_best_q": "log p(y), as L_{samples} with draws from the best q that was found",
    "elbo": "ELBO of the encoder's q",
    "inference_gap": "inference gap: log p(y) less this ELBO",
    "approximation_gap": "– approximation gap: log p(y) less the ELBO of the best q of its family",
    "amortization_gap": "– amortization gap: that ELBO less the ELBO of the encoder's q",
    "dequantization_gap": "– dequantization gap: what the noise on the pixels costs",
    "closed_by_full_covariance": "part of the approximation gap that a normal q with a full covariance closes",
}
OF_NUMBERS = ["quantity", "nats", "±"]
OF_MODELS = ["model", "β", "rate", "distortion", "sum", "seeds", "epochs", "weights"]
Rows = list[list[str]]
Section = dict[str, object]
# On the page, so that letters of 8 points are as large as the text.
PIXELS_PER_INCH = 130


def sections_of(
    found: Inspected, beside: Sequence[TrainedPoint], pictures: dict[str, bytes]
) -> list[Section]:
    """Return what the template shows of each part."""
    shown_pictures = {
        name: {
            "source": f"data:image/png;base64,{b64encode(png).decode()}",
            "width": width_of(png) * PIXELS_PER_INCH // DPI,
        }
        for name, png in pictures.items()
    }
    return [
        *sections_of_numbers(found),
        section_of_curve(found, beside, shown_pictures["rate-distortion"]),
        *sections_of_pictures(found, shown_pictures),
    ]


def sections_of_numbers(found: Inspected) -> list[Section]:
    return [
        {
            "title": "Bounds of log p(y) from both sides",
            "text": text_of_bounds(found),
            "header": OF_NUMBERS,
            "rows": rows_of(found, BOUNDS),
        },
        {
            "title": "Where the bound loses",
            "text": "The inference gap says how far the ELBO is below log p(y). It is the sum of the gaps listed "
            "under it. The approximation gap is there because the posterior is not of q's family, so that even the "
            "best q of each image is off. The amortization gap is there because one encoder serves all images and "
            f"does not find that q. The search for the best q converged for {found.gaps.converged:.0%} of the images.",
            "header": OF_NUMBERS,
            "rows": rows_of(found, GAPS),
        },
    ]


def section_of_curve(
    found: Inspected, beside: Sequence[TrainedPoint], picture: dict[str, object]
) -> Section:
    return {
        "title": "Rate and distortion",
        "text": "The rate KL(q(z|y) ‖ p(z)) is what the code z of an image costs, and the distortion −log p(y|z) "
        "what the image costs given its code. The curve shows which pairs of the two this prior and decoder can "
        "reach: q(z|y) is annealed to p(z) p(y|z)^β, normalized, for every weight β of the distortion. At β = 1 "
        "this is the posterior, and the sum of both would be −log p(y) if annealing were perfect; it is a little more.",
        "figure": picture,
        "caption": caption_of_curve(found, beside),
        "header": OF_MODELS,
        "rows": rows_of_models(found, beside),
    }


def sections_of_pictures(found: Inspected, pictures: dict[str, dict[str, object]]) -> list[Section]:
    return [
        {
            "title": "Worst and best images",
            "text": text_of_extremes(found),
            "figure": pictures["extremes"],
            "caption": "The upper two rows: the images with the largest k̂. The lower two: those with the smallest. "
            "Under each image: its reconstruction, and its inference gap in nats.",
        },
        {
            "title": "Latent space",
            "text": f"The means of q(z|y) of {min(len(found.means), MOST_POINTS):,} test images, on the two axes on "
            "which they vary most.",
            "figure": pictures["latent-map"],
            "caption": "A point for each image, coloured by its class."
            if found.labels is not None
            else "A point for each image. There are no colours, because the labels of these images were not at hand.",
        },
        {
            "title": "Traversals",
            "text": "In each row one latent dimension moves over the middle 95 % of the means of q(z|y) of all test "
            "images, and the other dimensions stay at the average of theirs. The dimensions are those whose means "
            "differ most between images, in units of the width of q.",
            "figure": pictures["traversals"],
            "caption": "At the left: the dimension, counted from 0. Below the first and the last picture of a row: "
            "its value there.",
        },
    ]


def width_of(png: bytes) -> int:
    with Image.open(BytesIO(png), formats=["PNG"]) as image:
        return image.width


def text_of_bounds(found: Inspected) -> str:
    settings, start = found.bounds.settings, found.bounds.start
    noise = (
        " Of this likelihood, a density, the bounds are of log p(y + u), with one noise u for each image."
        if found.gaps.dequantization_gap is not None
        else ""
    )
    first = "draws of q(z|y)" if start == "posterior" else "draws of the prior"
    return (
        "Annealing bounds log p(y) from below on any data. Reverse annealing bounds it from above, but "
        "has to start at an exact sample of the posterior p(z|y). For data that the model itself drew, such a "
        "sample is known: the z that it was drawn from. So simulated data has bounds from both sides. Both "
        "hold in expectation, and the truth lies between them, up to their errors. The smaller their "
        "difference, the better annealing works on posteriors of this model. Test images have lower bounds, "
        "of which the highest is the tightest, and two upper figures that are no bounds. Annealing takes "
        f"{settings.chains} chains for each image from {first} through {settings.temperatures} temperatures."
        + noise
    )


def text_of_extremes(found: Inspected) -> str:
    k = found.gaps.samples.bound_encoder.pareto_k
    samples = found.gaps.log_likelihood_encoder.samples
    threshold = pareto_threshold(samples)
    above = int((k > threshold).sum())
    return (
        "k̂ is the shape of the tail of an image's importance weights p(y, z) / q(z|y). "
        f"Above {threshold:.2f}, {samples:,} draws are too few: the encoder's q covers the posterior badly. "
        f"Here k̂ goes from {k.min().item():.2f} to {k.max().item():.2f}, and it is above {threshold:.2f} for "
        f"{above} of {len(k)} images."
    )


def caption_of_curve(found: Inspected, beside: Sequence[TrainedPoint]) -> str:
    settings, n = CurveSettings(), found.curve[0].rate.n
    largest, highest = largest_shown(found.curve), max(p.distortion.value for p in found.curve)
    more = f" Larger distortions than {largest:.0f} nats are in rate-distortion.csv." * (
        highest > largest
    )
    own = (
        f"The curve: the first {n} test images, with {settings.chains} chains for each from the prior through "
        f"{settings.temperatures} temperatures up to β = 1, and as dense ones beyond. Bars are two Monte-Carlo "
        f"standard errors.{more} The diamond: the same model on the same images with the q(z|y) of its encoder. "
        "Its distance from the grey line, along either axis, is the inference gap on these images, or less, because the "
        "sum of the curve is an upper bound of −log p(y)."
    )
    if not beside:
        return own
    counts = " or ".join(sorted({f"{point.rate.n:,}" for point in beside}))
    return (
        f"{own} The other marks, one for each run: other models with other networks, whose numbers of weights and "
        f"epochs are in the table. They are evaluated with the q(z|y) of their encoders, on {counts} test images. "
        "In training β weighs the rate, so that a model trained with β = 0.5 aims at what the curve has at β = 2. "
        "A mark cannot lie below the curve of its own prior and decoder, which is not drawn; it may lie below this "
        "one. In the table rate, distortion and sum are means over seeds, in nats per image."
    )


def rows_of_models(found: Inspected, beside: Sequence[TrainedPoint]) -> Rows:
    """Return the models of the rate–distortion figure; means over seeds."""
    own = found.encoder
    rows = [
        row_of_models("this model, annealed", own, [model_point(found.curve)]),
        row_of_models("this model, with its encoder", own, [own]),
    ]
    for _, group in groupby(beside, key=lambda point: (point.model, point.beta)):
        points = list(group)
        rows.append(row_of_models(points[0].model, points[0], points))
    return rows


def row_of_models(
    name: str, trained: TrainedPoint, points: Sequence[CurvePoint | TrainedPoint]
) -> list[str]:
    rate = mean(point.rate.value for point in points)
    distortion = mean(point.distortion.value for point in points)
    numbers = [f"{number:,.1f}" for number in (rate, distortion, rate + distortion)]
    counts = ["–" if n is None else f"{n:,}" for n in (trained.epochs, trained.weights)]
    return [name, f"{trained.beta:g}", *numbers, str(len(points)), *counts]


def rows_of(found: Inspected, names: dict[str, str]) -> Rows:
    """Return name, value and error of each quantity that there is."""
    columns = found.columns
    return [
        [words.format(samples=estimate.samples), *shown(estimate)]
        for name, words in names.items()
        if (estimate := columns[name]) is not None
    ]


def shown(estimate: Estimate) -> tuple[str, str]:
    """Return a value and two standard errors, rounded to what the error allows."""
    if not estimate.stderr:
        return with_minus(f"{estimate.value:.2f}"), "not known"
    error, decimals = 2 * estimate.stderr, 2
    while decimals < 4 and error < 0.5 * 10.0**-decimals:
        decimals += 1
    # Two digits of the error are enough.
    while decimals > 0 and error >= 0.995 * 10.0 ** (2 - decimals):
        decimals -= 1
    return with_minus(f"{estimate.value:.{decimals}f}"), f"{error:.{decimals}f}"
