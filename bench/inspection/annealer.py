"""How chains move: the schedule of a path, its step sizes, and where its chains start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log1p

import torch
from torch import Tensor

from bench.densities.normal import DiagonalNormal
from bench.densities.posteriors import Encoded
from bench.densities.priors import Density
from bench.estimators.annealing import (
    Ends,
    Observer,
    Path,
    State,
    ValueAndGradient,
    automatic,
    falling,
    rising,
)
from bench.estimators.latent_gradients import diagonal_normal
from bench.estimators.weights import log_mean_exp
from bench.inspection.blocks import LatentBlock, Start
from bench.noise import Noise

# Mean share of accepted trajectories that tuning aims at, and its moves at each temperature.
WANTED_ACCEPTANCE, TUNING_MOVES = 0.75, 2
# Chains of each validation image that tune step sizes, or choose the start.
TUNING_CHAINS = 4
# Draws of the prior that give its spread, and of each q(z|y) that is no diagonal normal.
SPREAD_DRAWS, WIDTH_DRAWS = 1000, 100
# Below about this β the distortion of draws hardly depends on β, so that equal steps suffice there.
FIRST_BETA = 0.01


def schedule(start: Start, temperatures: int, largest: float = 1.0) -> list[float]:
    """Return β_0 = 0 … β_T: equal steps from q(z|y); from the prior geometric beyond β = 0.01.

    The distortion of draws has a spread of about 1/β, so that the best steps grow with β.
    """
    share = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64)
    if start == "prior":
        share = (share * log1p(largest / FIRST_BETA)).expm1() * FIRST_BETA / largest
    betas: list[float] = (largest * share).tolist()
    return betas


def path_of(
    block: LatentBlock, start: Start, betas: list[float], leapfrog_steps: int, spread: Tensor
) -> Path:
    """Return the path from q(z|y) or the prior to p(y, z).

    Steps are measured in standard deviations of q(z|y); from the prior, in those that follow from its
    precisions and from q's, which grow with β. They are a choice of the sampler, and no part of the
    bound: any positive lengths that do not depend on z will do.

    Args:
        block: A block of data.
        start: Where chains start.
        betas: β_0 … β_T.
        leapfrog_steps: Steps of a trajectory.
        spread: Standard deviations of the prior (latent,).
    """
    posterior = with_gradient(block.posterior)
    log_widths = log_widths_of(block.posterior)
    precision = (-2 * log_widths).exp()
    of_prior = spread.square().reciprocal()
    added = (precision - of_prior).clamp(min=0)

    def ends(z: Tensor) -> Ends:
        prior, prior_gradient = block.log_prior(z)
        likelihood, gradient = block.log_likelihood(z)
        first = (prior, prior_gradient) if start == "prior" else posterior(z)
        return Ends(first[0], prior + likelihood, first[1], prior_gradient + gradient)

    scale: Callable[[float], Tensor]
    if start == "prior":
        scale = lambda beta: (of_prior + beta * added).rsqrt()
    else:
        widths = log_widths.exp()
        scale = lambda beta: widths
    return Path(ends, betas, leapfrog_steps, scale)


def with_gradient(q: Encoded) -> ValueAndGradient:
    """Return log q(z|y) with its gradient."""
    return diagonal_normal(q) if isinstance(q, DiagonalNormal) else automatic(q.log_prob)


@torch.no_grad()
def log_widths_of(q: Encoded) -> Tensor:
    """Return the logarithms of the standard deviations of q(z|y), (batch, latent).

    Of a family without a formula they are those of draws with a fixed noise, which no chain uses.
    """
    if isinstance(q, DiagonalNormal):
        return q.log_scale
    return q.sample(Noise("widths of q", device=q.loc.device), WIDTH_DRAWS).std(0).log()


@torch.no_grad()
def spread_of(prior: Density, noise: Noise) -> Tensor:
    """Return the standard deviations of a prior's dimensions (latent,)."""
    return prior.sample(SPREAD_DRAWS, noise).std(0)


@torch.no_grad()
def tuned_sizes(path: Path, z: Tensor, noise: Noise) -> list[Tensor]:
    """Return one step size for each step of a path, for all data, by chains z of other data or noise.

    At each temperature the logarithm of the size moves by the mean share that was accepted less the
    wanted one (Robbins & Monro 1951).
    """
    log_size = torch.zeros(1, dtype=z.dtype, device=z.device)
    state, sizes = path.state(z), []
    for _, beta in path.steps():
        for _ in range(TUNING_MOVES):
            state, accepted = path.move(state, beta, log_size.exp(), noise)
            log_size = (log_size + accepted.mean() - WANTED_ACCEPTANCE).to(z.dtype)
        sizes.append(log_size.exp())
    return sizes


@dataclass(frozen=True)
class Annealer:
    """A start, a schedule and step sizes, all of them fixed before any weight is computed.

    Attributes:
        start: Where chains start.
        betas: β_0 … β_T.
        leapfrog_steps: Steps of a trajectory.
        sizes: A step size for each step.
        spread: Standard deviations of the prior (latent,).
    """

    start: Start
    betas: list[float]
    leapfrog_steps: int
    sizes: list[Tensor]
    spread: Tensor

    def below(
        self, block: LatentBlock, chains: int, noise: Noise, observe: Observer | None = None
    ) -> tuple[Tensor, State]:
        """Return the log-weights of rising chains, (chains, batch) in nats, and the chains' ends."""
        path = path_of(block, self.start, self.betas, self.leapfrog_steps, self.spread)
        z = first(block, self.start, chains, noise)
        log_weights, state = rising(path, z, self.sizes, noise, observe)
        return log_weights + block.exchange(state.z), state

    def above(self, block: LatentBlock, z: Tensor, noise: Noise) -> Tensor:
        """Return the log-weights of falling chains that start at z (chains, batch, latent)."""
        path = path_of(block, self.start, self.betas, self.leapfrog_steps, self.spread)
        return falling(path, z, self.sizes, noise) + block.exchange(z)

    def moved(self, block: LatentBlock, z: Tensor, noise: Noise) -> Tensor:
        """Return chains after as many more moves at β = 1 as the path has steps."""
        path = path_of(block, self.start, self.betas, self.leapfrog_steps, self.spread)
        state = path.state(z)
        for _ in path.steps():
            state, _ = path.move(state, self.betas[-1], self.sizes[-1], noise)
        return state.z


def first(block: LatentBlock, start: Start, chains: int, noise: Noise) -> Tensor:
    """Draw where chains start, (chains, batch, latent)."""
    if start == "posterior":
        return block.posterior.sample(noise, chains)
    return block.draw_prior(chains, noise).to(block.posterior.loc.dtype)


def annealer(
    block: Callable[[Start], LatentBlock],
    starts: Sequence[Start],
    betas: Callable[[Start], list[float]],
    leapfrog_steps: int,
    noise: Callable[[str], Noise],
) -> Annealer:
    """Tune step sizes on a block of validation data; of several starts take the tighter one there.

    Args:
        block: The block, given the start.
        starts: Where chains may start.
        betas: The schedule, given the start.
        leapfrog_steps: Steps of a trajectory.
        noise: The noise of a purpose.
    """
    found: dict[Start, Annealer] = {}
    bounds: dict[Start, float] = {}
    for start in starts:
        own = block(start)
        spread = spread_of(own.prior, noise("spread")).to(own.posterior.loc.dtype)
        path = path_of(own, start, betas(start), leapfrog_steps, spread)
        z = first(own, start, TUNING_CHAINS, noise(f"{start}, tuned chains"))
        sizes = tuned_sizes(path, z, noise(f"{start}, tuning"))
        found[start] = Annealer(start, betas(start), leapfrog_steps, sizes, spread)
        if len(starts) > 1:
            weights, _ = found[start].below(own, TUNING_CHAINS, noise(f"{start}, choice"))
            bounds[start] = log_mean_exp(weights).mean().item()
    return found[max(starts, key=lambda start: bounds.get(start, 0.0))]
