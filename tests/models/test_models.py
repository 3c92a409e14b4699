"""What every model must hold to, whatever its parts."""

import pytest
import torch

from bench.configuration.models import build_model
from bench.data.tasks import Task, load_task
from bench.models.terms import Terms
from bench.noise import Noise
from bench.settings import Optimization
from bench.training.module import GenerativeModel
from bench.training.optimizers import OPTIMIZERS
from tests.conftest import small_config

VARIANTS = [
    ("gaussian_vae", "digits-17", ()),
    ("gaussian_vae", "digits-17", ("--model.decoder.sigma=shared",)),
    ("gaussian_vae", "digits-17", ("--model.decoder.sigma=pixel",)),
    ("gaussian_vae", "digits-17", ("--model.decoder.sigma=0.1",)),
    ("gaussian_vae", "digits-17", ("--model.decoder=DiscretizedLogistic",)),
    ("gaussian_vae", "digits-17", ("--model.decoder=DiscretizedGaussian",)),
    ("gaussian_vae", "digits-17", ("--model.decoder=Categorical",)),
    ("gaussian_vae", "digits-17", ("--model.prior=Mixture",)),
    ("gaussian_vae", "digits-17", ("--model.prior=Vamp", "--model.prior.pseudo_inputs=9")),
    ("gaussian_vae", "digits-17", ("--model.prior=Flow",)),
    ("bernoulli_vae", "digits-binary", ()),
    ("aggregate_vae", "digits-17", ()),
    ("realnvp", "digits-17", ()),
    ("realnvp", "digits-binary", ("--model.mask=half",)),
    (
        "variational_realnvp",
        "digits-17",
        ("--model.widths=[16]", "--model.couplings=2", "--model.dequantization_widths=[8]"),
    ),
]
IDS = [" ".join([m, d, *o]) for m, d, o in VARIANTS]


class ConstantNoise(Noise):
    """The same numbers for every datum, so that what differs is the datum's place in its batch."""

    def _own_rows(self, draw, shape):
        one = super()._own_rows(draw, (*shape[:-2], 1, shape[-1]))
        return one.expand(*shape)


def made(model, task, options):
    config = small_config(model, task, *options)
    data = load_task(Task(**config["data"]))
    built = build_model(config, data.shape, data.task.levels)
    built.attach(data.train)
    return built, data


# A categorical likelihood takes levels as indices, which have no gradient; the test of a datum
# alone covers it.
DIFFERENTIABLE = [v for v in VARIANTS if "Categorical" not in " ".join(v[2])]


@pytest.mark.parametrize("model, task, options", DIFFERENTIABLE)
def test_a_datums_terms_do_not_depend_on_its_batch_mates(model, task, options):
    """The gradient of one datum's bound with respect to the other images is exactly zero."""
    built, data = made(model, task, options)
    y = data.test[:6].float().requires_grad_()
    index = torch.arange(6) if model == "aggregate_vae" else None
    terms = built.train().terms(y, Noise(0), samples=2, index=index)
    gradient = torch.autograd.grad(terms.elbo[:, 2].sum(), y)[0]
    others = torch.arange(6) != 2
    assert gradient[2].abs().sum() > 0
    assert torch.equal(gradient[others], torch.zeros_like(gradient[others]))


@torch.no_grad()
@pytest.mark.parametrize("model, task, options", VARIANTS, ids=IDS)
def test_a_datum_alone_has_the_terms_it_has_in_a_batch(model, task, options):
    built, data = made(model, task, options)
    built.eval()
    together = built.terms(data.test[:5], ConstantNoise(3)).elbo
    alone = [built.terms(data.test[i : i + 1], ConstantNoise(3)).elbo for i in range(5)]
    torch.testing.assert_close(torch.cat(alone, dim=1), together, atol=1e-3, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("model, task, options", VARIANTS, ids=IDS)
def test_samples_are_levels_and_means_lie_between(model, task, options):
    built, data = made(model, task, options)
    built.eval()
    drawn, mean = built.sample(20, Noise(0)), built.sample_mean(20, Noise(0))
    largest = data.task.levels - 1
    assert drawn.shape == mean.shape == (20, 64)
    assert torch.equal(drawn, drawn.round()) and drawn.min() >= 0 and drawn.max() <= largest
    assert mean.min() >= 0 and mean.max() <= largest


def test_the_evaluation_prior_follows_the_weights():
    """The density that evaluation keeps must not outlive the weights it was made of."""
    built, data = made("aggregate_vae", "digits-17", ())
    built.eval()
    with torch.no_grad():
        z = torch.randn(1, 4, 3)
        before = built.prior_density(Noise(0), None).log_prob(z)
        state = {k: v + 0.1 if v.is_floating_point() else v for k, v in built.state_dict().items()}
        built.load_state_dict(state)
        after = built.prior_density(Noise(0), None).log_prob(z)
        direct = built.prior(built.posterior, Noise(0), None).log_prob(z)
    assert not torch.equal(before, after) and torch.equal(after, direct)


def test_the_objective_weighs_the_kl_and_warms_up():
    built, data = made("gaussian_vae", "digits-17", ())
    from dataclasses import replace

    from bench.settings import trainer_config

    settings = replace(trainer_config(small_config("gaussian_vae")), beta=0.5, kl_warmup_epochs=4)
    module = GenerativeModel(built, settings)
    terms = built.terms(data.test[:5], Noise(0))
    expected = terms.reconstruction - 0.5 * 0.25 * terms.kl_analytic  # the first of four epochs
    torch.testing.assert_close(module.objective(terms, module.beta()), expected)


def test_the_importance_weighted_objective_is_the_log_of_the_mean_weight():
    """Burda et al. 2016, eq. 8, with the KL's weight: log 1/3 Σ exp(r + β (log p − log q))."""
    built, _ = made("gaussian_vae", "digits-17", ())
    module = GenerativeModel(built, Optimization(objective="importance_weighted", samples=3))
    r, p, q = torch.randn(3, 3, 5, generator=torch.Generator().manual_seed(0)).double()
    found = module.objective(Terms(r, log_prior=p, log_posterior=q), 0.5)
    expected = (r + 0.5 * (p - q)).exp().mean(0).log()
    torch.testing.assert_close(found, expected)
    flow = module.objective(Terms(r, log_prior=p), 0.5)  # which has no KL to weigh
    torch.testing.assert_close(flow, (r + p).exp().mean(0).log())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_torchs(name):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = OPTIMIZERS[name]([weight], 0.1)
    weight.square().sum().backward()
    optimizer.step()
    assert type(optimizer).__name__.lower() == name and (weight < 1).all()


def test_flow_evidence_sums_to_one_over_all_images():
    """Σ_y P(y) ≤ 1, and = 1 but for what α leaves outside [0, 1): by quadrature over u."""
    from bench.models.realnvp import RealNVP

    torch.manual_seed(0)
    levels, points, alpha = 3, 60, 1e-3
    flow = RealNVP((1, 1, 2), levels, couplings=3, widths=[8], mask="half", alpha=alpha)
    for parameter in flow.flow.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    cells = levels * points
    side = (torch.arange(cells) + 0.5) / cells
    x = torch.cartesian_prod(side, side)
    logits, derivative = flow.preprocessing(x)
    standardized, log_scale = flow.standardization(logits)
    z, determinant = flow.flow(standardized)
    log_density = (
        derivative + log_scale + determinant + torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
    )
    total = log_density.double().exp().mean().item()
    assert 0.97 < total < 1.005
    # And the model's own terms, averaged over u, are that integral, cell by cell.
    y = torch.cartesian_prod(torch.arange(levels), torch.arange(levels)).to(torch.uint8)
    terms = flow.terms(y, Noise(0), samples=4000)
    evidence = terms.elbo.double().exp().mean(0).sum().item()
    assert evidence == pytest.approx(total, abs=0.03)
