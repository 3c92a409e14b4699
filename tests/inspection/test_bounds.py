"""Bounds from both sides against integrals on a grid of z, in float64."""

from copy import deepcopy
from functools import partial
from math import log, sqrt

import pytest
import torch

from bench.densities.decoders import Bernoulli, Categorical, Gaussian
from bench.densities.discretized import DiscretizedLogistic
from bench.densities.exemplar import Exemplar
from bench.densities.posteriors import NormalPosterior
from bench.densities.priors import Aggregate, Flow, Mixture, StandardNormal, Vamp
from bench.errors import InputError
from bench.estimators.weights import weighted_bound
from bench.inspection.annealer import annealer, schedule
from bench.inspection.blocks import NoNoise, Observed, block_of, check_model, observed, simulated
from bench.inspection.bounds import importance_weights, of_exact_samples
from bench.models.vae import VAE
from bench.networks.mlp import MLP
from bench.noise import Noise

N, CHAINS = 100, 8


def small_vae(
    decoder=Bernoulli, levels=2, prior=StandardNormal, images=40, posterior=NormalPosterior
):
    """A VAE over four pixels with two latent dimensions, whose decoder is not linear."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = lambda inputs, outputs: MLP(inputs, outputs, [16], "tanh")
        model = VAE((1, 2, 2), levels, 2, network, network, decoder, prior, posterior).eval()
        for parameter in model.decoder_network.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
        model.attach(torch.randint(levels, (images, 4), dtype=torch.uint8))
    return check_model(model)


@torch.no_grad()
def log_evidence(model, data: Observed, side=101, reach=5.0):
    """Return ∫ p(y|z) p(z) dz by the midpoint rule, of the likelihood and the prior as they are."""
    axis = torch.linspace(-reach, reach, side, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    prior = model.prior_density(Noise(0), None).log_prob(z.float()[:, None])[:, 0].double()
    none = NoNoise(torch.device("cpu"), isinstance(model.decoder, Gaussian))
    doubled = deepcopy(model).double()
    outputs = doubled.decode(z)[:, None].expand(-1, len(data.values), -1, -1)
    values = data.values.double() if data.values.is_floating_point() else data.values
    likelihood = doubled.decoder.log_prob(outputs, values, none)
    return (likelihood + prior[:, None] + 2 * log(2 * reach / (side - 1))).logsumexp(0)


def tuned(model, start, temperatures):
    seen = simulated(model, 50, Noise("validation"))[1]
    block = lambda start: block_of(model, seen, start, Noise("block"))
    return annealer(block, (start,), lambda own: schedule(own, temperatures), 3, partial(Noise, 1))


def check_both_sides(model, start):
    """E Ẑ = Z of rising chains and E 1/Ẑ = 1/Z of falling ones, and so the truth lies between."""
    z, data = simulated(model, N, Noise("simulated"))
    truth = log_evidence(model, data)
    block = block_of(model, data, start, Noise("block"))
    chosen = tuned(model, start, 20 if start == "prior" else 6)
    lower, upper = of_exact_samples(block, z, chosen, CHAINS, partial(Noise, "a"))
    for ratio in ((lower.value - truth).exp(), (truth - upper.value).exp()):
        assert abs(ratio.mean() - 1) < 5 * ratio.std() / sqrt(N) + 1e-3
    assert (lower.value - truth).mean() < 0 < (upper.value - truth).mean()
    assert (upper.value - lower.value).mean() < 2
    return lower, upper


@pytest.mark.parametrize("start", ["posterior", "prior"])
@pytest.mark.parametrize(
    "decoder, levels",
    [
        (Bernoulli, 2),
        (partial(DiscretizedLogistic, scale="shared"), 17),
        (partial(Gaussian, sigma=0.4), 17),
        (Categorical, 3),
    ],
)
def test_bounds_of_every_likelihood(decoder, levels, start):
    check_both_sides(small_vae(decoder, levels), start)


@pytest.mark.parametrize(
    "prior, images",
    [
        (partial(Mixture, components=5), 40),
        (partial(Vamp, pseudo_inputs=6), 40),
        (Aggregate, 40),
        (Exemplar, 40),
        (Aggregate, 1500),  # of so many components a path has those near each datum
        (Exemplar, 1500),
        (partial(Flow, couplings=2, widths=[4]), 40),
    ],
)
def test_bounds_under_every_prior(prior, images):
    model = small_vae(prior=prior, images=images)
    block = block_of(model, observed(model, torch.zeros(1, 4), Noise(0)), "posterior", Noise(1))
    assert block.exchanged == (images == 1500)
    check_both_sides(model, "posterior")


def test_a_path_with_a_poor_part_of_the_prior_still_bounds(monkeypatch):
    """The last weight exchanges the part for the whole, on both sides."""
    import bench.inspection.blocks as blocks

    near = partial(blocks.NearMixture, nearest=150)
    monkeypatch.setattr(blocks, "NearMixture", near)
    check_both_sides(small_vae(prior=Aggregate, images=1500), "posterior")


def test_more_temperatures_are_tighter_on_both_sides():
    model = small_vae(partial(Gaussian, sigma=0.4), 17)
    z, data = simulated(model, N, Noise("simulated"))
    gaps = []
    for temperatures in (1, 4, 16):
        block = block_of(model, data, "prior", Noise(0))
        chosen = tuned(model, "prior", temperatures)
        lower, upper = of_exact_samples(block, z, chosen, CHAINS, partial(Noise, "a"))
        gaps.append((lower.value.mean(), -upper.value.mean()))
    for few, many in zip(gaps, gaps[1:]):
        assert few[0] < many[0] and few[1] < many[1]


def test_importance_weights_of_a_block_are_those_of_the_bound():
    model = small_vae()
    _, data = simulated(model, 16, Noise("simulated"))
    block = block_of(model, data, "posterior", Noise(0))
    bound = weighted_bound(importance_weights(block, 2000, Noise(1)))
    assert bound.effective_sample_size.min() > 50
    error = bound.variance.sum().sqrt() / 16
    assert abs((bound.value - log_evidence(model, data)).mean()) < 5 * error + 1e-3


def test_a_simulated_density_is_not_rounded_and_its_encoder_sees_levels():
    model = small_vae(partial(Gaussian, sigma=0.1), 17)
    _, data = simulated(model, 50, Noise(0))
    assert (data.values != data.values.round()).all()
    assert (data.images == data.images.round()).all()
    assert data.images.min() >= 0 and data.images.max() <= 16
    y = torch.full((3, 4), 7, dtype=torch.uint8)
    seen = observed(model, y, Noise(0)).values
    assert (seen.floor() == 7).all() and seen.unique().numel() == 12


def test_what_cannot_be_annealed_is_refused():
    with pytest.raises(InputError, match="training mode"):
        check_model(small_vae().train())
    with pytest.raises(InputError, match="no latent variable"):
        check_model(torch.nn.Linear(1, 1))
    with pytest.raises(InputError, match="without dequantization"):
        small_vae(partial(Gaussian, dequantization="none"), 17)

    class Noisy(Bernoulli):
        def log_prob(self, outputs, y, noise):
            return (
                super().log_prob(outputs, y, noise) + noise.uniform(*outputs.shape[:2], 1)[..., 0]
            )

    model = small_vae(Noisy)
    block = block_of(model, observed(model, torch.zeros(2, 4), Noise(0)), "prior", Noise(0))
    with pytest.raises(InputError, match="draws noise"):
        block.log_likelihood(torch.zeros(1, 2, 2))
