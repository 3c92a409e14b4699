"""Checks that the numbers of a trained model are a result, and not those of a divergence."""

from math import isfinite, log, log2, pi, sqrt

from bench.models.terms import Model
from bench.records.types import Metrics
from bench.training.epoch import TrainingDiverged

# A training whose model loses to the uniform one by more bits/dim than this, on the images that it
# was trained on, has diverged. No recorded run loses to it. The shortest honest trainings do, by 0.5
# (a Gaussian VAE on binary digits, one epoch) to 3.1 (lightning-bolts' VAE, two steps); learning
# rates of 0.2 to 1 that diverge without overflow lose 15 to 1e8 on digits, higher ones up to 1e35.
DIVERGENCE_MARGIN = 8.0


def check_finite(results: Metrics) -> None:
    """Raise TrainingDiverged if any number of a run is not finite."""
    for split, columns in results.items():
        for name, estimate in columns.items():
            if not all(isfinite(v) for v in estimate.values() if isinstance(v, float)):
                raise TrainingDiverged(f"{name} on the {split} split is {estimate['value']}")


def check_against_uniform(results: Metrics, model: Model, levels: int) -> None:
    """Raise TrainingDiverged if a model is far worse than the uniform one on its training split.

    The uniform model has log2 L bits/dim. A model whose numbers bound nothing is compared with it
    too: without dequantization they fall, so that rising ones mean a divergence.
    """
    uniform, bits = log2(levels), results["train"]["bits_per_dim"]["value"]
    most = uniform + DIVERGENCE_MARGIN + cost_of_fixed_scale(model)
    if bits > most:
        raise TrainingDiverged(
            f"{bits:.6g} bits/dim on the training split, where the uniform model has {uniform:.6g} "
            f"and more than {most:.6g} is no result"
        )


def cost_of_fixed_scale(model: Model) -> float:
    """Return how many bits/dim a normal of given σ may lose to the uniform model; 0 without one.

    −log2 N(x; μ, σ²) with x and μ at opposite ends of [0, 1]: a narrow σ costs that much until its
    mean is learned, a wide one always.
    """
    sigma = getattr(getattr(model, "decoder", None), "sigma", None)
    if not isinstance(sigma, (int, float)):
        return 0.0
    return max(0.0, log2(sigma * sqrt(2 * pi)) + 0.5 / (sigma**2 * log(2)))
