"""The encoder's normal, from what its network is shown and says."""

from math import exp, log

import pytest
import torch

from bench.densities.decoders import Bernoulli
from bench.densities.exemplar import Exemplar
from bench.densities.full_covariance import FullCovarianceNormal
from bench.densities.posteriors import FlowPosterior, FullCovariancePosterior, NormalPosterior
from bench.densities.priors import Aggregate, Vamp
from bench.errors import InputError
from bench.models.vae import VAE
from bench.networks.mlp import MLP, Network
from bench.noise import Noise


class Saying(Network):
    """Says the same of every image, and remembers what it was shown."""

    def __init__(self, *outputs):
        super().__init__((4,), (len(outputs),))
        self.outputs = torch.tensor(outputs)

    def forward(self, x):
        self.shown = x
        return self.outputs.expand(len(x), -1)


def test_the_second_half_of_the_outputs_is_the_log_variance():
    """Of variances e⁻¹⁰, 1 and 9; standard deviations are bounded by e⁻⁶ and e⁶."""
    network = Saying(-1.0, 0.0, 7.0, 5.0, 6.0, -10.0, 0.0, 2 * 1.0986123, -30.0, 30.0)
    q = NormalPosterior(lambda outputs: network, 5, 17)(torch.zeros(2, 4, dtype=torch.uint8))
    assert q.loc.tolist() == [[-1.0, 0.0, 7.0, 5.0, 6.0]] * 2
    assert q.scale[0].tolist() == pytest.approx([exp(-5), 1.0, 3.0, exp(-6), exp(6)], rel=1e-5)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_network_is_shown_images_from_0_to_1(levels):
    network = Saying(0.0, 0.0)
    y = torch.tensor([[0, 1, levels - 2, levels - 1]], dtype=torch.uint8)
    NormalPosterior(lambda outputs: network, 1, levels)(y)
    expected = [value / (levels - 1) for value in y[0].tolist()]
    assert network.shown[0].tolist() == pytest.approx(expected, rel=1e-6)


def test_the_last_outputs_are_the_factor_below_its_diagonal():
    network = Saying(1.0, 2.0, 3.0, 0.0, 0.0, 2 * log(2.0), 0.5, -0.25, 3.0)
    q = FullCovariancePosterior(lambda outputs: network, 3, 2)(torch.zeros(1, 4))
    assert q.loc.tolist() == [[1.0, 2.0, 3.0]]
    assert q.factor[0].tolist() == [[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [-0.5, 6.0, 2.0]]


def flow_posterior(dimensions):
    torch.manual_seed(0)
    network_of = lambda outputs: MLP((4,), (outputs,), [8])
    posterior = FlowPosterior(network_of, dimensions, 2, couplings=3, widths=[8], context=3)
    for parameter in posterior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return posterior.double().requires_grad_(False)


def test_a_flow_posterior_integrates_to_one_and_its_samples_follow_it():
    y = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0]])
    posterior = flow_posterior(2)
    q = posterior.distribution(posterior.network(y.double()))
    side = torch.linspace(-25, 25, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    mass = q.log_prob(grid[:, None].expand(-1, 2, -1)).exp() * (50 / 600) ** 2
    assert mass.sum(0).tolist() == pytest.approx([1.0, 1.0], abs=1e-3)
    drawn = q.sample(Noise(0), 20_000)
    means = (mass[..., None] * grid[:, None]).sum(0)
    errors = drawn.std(0) / 20_000**0.5
    assert ((drawn.mean(0) - means).abs() < 4 * errors).all()
    assert (mass[:, 0] - mass[:, 1]).abs().sum() > 0.1  # it depends on y


def test_a_new_flow_posterior_is_the_diagonal_normal():
    network_of = lambda outputs: MLP((4,), (outputs,), [8])
    posterior = FlowPosterior(network_of, 3, 2)
    y = torch.ones(2, 4, dtype=torch.uint8)
    q = posterior(y)
    z = q.sample(Noise(0), 5)
    assert torch.allclose(q.log_prob(z), q.base.log_prob(z))


def test_full_covariance_against_torch():
    torch.manual_seed(0)
    q = FullCovarianceNormal(torch.randn(5, 4), torch.randn(5, 4), torch.randn(5, 6)).double()
    reference = torch.distributions.MultivariateNormal(q.loc, scale_tril=q.factor)
    z = torch.randn(3, 5, 4).double()
    assert torch.allclose(q.log_prob(z), reference.log_prob(z))
    origin = torch.zeros(4).double()
    standard = torch.distributions.MultivariateNormal(origin, torch.eye(4).double())
    expected = torch.distributions.kl_divergence(reference, standard)
    assert torch.allclose(q.kl_to_standard_normal(), expected)
    drawn = q.sample(Noise(1), 40_000)[:, 0]
    covariance = q.factor[0] @ q.factor[0].T
    assert torch.allclose(drawn.T.cov(), covariance, atol=0.05 * covariance.abs().max().item())


@pytest.mark.parametrize("prior", [Vamp, Aggregate, Exemplar])
@pytest.mark.parametrize("posterior", [FullCovariancePosterior, FlowPosterior])
def test_priors_of_encoded_images_refuse_other_posteriors(prior, posterior):
    with pytest.raises(InputError, match=f"{prior.__name__} is made of encoded images") as error:
        VAE((1, 2, 2), 2, 2, decoder=Bernoulli, prior=prior, posterior=posterior)
    assert "\n" not in str(error.value)
