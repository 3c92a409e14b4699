import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.densities.bernoulli import GROUP, bernoulli_log_likelihood


def direct(logits, y):
    """The same in float64, a logarithm for each pixel."""
    return F.logsigmoid(logits.double() * (2.0 * y - 1.0)).sum(-1)


@pytest.mark.parametrize("dimensions", [1, 7, GROUP - 1, GROUP, GROUP + 1, 784])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
def test_it_is_the_sum_of_log_probabilities(dimensions, scale):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(3, 5, dimensions, generator=generator)
    y = torch.randint(2, (5, dimensions), generator=generator, dtype=torch.uint8)
    ours, expected = bernoulli_log_likelihood(logits, y), direct(logits, y)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), expected, rtol=2e-6, atol=2e-5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-80, 80), st.booleans()), min_size=1, max_size=300))
def test_it_is_right_for_all_logits(pixels):
    logits = torch.tensor([[value for value, _ in pixels]], dtype=torch.float64)
    y = torch.tensor([[one for _, one in pixels]])
    torch.testing.assert_close(bernoulli_log_likelihood(logits, y), direct(logits, y))


def test_its_gradient_is_what_autograd_makes_of_the_direct_sum():
    torch.manual_seed(0)
    y = torch.randint(2, (5, 200), dtype=torch.uint8)
    weights = torch.randn(3, 5, dtype=torch.float64)
    gradients = []
    for log_likelihood in (bernoulli_log_likelihood, direct):
        logits = (5 * torch.randn(3, 5, 200, generator=torch.Generator().manual_seed(1))).double()
        logits.requires_grad_(True)
        (log_likelihood(logits, y) * weights).sum().backward()
        gradients.append(logits.grad)
    torch.testing.assert_close(*gradients)


def test_nothing_given_to_it_is_changed():
    logits, y = torch.randn(2, 3, 150), torch.randint(2, (3, 150)).float()
    before = logits.clone(), y.clone()
    bernoulli_log_likelihood(logits, y)
    assert torch.equal(logits, before[0]) and torch.equal(y, before[1])


def test_logits_that_are_no_numbers_stay_visible():
    logits = torch.zeros(1, 1, 120)
    logits[..., 3] = torch.nan
    assert bernoulli_log_likelihood(logits, torch.zeros(1, 120)).isnan().all()
