"""Measurements of the claims against independent references; each of them can fail."""

from copy import deepcopy
from math import log

import pytest
import torch

from bench.claims.closed_form import evidence_by_eigenvalues
from bench.claims.evidence import (
    dequantization_rows,
    importance_ladder,
    ladder_rows,
    naive_rows,
)
from bench.claims.flow import flow_rows
from bench.claims.levels import masses_of_images, unseen_levels
from bench.claims.optimal_prior import block_gains, mean_elbo, swap_rows, swapped
from bench.claims.posterior_gaps import gap_rows
from bench.claims.rows import Subject
from bench.configuration.models import build_model
from bench.data.tasks import Task, load_task
from bench.densities.decoders import Gaussian
from bench.densities.discretized import log_mass_of_pixels
from bench.densities.flows import CouplingFlow
from bench.densities.normal import DiagonalNormal, uniform_mixture
from bench.estimators.estimate import Estimate
from bench.inspection.gaps import InferenceGaps
from bench.models.linear_gaussian import random_linear_gaussian
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.models.terms import Terms
from bench.noise import Noise
from tests.conftest import small_config

SUBJECT = Subject("task", "model", 1)
DIGITS = load_task(Task("digits"))


def built(model, *options, data="digits-17"):
    config = small_config(model, data, *options)
    task = load_task(Task(**config["data"]))
    network = build_model(config, task.shape, task.task.levels)
    network.attach(task.train)
    return network.eval(), task


def test_the_ladder_climbs_to_the_known_evidence():
    model = LinearGaussianVAE(shift=0.3, stretch=1.5)
    x = model.data(200, "ladder")
    ladder = importance_ladder(model, x, 1)
    assert ladder[1].value == pytest.approx(model.elbo(x).mean().item(), abs=4 * ladder[1].stderr)
    truth = model.log_evidence(x).mean().item()
    assert ladder[1000].value == pytest.approx(truth, abs=4 * ladder[1000].stderr + 0.01)
    assert all(row.holds for row in ladder_rows(ladder, SUBJECT))


def test_a_falling_ladder_does_not_hold():
    ladder = {1: Estimate(-10.0, 0.01, 9, 1), 10: Estimate(-10.2, 0.01, 9, 10)}
    (row,) = ladder_rows(ladder, SUBJECT)
    assert not row.holds and row.left - row.right == pytest.approx(0.2)


def test_naive_monte_carlo_applies_to_two_latents_without_dequantization_only():
    y = load_task(Task("digits", "threshold")).test[:10]
    two, _ = built("bernoulli_vae", "--model.latent_dimensions=2", data="digits-binary")
    rows = naive_rows(two, y, 1, SUBJECT)
    # An untrained network's bound is far from tight, but both must find the same evidence.
    assert [row.claim for row in rows] == [3, 3] and rows[0].holds
    three, _ = built("bernoulli_vae", data="digits-binary")
    assert naive_rows(three, y, 1, SUBJECT) == []


@pytest.mark.parametrize("location, scale", [(0.3, 0.2), (0.9, 0.001), (-2.0, 0.05)])
def test_the_mass_of_a_bin_is_the_integral_of_the_density_over_it(location, scale):
    decoder = Gaussian(1, 17, sigma=scale)
    decoder.data_mean.fill_(location)
    y = torch.arange(17).view(-1, 1)
    masses = log_mass_of_pixels(decoder, torch.zeros(1, 17, 1, 1), y).exp().flatten()
    x = torch.linspace(0, 1, 17 * 20_000 + 1, dtype=torch.float64)
    density = torch.distributions.Normal(location, scale).log_prob(x).exp()
    for level in range(17):
        part = slice(level * 20_000, (level + 1) * 20_000 + 1)
        expected = torch.trapezoid(density[part], x[part]).item()
        assert masses[level].item() == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_the_exact_integral_lies_above_the_bound_and_equals_it_for_a_flat_density():
    model, task = built("gaussian_vae")
    ladder = {1: Estimate(-9.0, 0.1, 5, 1), 1000: Estimate(-8.0, 0.1, 5, 1000)}
    whole, fixed = dequantization_rows(model, task.test[:50], 1, ladder, SUBJECT)
    assert whole.holds and fixed.holds and fixed.left < fixed.right
    flat, _ = built("gaussian_vae", "--model.decoder.sigma=50.0")
    _, fixed = dequantization_rows(flat, task.test[:50], 1, ladder, SUBJECT)
    assert fixed.left == pytest.approx(fixed.right, abs=1e-4)


class WrongFlow(CouplingFlow):
    """Half a nat too much in every determinant."""

    def forward(self, x):
        z, log_determinant = super().forward(x)
        return z, log_determinant + 0.5


def test_a_flow_with_a_wrong_determinant_is_caught():
    model, task = built("realnvp")
    for coupling in model.flow.couplings:
        torch.nn.init.normal_(coupling.network.layers[-1].weight, 0, 0.1)
    good = flow_rows(model, task.test, 1, SUBJECT)
    assert [row.holds for row in good] == [True, True]
    wrong = deepcopy(model)
    wrong.flow.__class__ = WrongFlow
    assert not flow_rows(wrong, task.test, 1, SUBJECT)[0].holds


@pytest.mark.parametrize("decoder", ["Categorical", "DiscretizedLogistic", "DiscretizedGaussian"])
def test_masses_of_levels_sum_to_one_and_are_what_is_sampled(decoder):
    model, task = built("gaussian_vae", f"--model.decoder={decoder}")
    y = task.test[:20]
    masses = masses_of_images(model, y, Noise("masses"))
    assert torch.allclose(masses.sum(1), torch.ones(20).double(), atol=1e-5)
    with torch.no_grad():
        outputs = model.decode(model.posterior(y).sample(Noise("masses"), 1))
        drawn = model.decoder.sample(outputs.expand(400, -1, -1, -1), Noise("draws"))
    for level in (0, 3, 8, 16):
        share = (drawn == level).double().mean().item()
        assert masses[:, level].mean().item() == pytest.approx(share, abs=0.004)


def test_unseen_levels_are_measured_where_levels_are_left_out():
    options = ("--data.leave_out_every=8", "--model.decoder=Categorical")
    model, task = built("gaussian_vae", *options)
    rows, curves = unseen_levels(model, task, task.test[:50], 1, SUBJECT)
    # Untrained, it knows of no level that was left out, and gives each its seventeenth.
    share = (task.test == 8).double().mean().item()
    assert not rows[0].holds
    assert rows[0].left == pytest.approx((1 / 17) / share, rel=0.3)
    assert curves[0]["unseen"] == [8]
    assert unseen_levels(model, DIGITS, task.test[:50], 1, SUBJECT) == ([], [])


def test_the_swap_raises_the_elbo_by_the_marginal_kl_or_is_caught():
    model, task = built("gaussian_vae")
    from bench.estimators.evaluate import evaluate
    from bench.settings import EvaluationConfig

    estimates = evaluate(model, task, EvaluationConfig(2, 1, 1), 7)
    metrics = {name: {"value": e.value} for name, e in estimates["train"].items()}
    record = {"config": {"evaluation": {"elbo_samples": 2}}, "metrics": {"train": metrics}}
    assert all(row.holds for row in swap_rows(model, task, record, 7, "cpu", SUBJECT))
    metrics["marginal_kl"]["value"] += 0.1
    assert not swap_rows(model, task, record, 7, "cpu", SUBJECT)[0].holds
    # The swap left the model itself alone.
    assert type(model.prior).__name__ == "StandardNormal"
    other = swapped(model, task.train)
    assert mean_elbo(other, task.train, 1, (7, "train")) > mean_elbo(
        model, task.train, 1, (7, "train")
    )


def test_gains_by_number_of_exemplars_are_the_direct_sums():
    generator = torch.Generator().manual_seed(0)
    n, d = 12, 3
    loc, log_scale = (torch.randn(n, d, generator=generator).double() for _ in range(2))
    components = DiagonalNormal(loc, 0.3 * log_scale)
    z = torch.randn(2, 4, d, generator=generator)
    log_prior = torch.randn(2, 4, generator=generator)
    terms = Terms(reconstruction=log_prior, log_prior=log_prior, latent=z)
    order = torch.randperm(n, generator=generator)
    own = torch.tensor([3, 0, 7, 11])
    sizes = [1, 5, n]
    gains = block_gains(uniform_mixture(components), terms, order, sizes, own)
    strangers = block_gains(uniform_mixture(components), terms, order, sizes, None)[""]

    def log_density(j, point):
        q = torch.distributions.Normal(loc[j], (0.3 * log_scale[j]).exp())
        return q.log_prob(point.double()).sum()

    for s in range(2):
        for i in range(4):
            others = [j for j in order.tolist() if j != own[i]]
            for position, m in enumerate(sizes):
                for found, members in (
                    (strangers, order.tolist()[:m]),
                    (gains[", leave-one-out"], others[:m]),
                    (gains[""], [own[i].item(), *others[: m - 1]]),
                ):
                    total = torch.stack([log_density(j, z[s, i]) for j in members]).logsumexp(0)
                    expected = total - log(len(members)) - log_prior[s, i].double()
                    assert found[position, s, i].item() == pytest.approx(expected.item(), abs=1e-6)


def made_up_gaps(approximation, closed, stderr=0.01):
    estimate = lambda value: Estimate(value, stderr, 100, 50, 0.1)
    full = None if closed is None else estimate(closed)
    numbers = dict.fromkeys(InferenceGaps.__dataclass_fields__)
    numbers |= {"approximation_gap": estimate(approximation), "closed_by_full_covariance": full}
    return InferenceGaps(**numbers)


@pytest.mark.parametrize(
    "gap, closed, held",
    [
        (1.0, 0.9, [True, True]),
        (0.03, 0.03, [False, True]),  # within four standard errors of 0
        (1.0, 0.3, [True, False]),
        (1.0, None, []),  # q is not a diagonal normal
    ],
)
def test_a_gap_that_a_full_covariance_closes(gap, closed, held):
    rows = gap_rows(made_up_gaps(gap, closed), Subject("task", "model", 1))
    assert [row.holds for row in rows] == held


def test_the_evidence_by_eigenvalues_is_that_of_the_covariance():
    x = torch.randn(50, 7, generator=torch.Generator().manual_seed(0)).double()
    parameters = random_linear_gaussian(x, 3, 0)
    normal = torch.distributions.MultivariateNormal(x.mean(0), parameters.covariance())
    evidence = evidence_by_eigenvalues(x)(parameters)
    assert evidence == pytest.approx(normal.log_prob(x).mean().item(), rel=1e-12)
