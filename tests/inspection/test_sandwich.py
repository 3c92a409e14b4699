"""The sandwich of a model on a task: its columns, its errors, its noise."""

from dataclasses import replace

import pytest
import torch

from bench.data.arrays import task_from_arrays
from bench.densities.posteriors import FlowPosterior, FullCovariancePosterior
from bench.errors import InputError
from bench.estimators.weights import weighted_bound
from bench.inspection.blocks import observed
from bench.inspection.bounds import annealed_estimate, error_is_known
from bench.inspection.rate_distortion import CurveSettings, rate_distortion
from bench.inspection.sandwich import SandwichSettings, sandwich
from bench.models.realnvp import RealNVP
from bench.noise import Noise
from tests.inspection.test_bounds import log_evidence, small_vae

SETTINGS = SandwichSettings(chains=12, temperatures=8, data=120, importance_samples=100)


def task(n=150):
    drawn = torch.randint(2, (n, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    images = drawn.to(torch.uint8).numpy()
    return task_from_arrays(images, images, 2, images)


def test_the_columns_of_a_task():
    """The truth of test images is known here by an integral: it lies between the bounds and figures."""
    model, data, reports = small_vae(), task(), []
    found = sandwich(model, data, SETTINGS, 3, lambda *report: reports.append(report))
    assert list(found.columns) == [
        "log_likelihood_lower",
        "log_likelihood_upper",
        "sandwich_gap",
        "log_likelihood_annealed",
        "log_likelihood_importance",
        "upper_heuristic_chain",
        "upper_heuristic_cubo",
    ]
    assert all(estimate.n == 120 for estimate in found.columns.values())
    gap = found.log_likelihood_upper.value - found.log_likelihood_lower.value
    assert found.sandwich_gap.value == pytest.approx(gap) and 0 < gap < 0.1
    seen = observed(model, data.test[:120], Noise(0))
    truth = log_evidence(model, seen).mean().item()
    for bound in (found.log_likelihood_annealed, found.log_likelihood_importance):
        assert bound.value < truth + 4 * bound.stderr and bound.value == pytest.approx(
            truth, abs=0.05
        )
    chain, cubo = found.upper_heuristic_chain, found.upper_heuristic_cubo
    assert chain.value == pytest.approx(truth, abs=0.1) and truth < cubo.value < truth + 1
    assert chain.stderr is None and cubo.stderr is None
    shares = [share for share, _ in reports]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1


@pytest.mark.parametrize("posterior", [FullCovariancePosterior, FlowPosterior])
def test_a_richer_posterior_is_annealed_too(posterior):
    """Paths that start at such a q end at log p(y), which is known by an integral."""
    model, data = small_vae(posterior=posterior), task(40)
    found = sandwich(model, data, replace(SETTINGS, data=40, start="posterior", temperatures=40))
    truth = log_evidence(model, observed(model, data.test[:40], Noise(0))).mean().item()
    annealed, gap = found.log_likelihood_annealed, found.sandwich_gap
    assert (
        annealed.value == pytest.approx(truth, abs=4 * annealed.stderr) and annealed.stderr < 0.05
    )
    assert abs(gap.value) < 4 * gap.stderr < 0.1
    few = CurveSettings(chains=12, temperatures=10, data=10)
    assert any(point.beta == 1 for point in rate_distortion(model, data, few))


def test_noise_belongs_to_a_datum():
    """Fewer data, and other data behind them, change nothing of the first hundred."""
    model = small_vae()
    first = sandwich(model, task(), replace(SETTINGS, data=100, start="prior"))
    again = sandwich(model, task(), replace(SETTINGS, data=100, start="prior"))
    assert first == again and first.start == "prior"
    assert sandwich(model, task(), replace(SETTINGS, data=100, start="prior"), 2) != first


def test_the_tighter_start_is_chosen_on_validation():
    """q of an untrained encoder is near the posterior; one that is far off is worse than the prior."""
    model = small_vae()
    settings = replace(SETTINGS, temperatures=2, data=10, importance_samples=10)
    assert sandwich(model, task(), settings).start == "posterior"
    last = model.posterior.network.layers[-1]
    with torch.no_grad():
        last.bias.copy_(torch.tensor([6.0, 6.0, -6.0, -6.0]))
    assert sandwich(model, task(), settings).start == "prior"


def test_an_error_that_cannot_be_known_is_empty():
    generator = torch.Generator().manual_seed(0)
    even = 0.1 * torch.randn(16, 100, generator=generator, dtype=torch.float64)
    assert error_is_known(weighted_bound(even), 16)
    assert not error_is_known(weighted_bound(even[:9]), 9)
    outlier = even.clone()
    outlier[:, 0] *= 100
    assert not error_is_known(weighted_bound(outlier), 16)
    estimate = annealed_estimate(weighted_bound(outlier), 16)
    assert estimate.stderr is None and estimate.stderr_untrusted > 0
    assert error_is_known(weighted_bound(100 * even), 16)  # all alike


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="chains"):
        SandwichSettings(chains=0)
    flow = RealNVP((1, 2, 2), 2, couplings=2, widths=[2]).eval()
    with pytest.raises(InputError, match="no latent variable"):
        sandwich(flow, task(), SETTINGS)
