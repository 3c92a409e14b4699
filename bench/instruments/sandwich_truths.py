"""Sandwiches of log p(x) that `bench calibrate` repeats on the linear-Gaussian model.

The truth must lie between the bounds, each moved outwards by its error, in 98 of 100 repeats or more;
also with few temperatures, in many dimensions, and where chains start far from the posterior.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from bench.densities.normal import standard_normal_log_prob
from bench.densities.priors import StandardNormalDensity
from bench.estimators.annealing import automatic
from bench.estimators.estimate import Estimate, mean_estimate
from bench.estimators.weights import WeightedBound
from bench.inspection.annealer import Annealer, annealer, schedule
from bench.inspection.blocks import LatentBlock, Start
from bench.inspection.bounds import of_exact_samples
from bench.instruments.known_truths import Instrument
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise

# Least share of repeats with the truth inside, and how many errors the bounds are moved outwards: each
# is passed by chance in half of a percent.
INSIDE, ERRORS = 0.98, 2.576
REPEATS, DATA, CHAINS, LEAPFROG_STEPS = 100, 50, 16, 3


@dataclass(frozen=True)
class Case:
    """A hard or an easy sandwich.

    Attributes:
        setting: In words.
        model: The model, with its q.
        start: Where chains start.
        temperatures: Steps in β.
    """

    setting: str
    model: LinearGaussianVAE
    start: Start
    temperatures: int


@dataclass(frozen=True)
class Sandwiched:
    """Repeats of a case.

    Attributes:
        setting: Which case.
        lower, upper: Mean over data less the true one, in nats, of each repeat.
        inside: Whether the truth lies between the bounds, moved by their errors.
    """

    setting: str
    lower: list[float]
    upper: list[float]
    inside: list[bool]


def cases() -> list[Case]:
    plain = LinearGaussianVAE(shift=0.3, stretch=1.4)
    high = LinearGaussianVAE(44, 40, stretch=0.5)
    far = LinearGaussianVAE(shift=2.0, stretch=0.2)
    narrow = LinearGaussianVAE(24, 20, sigma=0.05)
    return [
        Case("2-D latent, from q, 20 temperatures", plain, "posterior", 20),
        Case("2-D latent, from q, 60 temperatures", plain, "posterior", 60),
        Case("2-D latent, from q, 2 temperatures", plain, "posterior", 2),
        Case("40-D latent, q half as wide, 20 temperatures", high, "posterior", 20),
        Case("40-D latent, q half as wide, 4 temperatures", high, "posterior", 4),
        Case("2-D latent, q a fifth as wide and 2 away, 20 temperatures", far, "posterior", 20),
        Case("20-D latent, posteriors of width 0.05, from p, 40 temperatures", narrow, "prior", 40),
        Case("20-D latent, posteriors of width 0.05, from p, 5 temperatures", narrow, "prior", 5),
    ]


def block_of_linear_gaussian(model: LinearGaussianVAE, x: Tensor) -> LatentBlock:
    """Return what annealing needs of the linear-Gaussian model for x (batch, D)."""
    likelihood = partial(model.log_likelihood, x=x)
    return LatentBlock(
        model.posterior(x),
        StandardNormalDensity(model.weight.shape[1]),
        lambda z: (standard_normal_log_prob(z), -z),
        automatic(likelihood),
        likelihood,
    )


def drawn(model: LinearGaussianVAE, n: int, *key: int | str) -> tuple[Tensor, Tensor]:
    """Draw z (n, latent) and x (n, D) from the model."""
    noise = Noise("linear-Gaussian pair", *key)
    z = noise.normal(n, model.weight.shape[1]).double()
    return z, z @ model.weight.T + model.sigma * noise.normal(n, model.dimensions).double()


def tuned(case: Case) -> Annealer:
    """Return an annealer whose step sizes are tuned on other data."""
    _, x = drawn(case.model, DATA, "tuning")
    return annealer(
        lambda start: block_of_linear_gaussian(case.model, x),
        (case.start,),
        lambda start: schedule(start, case.temperatures),
        LEAPFROG_STEPS,
        partial(Noise, "tuning"),
    )


def repeated(
    case: Case, chosen: Annealer, repeat: int
) -> tuple[Tensor, WeightedBound, WeightedBound]:
    """Return the true log p(x) of new data, and the bounds below and above, (DATA,) each."""
    z, x = drawn(case.model, DATA, repeat)
    block = block_of_linear_gaussian(case.model, x)
    lower, upper = of_exact_samples(block, z, chosen, CHAINS, partial(Noise, repeat))
    return case.model.log_evidence(x), lower, upper


def sandwiches(repeats: int = REPEATS) -> Iterator[Sandwiched]:
    """Yield every case with its repeats."""
    for case in cases():
        chosen = tuned(case)
        found = Sandwiched(f"linear-Gaussian, {case.setting}", [], [], [])
        for repeat in range(repeats):
            truth, lower, upper = repeated(case, chosen, repeat)
            below, above = (bound.value - truth for bound in (lower, upper))
            error = lambda bound: ERRORS * bound.variance.sum().sqrt().item() / DATA
            found.lower.append(below.mean().item())
            found.upper.append(above.mean().item())
            found.inside.append(
                found.lower[-1] <= error(lower) and found.upper[-1] >= -error(upper)
            )
        yield found


def reverse_instruments() -> Iterator[Instrument]:
    """1/p(x) by falling chains is unbiased, whatever their number and that of the temperatures."""
    for case in (cases()[0], cases()[2]):
        chosen = tuned(case)

        def ratio(repeat: int, case: Case = case, chosen: Annealer = chosen) -> Estimate:
            truth, _, upper = repeated(case, chosen, repeat)
            return mean_estimate((truth - upper.value).exp()[None])

        yield Instrument(
            "1/evidence, reverse annealing",
            f"linear-Gaussian, {case.setting}, {CHAINS} chains; p(x) over the estimate",
            1.0,
            ratio,
            population=True,
            repeats=300,
        )
