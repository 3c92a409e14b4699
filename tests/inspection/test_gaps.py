"""The gaps of VAEs against closed forms, numerical integration, and known mistakes of an encoder."""

from dataclasses import replace

import pytest
import torch

from bench.densities.decoders import Bernoulli, Gaussian
from bench.densities.exemplar import Exemplar
from bench.densities.full_covariance import FullCovarianceNormal
from bench.densities.normal import DiagonalNormal, uniform_mixture
from bench.densities.posteriors import FlowPosterior, FullCovariancePosterior
from bench.densities.priors import Aggregate, Flow, Mixture, Vamp
from bench.errors import InputError
from bench.inspection.gaps import GapSettings, block_samples, gaps_of, inference_gaps
from bench.inspection.joint_density import joint_density, near_components
from bench.inspection.local_posteriors import (
    LocalOptimization,
    diagonal_family,
    elbo_on,
    full_covariance_family,
    is_worse,
    optimized,
)
from bench.instruments.gap_truths import CorrelatedGaussian, repeated_gaps
from bench.instruments.toy_truths import toy_evidence, toy_images, toy_vae
from bench.models.realnvp import RealNVP
from bench.models.vae import VAE
from bench.networks.mlp import MLP
from bench.noise import Noise

QUICK = GapSettings(50, 50, LocalOptimization(steps=10, most_stages=2))


def kl_to_posterior(q, model, x):
    """Return KL(q ‖ p(z|x)) of a linear-Gaussian model, by PyTorch."""
    exact = replace(model.encoder(x), log_scale=torch.zeros(()))
    loc = exact.loc - model.shift
    truth = torch.distributions.MultivariateNormal(loc, precision_matrix=model.precision)
    factor = q.factor if isinstance(q, FullCovarianceNormal) else torch.diag_embed(q.scale)
    own = torch.distributions.MultivariateNormal(q.loc, scale_tril=factor)
    return torch.distributions.kl_divergence(own, truth)


def test_the_closed_forms_of_the_instrument():
    """Against KL by PyTorch, for the best diagonal normal and for the encoder's."""
    model = CorrelatedGaussian(shift=0.3, stretch=0.7)
    x = model.data(3)
    best = CorrelatedGaussian().encoder(x)
    approximation = kl_to_posterior(best, model, x).mean().item()
    assert model.approximation_gap() == pytest.approx(approximation)
    whole = kl_to_posterior(model.encoder(x), model, x).mean().item()
    assert model.amortization_gap() == pytest.approx(whole - approximation)
    worse = DiagonalNormal(best.loc, best.log_scale + 0.01)
    assert kl_to_posterior(worse, model, x).mean() > approximation


def test_the_optimum_of_each_family_is_found():
    model = CorrelatedGaussian(shift=0.5, stretch=0.5)
    x = model.data(30)
    how = LocalOptimization()
    joint = model.joint(x).differentiable
    found = optimized(joint, diagonal_family(model.encoder(x)), how, "a")
    assert found.converged.all() and found.stages < how.most_stages
    left = kl_to_posterior(found.posterior, model, x).mean().item() - model.approximation_gap()
    assert 0 <= left < 0.005
    richer = optimized(joint, full_covariance_family(found.posterior), how, "b")
    assert kl_to_posterior(richer.posterior, model, x).mean().item() < 0.02


def test_a_later_candidate_is_kept_unless_it_is_worse_by_two_errors():
    kept = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None].expand(4, 3)
    change = torch.tensor([-0.1, 0.0, 0.0, 0.1])  # its standard error is 0.041
    candidate = kept + torch.stack([change, change - 0.08, change - 0.09], 1)
    assert is_worse(candidate, kept).tolist() == [False, False, True]


def test_a_stage_that_few_samples_make_worse_is_not_kept():
    kept = torch.zeros(200, 4)
    candidate = torch.full((200, 4), 0.01)
    # Their standard error is as large as the loss.
    candidate[0, 1:] = torch.tensor([-1e6, -torch.inf, torch.nan])
    assert is_worse(candidate, kept).tolist() == [False, True, True, True]
    assert not is_worse(candidate, torch.full((200, 4), -torch.inf))[0]


def test_an_image_without_a_finite_density_does_not_spoil_the_others_of_its_block():
    def log_joint(z):
        density = DiagonalNormal(torch.zeros(3, 2), torch.zeros(3, 2)).log_prob(z)
        # The first has none anywhere, the second none far from its start.
        far = torch.where(z[..., 1, 0] > 2, torch.nan, density[..., 1])
        return torch.stack([density[..., 0] * torch.nan, far, density[..., 2]], -1)

    start = DiagonalNormal(
        torch.tensor([[0.0, 0.0], [0.0, 0.0], [5.0, 5.0]]), torch.full((3, 2), -1.0)
    )
    found = optimized(log_joint, diagonal_family(start), LocalOptimization(), "nan")
    assert found.converged.tolist() == [False, True, True]
    assert found.parameters.isfinite().all()
    assert found.posterior.kl_to_standard_normal()[2] < 0.01


def test_a_start_at_the_optimum_is_not_made_worse():
    model = CorrelatedGaussian(latent_dimensions=1)
    x = model.data(20)
    found = optimized(
        model.joint(x).differentiable, diagonal_family(model.encoder(x)), LocalOptimization(), "a"
    )
    assert kl_to_posterior(found.posterior, model, x).max() < 1e-3


def test_a_start_that_is_the_best_is_taken_back():
    model = CorrelatedGaussian(30, 20, 0.3)
    x = model.data(100)
    how = LocalOptimization()
    joint = model.joint(x).differentiable
    found = optimized(joint, diagonal_family(model.encoder(x)), how, "a")
    worse = kl_to_posterior(found.posterior, model, x) - model.approximation_gap()
    assert worse.mean() < 0.005 and (worse < 1e-6).double().mean() > 0.5


def test_the_gaps_of_a_linear_gaussian_model():
    model = CorrelatedGaussian(shift=0.3, stretch=0.7)
    parts = repeated_gaps(model, 5, 20, "test")
    mean = lambda name: sum(getattr(part, name).value for part in parts) / len(parts)
    assert mean("approximation_gap") == pytest.approx(model.approximation_gap(), abs=0.03)
    assert mean("amortization_gap") == pytest.approx(model.amortization_gap(), abs=0.05)
    assert mean("closed_by_full_covariance") == pytest.approx(model.approximation_gap(), abs=0.03)
    for part in parts:
        total = part.approximation_gap.value + part.amortization_gap.value
        assert part.inference_gap.value == pytest.approx(total, abs=1e-9)
        assert part.dequantization_gap is None


def spoiled(model, shift):
    """Return the block's family whose encoder's means are moved by ``shift`` deviations."""
    images = toy_images()
    with torch.no_grad():
        q = model.posterior(images)
    start = diagonal_family(q)
    best = optimized(
        joint_density(model, images, 0).differentiable, start, LocalOptimization(samples=16), "best"
    ).posterior
    return best, DiagonalNormal(best.loc + shift * best.scale, best.log_scale)


def exact_elbo(model, q):
    """Return the ELBO of diagonal normals in two dimensions on a grid, without samples, (16,)."""
    side = torch.linspace(-6, 6, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    weight = torch.exp(-0.5 * grid.square().sum(1))[:, None] * 0.1**2 / (2 * torch.pi)
    z = (q.loc + q.scale * grid[:, None]).float()
    with torch.no_grad():
        values = joint_density(model, toy_images(), 0).exact(z) - q.log_prob(z)
    return (weight * values).sum(0)


def test_the_gaps_of_a_nonlinear_decoder_by_numerical_integration():
    """Evidence by quadrature; the encoder is spoiled by a known shift, which is the amortization gap."""
    model = toy_vae()
    best, own = spoiled(model, 1.5)
    joint = joint_density(model, toy_images(), 0)
    settings = GapSettings(500, 400, LocalOptimization(samples=16))
    names = ("StandardNormal", "NormalPosterior")
    measured = block_samples(joint, diagonal_family(own), settings, "gaps")
    gaps = gaps_of(measured, settings, names, toy_evidence(model))
    evidence, elbo, spoiled_elbo = (
        values.mean().item()
        for values in (toy_evidence(model), exact_elbo(model, best), exact_elbo(model, own))
    )
    assert gaps.amortization_gap.value == pytest.approx(elbo - spoiled_elbo, abs=0.05)
    assert elbo - spoiled_elbo > 0.8
    assert gaps.approximation_gap.value == pytest.approx(evidence - elbo, abs=0.02)
    assert gaps_of(measured, settings, names).log_likelihood.value == pytest.approx(
        evidence, abs=0.01
    )


def test_near_components_are_the_mixture_where_q_is():
    torch.manual_seed(0)
    mixture = uniform_mixture(
        DiagonalNormal(3 * torch.randn(3000, 4), -1 + 0.3 * torch.randn(3000, 4))
    )
    centre = torch.randn(7, 4)
    z = (centre + 0.3 * torch.randn(5, 7, 4)).requires_grad_()
    near, every = near_components(mixture, centre)(z), mixture.log_prob(z)
    assert ((near <= every + 1e-4) & (near > every - 0.01)).all()
    ours, theirs = (torch.autograd.grad(values.sum(), z)[0] for values in (near, every))
    assert torch.allclose(ours, theirs, atol=0.05)


def small_vae(decoder=Bernoulli, levels=2, **parts):
    torch.manual_seed(0)
    network = lambda inputs, outputs: MLP(inputs, outputs, widths=[8])
    model = VAE((1, 2, 3), levels, 3, network, network, decoder, **parts).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    images = torch.randint(0, levels, (130, 6), dtype=torch.uint8)
    model.attach(images)
    return model, images


@pytest.mark.parametrize("prior", [Mixture, Vamp, Exemplar, Aggregate, Flow])
def test_every_prior_has_gaps(prior):
    model, images = small_vae(prior=prior)
    shares = []
    gaps = inference_gaps(model, images[:20], QUICK, ("a",), progress=shares.append)
    assert gaps.prior == prior.__name__ and shares == [1.0]
    assert gaps.amortization_gap.value > 0 and gaps.approximation_gap.value > -0.05
    assert gaps.elbo.value == pytest.approx(
        gaps.log_likelihood.value - gaps.inference_gap.value, abs=1e-6
    )


@pytest.mark.parametrize("posterior", [FullCovariancePosterior, FlowPosterior])
def test_gaps_are_those_of_the_own_family(posterior):
    model, images = small_vae(posterior=posterior)
    gaps = inference_gaps(model, images[:20], QUICK, ("a",))
    assert gaps.posterior == posterior.__name__ and gaps.closed_by_full_covariance is None
    assert gaps.amortization_gap.value > 0 and gaps.approximation_gap.value > -0.05


def test_the_dequantization_gap_stands_apart():
    """A Gaussian decoder: the mass of bins against the mean over u, at the same z."""
    model, images = small_vae(lambda d, levels: Gaussian(d, levels, sigma=0.1), levels=4)
    gaps = inference_gaps(model, images[:20], QUICK, ("a",))
    parts = (gaps.approximation_gap, gaps.amortization_gap, gaps.dequantization_gap)
    assert gaps.inference_gap.value == pytest.approx(sum(part.value for part in parts), abs=1e-9)
    q, draws = model.posterior(images[:20]), 4000
    with torch.no_grad():
        terms = model.terms(images[:20], Noise("own"), draws)
        exact = elbo_on(joint_density(model, images[:20], 0).exact, q, Noise("other"), draws)
    assert gaps.dequantization_gap.value == pytest.approx(
        (exact.mean() - terms.elbo.mean()).item(), abs=0.5
    )
    assert gaps.dequantization_gap.value > 1


def test_noise_belongs_to_a_block():
    model, images = small_vae()
    whole = inference_gaps(model, images, QUICK, ("a",)).samples
    again = inference_gaps(model, images[:100], QUICK, ("a",)).samples
    assert torch.equal(whole.elbo_best[:, :100], again.elbo_best)
    assert whole.elbo.shape == (50, 130) and whole.bound.value.shape == (130,)


def test_a_better_estimate_of_the_evidence_takes_the_place_of_the_bound():
    model, images = small_vae()
    ours = inference_gaps(model, images[:10], QUICK, ("a",))
    better = ours.samples.bound.value + 0.25
    gaps = inference_gaps(model, images[:10], QUICK, ("a",), better)
    assert gaps.log_likelihood.value == pytest.approx(better.mean().item())
    change = gaps.approximation_gap.value - ours.approximation_gap.value
    assert change == pytest.approx(0.25, abs=1e-6)


def test_what_has_no_gaps_is_refused_in_one_line():
    model, images = small_vae()
    for wrong, y, better, message in (
        (RealNVP((1, 2, 3), 2, 2, [4]).eval(), images, None, "RealNVP has no encoder"),
        (model.train(), images, None, "training mode"),
        (model.eval(), images[:0], None, "there are none"),
        (model, images, torch.zeros(3), "shape (3,) for 130 images"),
        (model, images.float(), None, "uint8"),
        (
            small_vae(lambda d, k: Gaussian(d, k, dequantization="none"))[0],
            images,
            None,
            "without dequantization",
        ),
    ):
        if isinstance(wrong, VAE) and message == "training mode":
            wrong.train()
        with pytest.raises(InputError) as error:
            inference_gaps(wrong, y, QUICK, ("a",), better)
        assert message in str(error.value) and "\n" not in str(error.value)
        model.eval()
