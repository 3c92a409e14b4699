"""The integer discrete flow: a bijection with an exact likelihood."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import logistic

from bench.errors import InputError
from bench.models.integer_discrete_flow import IntegerDiscreteFlow
from bench.noise import Noise


def with_random_weights(shape=(1, 2, 2), levels=5, seed=0, **options) -> IntegerDiscreteFlow:
    """A flow whose couplings shift: a new one is the identity."""
    torch.manual_seed(seed)
    model = IntegerDiscreteFlow(shape, levels, widths=[8], **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model.eval()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 6), st.sampled_from(["checkerboard", "half"]))
@torch.no_grad()
def test_it_is_a_bijection_of_integers(seed, couplings, mask):
    model = with_random_weights((3, 4, 4), 17, seed, couplings=couplings, mask=mask)
    y = Noise(seed, "integers").uniform(20, 48).mul(17).floor()
    z = model(y)
    assert torch.equal(z, z.round()) and torch.equal(model.inverse(z), y)
    assert couplings == 2 or (z != y).any()


@torch.no_grad()
def test_its_masses_sum_to_one_over_all_integers():
    model = with_random_weights((1, 1, 2), 5)
    side = torch.arange(-400.0, 400.0)
    grid = torch.cartesian_prod(side, side)
    total = model.terms(grid, Noise(0)).reconstruction.double().exp().sum()
    assert total.item() == pytest.approx(1, abs=2e-4)


@torch.no_grad()
def test_the_prior_is_a_mixture_of_logistics_on_bins_of_one():
    """Against SciPy's distribution function, in float64."""
    model = with_random_weights((1, 2, 2), 5, components=3)
    model.attach(torch.randint(0, 5, (50, 4), generator=torch.Generator().manual_seed(1)).byte())
    z = torch.tensor([[0.0, 3.0, -2.0, 7.0], [4.0, 4.0, 1.0, 0.0]])
    mean, deviation = (t.double().numpy()[:, None] for t in (model.data_mean, model.data_deviation))
    locations = mean + deviation * model.locations.double().numpy()
    scales = deviation * model.log_scales.double().exp().numpy()
    weights = model.logits.double().softmax(-1).numpy()
    bins = z.numpy()[..., None]
    mass = logistic.cdf((bins + 0.5 - locations) / scales) - logistic.cdf(
        (bins - 0.5 - locations) / scales
    )
    expected = np.log((weights * mass).sum(-1)).sum(-1)
    torch.testing.assert_close(
        model.log_prior(z).double(), torch.from_numpy(expected), atol=1e-4, rtol=1e-5
    )


@torch.no_grad()
def test_a_datum_has_the_probability_of_its_latent():
    model = with_random_weights()
    y = torch.tensor([[0.0, 1.0, 2.0, 4.0], [3.0, 3.0, 0.0, 1.0]])
    terms = model.terms(y, Noise(0), samples=2)
    assert terms.reconstruction.shape == (2, 2) and terms.log_prior is None
    torch.testing.assert_close(terms.reconstruction[0], model.log_prior(model(y)))


def test_gradients_pass_the_rounding():
    model = with_random_weights()
    model.terms(torch.tensor([[0.0, 1.0, 2.0, 4.0]]), Noise(0)).reconstruction.sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all()
    assert all(c.layers[0].weight.grad.abs().sum() > 0 for c in model.couplings)


@torch.no_grad()
def test_samples_follow_the_masses():
    """The frequencies of the four images of two binary pixels, among samples inside the levels."""
    model = with_random_weights((1, 1, 2), 2, seed=3)
    model.log_scales.fill_(-3.0)  # nearly all mass on a few integers
    samples = model.sample(40_000, Noise(5, "samples"))
    assert set(samples.unique().tolist()) <= {0.0, 1.0}
    side = torch.arange(-60.0, 60.0)
    grid = torch.cartesian_prod(side, side)
    mass = model.terms(grid, Noise(0)).reconstruction[0].exp().double()
    for image in torch.cartesian_prod(torch.arange(2.0), torch.arange(2.0)):
        expected = mass[(grid.clamp(0, 1) == image).all(-1)].sum().item()
        found = (samples == image).all(-1).float().mean().item()
        assert found == pytest.approx(expected, abs=4 * (0.25 / 40_000) ** 0.5 + 1e-4)


@pytest.mark.parametrize(
    "options, line", [({"couplings": 1}, "couplings: 1"), ({"components": 0}, "components: 0")]
)
def test_options_that_make_no_model_are_refused(options, line):
    with pytest.raises(InputError, match=line):
        IntegerDiscreteFlow((1, 4, 4), 17, **options)
