from math import log

import pytest
import torch

from bench.claims.rows import STANDARD_ERRORS
from bench.densities.full_covariance import FullCovarianceNormal, aggregate_of
from bench.densities.mixture_table import ROW_BLOCK
from bench.densities.normal import DiagonalNormal, standard_normal_log_prob
from bench.estimators.surgery import ELBOSurgery, active_units
from bench.models.linear_gaussian_vae import LinearGaussianVAE as LinearGaussian
from bench.models.terms import Terms
from bench.noise import Noise
from bench.records.run_columns import ESTIMATES
from tests.conftest import patience
from tests.estimators.surgery_ranks import filled


def surgery_of(model, x, samples=2, training=None):
    surgery = ELBOSurgery(training)
    for number, block in enumerate(x.split(30)):
        surgery.update(model.terms(block, Noise(0, number), samples))
    return surgery, surgery.estimates()


def test_against_a_direct_sum():
    model = LinearGaussian(shift=0.2)
    x = model.data(100)
    _, columns = surgery_of(model, x)
    posterior = model.posterior(x)
    z = torch.cat([model.terms(b, Noise(0, i), 2).latent for i, b in enumerate(x.split(30))], 1)
    pairs = torch.stack(
        [
            DiagonalNormal(posterior.loc[j : j + 1], posterior.log_scale[j : j + 1]).log_prob(z)
            for j in range(100)
        ]
    )
    log_aggregate = pairs.logsumexp(0) - log(100)
    log_prior = torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
    information = (posterior.log_prob(z) - log_aggregate).mean().item()
    assert columns["mutual_information"].value == pytest.approx(information, abs=1e-6)
    assert columns["marginal_kl"].value == pytest.approx(
        (log_aggregate - log_prior).mean().item(), abs=1e-6
    )


def test_a_full_covariance_against_a_direct_sum():
    torch.manual_seed(0)
    parts = torch.randn(60, 3), torch.randn(60, 3), torch.randn(60, 3)
    q = FullCovarianceNormal(*parts)
    z = q.sample(Noise(0), 2)
    log_prior, log_own = standard_normal_log_prob(z), q.log_prob(z)
    surgery = ELBOSurgery(FullCovarianceNormal(*(part[:20] for part in parts)))
    for rows in (slice(0, 35), slice(35, 60)):
        own = FullCovarianceNormal(*(part[rows] for part in parts))
        likelihood = torch.zeros(2, len(own.loc))
        surgery.update(Terms(likelihood, log_prior[:, rows], log_own[:, rows], z[:, rows], own))
    value = {name: estimate.value for name, estimate in surgery.estimates().items()}
    normals = [
        torch.distributions.MultivariateNormal(loc, scale_tril=factor)
        for loc, factor in zip(q.loc.double(), q.factor.double())
    ]
    pairs = torch.stack([normal.log_prob(z.double()) for normal in normals])
    aggregate = pairs.logsumexp(0) - log(60)
    own = torch.stack([pairs[i, :, i] for i in range(60)], 1)
    swapped = pairs[:20].logsumexp(0) - log(20)
    expected = {
        "mutual_information": own - aggregate,
        "marginal_kl": aggregate - log_prior,
        "marginal_kl_aggregate": aggregate - swapped,
    }
    for name, values in expected.items():
        assert value[name] == pytest.approx(values.mean().item(), abs=1e-6)


def test_samples_of_a_mixture_of_full_covariances_follow_it():
    parts = (
        torch.tensor([[-3.0, 0.0], [3.0, 1.0]]),
        torch.zeros(2, 2),
        torch.tensor([[0.9], [-2.0]]),
    )
    mixture = aggregate_of(FullCovarianceNormal(*parts))
    drawn = mixture.sample(20_000, Noise(0))
    right = drawn[:, 0] > 0
    assert right.double().mean().item() == pytest.approx(0.5, abs=0.02)
    slopes = [part.T.cov()[0, 1].item() for part in (drawn[~right], drawn[right])]
    assert slopes == pytest.approx([0.9, -2.0], abs=0.1)


def test_the_identities():
    model = LinearGaussian(sigma=0.01)
    _, columns = surgery_of(model, model.data(200))
    value = {name: estimate.value for name, estimate in columns.items()}
    assert value["kl"] == pytest.approx(
        value["mutual_information"] + value["marginal_kl"], abs=1e-9
    )
    assert value["elbo"] == pytest.approx(value["reconstruction"] - value["kl"], abs=1e-9)
    assert 0 <= value["mutual_information"] <= value["log_n"] == log(200)
    assert value["mutual_information"] > log(200) - 0.1  # nearly disjoint posteriors


def test_equal_posteriors_carry_no_information():
    terms = Terms(
        reconstruction=torch.zeros(2, 50),
        log_prior=torch.zeros(2, 50),
        log_posterior=torch.zeros(2, 50),
        latent=torch.randn(2, 50, 3),
        posterior=DiagonalNormal(torch.zeros(50, 3), torch.zeros(50, 3)),
    )
    surgery = ELBOSurgery()
    surgery.update(terms)
    columns = surgery.estimates()
    assert columns["mutual_information"].value == pytest.approx(0, abs=1e-6)
    assert columns["active_units"].value == 0


def test_estimates_near_zero_fall_below_it_by_their_error_alone():
    """The truth is 0: one posterior for all data, but for rounding, and it is the prior."""
    q = DiagonalNormal(1e-3 * torch.randn(200, 2), torch.zeros(200, 2))
    below = dict.fromkeys(("kl", "mutual_information", "marginal_kl"), 0)
    for repeat in range(20):
        z = q.sample(Noise("collapsed", repeat), 2)
        surgery = ELBOSurgery()
        prior = standard_normal_log_prob(z)
        surgery.update(Terms(torch.zeros(2, 200), prior, q.log_prob(z), z, q))
        columns = surgery.estimates()
        for name in below:
            estimate = columns[name]
            assert abs(estimate.value) <= STANDARD_ERRORS * estimate.stderr + 1e-6
            below[name] += estimate.value < 0
    # What is said of them is true, and needed.
    meanings = {column.name: column.meaning for column in ESTIMATES}
    for name, times in below.items():
        assert times > 0 and "may take the estimate below 0" in meanings[name]


def test_swapping_in_the_aggregated_posterior_raises_the_elbo_by_the_marginal_kl():
    """The lecture's theorem, on the split that q_agg is made of."""
    model = LinearGaussian(shift=1.0)
    _, columns = surgery_of(model, model.data(150))
    value = {name: estimate.value for name, estimate in columns.items()}
    assert value["marginal_kl_aggregate"] == 0
    assert value["elbo_aggregate"] - value["elbo"] == pytest.approx(value["marginal_kl"], abs=1e-9)


def test_on_another_split_the_swap_is_a_cross_term():
    model = LinearGaussian(shift=1.0)
    train, _ = surgery_of(model, model.data(150))
    _, columns = surgery_of(model, model.data(90, 2), training=train.encodings())
    value = {name: estimate.value for name, estimate in columns.items()}
    gained = value["elbo_aggregate"] - value["elbo"]
    assert gained == pytest.approx(value["marginal_kl"] - value["marginal_kl_aggregate"], abs=1e-9)
    assert value["marginal_kl_aggregate"] > 0


def test_the_population_mutual_information_is_approached():
    """For the linear-Gaussian model I(x; z) = ½ Σ log(1 + w²/σ²); a finite split is below log n."""
    model = LinearGaussian(sigma=1.0)
    exact = 0.5 * (1 + model.weight.square().sum(0)).log().sum().item()
    _, columns = surgery_of(model, model.data(3000), samples=4)
    estimate = columns["mutual_information"]
    assert estimate.value == pytest.approx(exact, abs=4 * estimate.stderr_data + 0.01)


def test_metric_merges_like_one():
    """Two ranks' states, concatenated, give what one rank gives."""
    model = LinearGaussian()
    x = model.data(60)
    whole, columns = surgery_of(model, x)
    parts = [ELBOSurgery(), ELBOSurgery()]
    for number, block in enumerate(x.split(30)):
        parts[number].update(model.terms(block, Noise(0, number), 2))
    merged = ELBOSurgery()
    for name in merged._defaults:
        setattr(merged, name, getattr(parts[0], name) + getattr(parts[1], name))
    merged._update_count = 2
    assert merged.estimates() == columns


def test_two_ranks_share_out_the_pairs_and_give_the_bytes_of_one(warm, tmp_path):
    """Two samples of each datum, so many that whole blocks do not divide evenly; or a single block."""
    shares = {1301: (1536, 1066), 100: (200, 0)}
    assert 1536 == 3 * ROW_BLOCK
    words = ["-m", "tests.estimators.surgery_ranks", tmp_path]
    ranks = [warm.start(*words, rank, 2, *shares) for rank in range(2)]
    assert [rank.wait(patience(60)) for rank in ranks] == [0, 0], [rank.stderr for rank in ranks]
    for n, points in shares.items():
        alone = filled(n, [0, 1]).estimates()
        for rank in range(2):
            found = torch.load(tmp_path / f"{n}-{rank}.pt", weights_only=False)
            # Two densities: under the split's own mixture and under the training split's.
            assert found["points"] == [points[rank]] * 2
            assert found["columns"] == alone
            if rank == 0:
                assert found["own"] == filled(n, [0]).estimates()


def test_active_units_are_those_whose_mean_varies():
    """By the variance, of which 0.01 is a standard deviation of 0.1."""
    means = torch.linspace(-1, 1, 1000)[:, None] * torch.tensor([1.0, 0.01, 0.0, 0.16, 0.18])
    deviations = means.std(0).tolist()
    assert deviations[3] < 0.1 < deviations[4]
    assert active_units(means) == 2
