"""The best member of a posterior's family for each datum, by local optimization.

Cremer et al. 2018 (Inference suboptimality in variational autoencoders, section 5.1) optimize the
parameters of q for each datum by itself and call the result q*.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.densities.full_covariance import FullCovarianceNormal, below_diagonal
from bench.densities.normal import DiagonalNormal
from bench.densities.posteriors import Encoded, Posterior
from bench.noise import Noise

# z (samples, batch, latent) → log p(y, z) in nats, (samples, batch).
LogJoint = Callable[[Tensor], Tensor]
# Size of a step in an entry of a factor A below its diagonal, against 1 for a log-deviation. In 40
# dimensions there are 780 of them, and with steps of 1 their noise together is larger than the gain.
UNIT_OF_LOWER = 0.2


@dataclass(frozen=True)
class Family:
    """Distributions over z, one for each datum, as a function of free numbers.

    Attributes:
        start: The parameters at which the optimization starts, (batch, parameters).
        unit: The sizes of steps in each parameter, so that one learning rate suits all of them.
        distribution: Maps parameters (batch, parameters) to distributions.
    """

    start: Tensor
    unit: Tensor
    distribution: Callable[[Tensor], Encoded]

    def moved(self, by: Tensor) -> Encoded:
        """Return the distributions at ``by`` (batch, parameters) units from the start."""
        return self.distribution(self.start + self.unit * by)


def diagonal_family(start: DiagonalNormal) -> Family:
    """All diagonal normals: means in units of the start's deviations, and log-deviations."""

    def distribution(parameters: Tensor) -> DiagonalNormal:
        return DiagonalNormal(*parameters.chunk(2, dim=-1))

    parameters = torch.cat([start.loc, start.log_scale], dim=-1)
    unit = torch.cat([start.scale, torch.ones_like(start.scale)], dim=-1)
    return Family(parameters, unit, distribution)


def full_covariance_family(start: DiagonalNormal | FullCovarianceNormal) -> Family:
    """All normals."""
    d = start.loc.shape[-1]

    def distribution(parameters: Tensor) -> FullCovarianceNormal:
        return FullCovarianceNormal(*parameters.split((d, d, below_diagonal(d)), dim=-1))

    lower = start.loc.new_zeros(len(start.loc), below_diagonal(d))
    if isinstance(start, FullCovarianceNormal):
        lower = start.lower
    parameters = torch.cat([start.loc, start.log_scale, lower], dim=-1)
    scale = start.log_scale.exp()
    unit = torch.cat([scale, torch.ones_like(scale), torch.full_like(lower, UNIT_OF_LOWER)], dim=-1)
    return Family(parameters, unit, distribution)


def encoder_family(posterior: Posterior, y: Tensor) -> Family:
    """The posterior's family with the network's outputs for a datum as its parameters.

    The weights that all data share, such as those of a flow, stay as they are.
    """
    outputs = posterior.parameters_of(y).detach()
    return Family(outputs, torch.ones_like(outputs), posterior.distribution)


# By how much a stage without a rise divides the learning rate.
DECAY = 4
# The most that the ELBO of a datum may lose in a stage, in nats. Where few samples are far off, two standard
# errors are no bound.
LARGEST_LOSS = 0.1


@dataclass(frozen=True)
class LocalOptimization:
    """How q is optimized.

    Adam maximizes the ELBO of each datum on reparameterized samples, with the gradient of Roeder et al.
    2017 (eq. 8), whose noise vanishes where q is the posterior. After each stage the mean of the second
    half of its iterates is a candidate, and the learning rate is divided by 4 if the candidates' mean ELBO
    over the block rose by less than ``tolerance``. It has converged after ``last`` such stages.

    Attributes:
        samples: Samples of z for each datum and step.
        steps: Steps of one stage.
        most_stages: Stages after which it ends without convergence.
        last: Stages without a rise after which it has converged.
        learning_rate: Adam's, in units of the family.
        tolerance: Rise of the mean ELBO in nats that counts.
        selection_samples: Samples on which candidates are compared.
    """

    samples: int = 16
    steps: int = 40
    most_stages: int = 40
    last: int = 3
    learning_rate: float = 0.05
    tolerance: float = 0.002
    selection_samples: int = 200


@dataclass(frozen=True)
class LocalOptimum:
    """The result of an optimization of a block.

    Attributes:
        parameters: The best parameters of each datum, (batch, parameters).
        posterior: Their distributions.
        converged: Whether the optimization ended by its criterion, with a finite ELBO, (batch,).
        stages: How many stages it took.
        history: Mean over the block of the candidates' ELBO on the selection's samples, in nats, the
            start first.
    """

    parameters: Tensor
    posterior: Encoded
    converged: Tensor
    stages: int
    history: tuple[float, ...]


def elbo_on(log_joint: LogJoint, q: Encoded, noise: Noise, samples: int) -> Tensor:
    """Return log p(y, z) − log q(z) in nats on samples of q, (samples, batch)."""
    z = q.sample(noise, samples)
    return log_joint(z) - q.log_prob(z)


def optimized(
    log_joint: LogJoint, family: Family, how: LocalOptimization, *noise_key: int | str
) -> LocalOptimum:
    """Return the best member of a family for each datum of a block.

    For each datum, the candidates are the start and the results of all stages. A later one, of a smaller
    learning rate, is kept unless its ELBO is lower than that of what is kept so far by more than two standard
    errors, on samples of their own: the samples of the optimization would flatter it, and the best of all on
    few samples would be the luckiest. In the end the start is taken back where it is better. An ELBO that is
    reported has to be estimated on other samples again.

    Args:
        log_joint: log p(y, z) of the block's data, differentiable in z.
        family: The family, with its start.
        how: Numbers of samples and steps.
        noise_key: What the noise is a function of.
    """
    device = family.start.device
    moved = torch.zeros_like(family.start, requires_grad=True)
    optimizer = torch.optim.Adam([moved], lr=how.learning_rate)
    noise = Noise(*noise_key, "optimization", device=device)

    def selected(by: Tensor) -> Tensor:
        own = Noise(*noise_key, "selection", device=device)
        with torch.no_grad():
            return elbo_on(log_joint, family.moved(by), own, how.selection_samples)

    kept = torch.zeros_like(family.start)
    at_start = values = selected(kept)
    history, quiet, stage = [mean_of_finite(values)], 0, 0
    while quiet < how.last and stage < how.most_stages:
        candidate = iterated(log_joint, family, moved, optimizer, (how, noise))
        own = selected(candidate)
        worse = is_worse(own, values)
        kept = torch.where(worse[:, None], kept, candidate)
        before, values = values, torch.where(worse, values, own)
        with torch.no_grad():
            moved.copy_(torch.where(worse[:, None], kept, moved))
        # A datum without a finite ELBO has not risen: −inf − (−inf) is NaN.
        rise = (values.mean(0) - before.mean(0)).nan_to_num(nan=0.0, posinf=torch.inf)
        if not rise.mean() > how.tolerance:
            quiet += 1
            for group in optimizer.param_groups:
                group["lr"] /= DECAY
        history.append(mean_of_finite(own))
        stage += 1
    best = values.mean(0)
    kept = torch.where((best >= at_start.mean(0))[:, None], kept, torch.zeros_like(kept))
    parameters = family.start + family.unit * kept
    converged = best.isfinite() & (quiet >= how.last)
    return LocalOptimum(
        parameters, family.distribution(parameters), converged, stage, tuple(history)
    )


def mean_of_finite(values: Tensor) -> float:
    """Return the mean of the ELBOs (samples, batch) of the data for which it is finite."""
    means = values.mean(0)
    return means[means.isfinite()].mean().item()


def is_worse(candidate: Tensor, kept: Tensor) -> Tensor:
    """Tell for each datum whether a candidate's ELBO is lower by two standard errors or LARGEST_LOSS, (batch,).

    A candidate whose ELBO is not a number is worse than anything.

    Args:
        candidate: Its ELBO on each sample of the selection, (samples, batch), and
        kept: that of what is kept so far, on the same samples of noise.
    """
    difference = candidate - kept
    error = (difference.std(0) / len(difference) ** 0.5).nan_to_num()
    return ~(difference.mean(0) >= -(2 * error).clamp(max=LARGEST_LOSS))


def iterated(
    log_joint: LogJoint,
    family: Family,
    moved: Tensor,
    optimizer: torch.optim.Optimizer,
    of_stage: tuple[LocalOptimization, Noise],
) -> Tensor:
    """Move ``moved`` by the steps of one stage, and return the mean of the second half of them."""
    how, noise = of_stage
    total, kept = torch.zeros_like(moved), 0
    for step in range(how.steps):
        z = family.moved(moved).sample(noise, how.samples)
        log_q = family.moved(moved.detach()).log_prob(z)
        objective = (log_joint(z) - log_q).mean(0).sum()
        (gradient,) = torch.autograd.grad(-objective, moved)
        # What is not finite would stay in Adam's averages.
        finite = gradient.isfinite().all(1, keepdim=True)
        moved.grad = torch.where(finite, gradient, torch.zeros_like(gradient))
        optimizer.step()
        if 2 * step >= how.steps:
            total, kept = total + moved.detach(), kept + 1
    return total / kept
