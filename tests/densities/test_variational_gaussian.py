"""The Gaussian likelihood with learned dequantization noise."""

from math import log

import pytest
import torch

from bench.densities.decoders import Gaussian
from bench.densities.dequantization import LARGEST_NOISE
from bench.densities.discretized import log_mass_of_pixels
from bench.densities.variational_gaussian import VariationalGaussian
from bench.errors import InputError
from bench.noise import Noise

LEVELS, PIXELS = 5, 2
Y = torch.tensor([[0, 3], [4, 2], [1, 1]])


def decoder(seed: int | None = None) -> VariationalGaussian:
    torch.manual_seed(0)
    made = VariationalGaussian(PIXELS, LEVELS, sigma="decoder", couplings=4, widths=[8])
    if seed is not None:
        torch.manual_seed(seed)
        for parameter in made.dequantization.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def outputs(samples: int) -> torch.Tensor:
    drawn = torch.randn(1, len(Y), 2, PIXELS, generator=torch.Generator().manual_seed(1))
    return drawn.expand(samples, -1, -1, -1)


@torch.no_grad()
def test_new_noise_is_uniform():
    made, gaussian = decoder(), Gaussian(PIXELS, LEVELS)
    u = Noise(3, "u").uniform(50, *Y.shape).clamp(max=LARGEST_NOISE)
    expected = gaussian.log_density_of_pixels(outputs(50), (Y + u) / LEVELS).sum(-1)
    torch.testing.assert_close(
        made.log_prob(outputs(50), Y, Noise(3, "u")), expected, atol=2e-3, rtol=1e-4
    )


@pytest.mark.parametrize("seed", [None, 1, 2])
@torch.no_grad()
def test_importance_weighted_it_is_the_mass_of_the_bin(seed):
    """mean of N(y + u|z)/r(u|y) over u ~ r is the integral over the bin, whatever r is."""
    made, draws = decoder(seed), 200_000
    log_weights = made.log_prob(outputs(draws), Y, Noise(4, "weights")).double()
    mean = log_weights.logsumexp(0) - log(draws)
    error = (log_weights - mean).exp().std(0) / draws**0.5
    exact = log_mass_of_pixels(made.gaussian, outputs(1), Y).sum(-1)[0]
    assert ((mean - exact).abs() < 5 * error + 1e-4).all()
    assert (log_weights.mean(0) <= exact + 1e-4).all()  # the bound itself, by Jensen


def test_learned_noise_closes_the_gap():
    """With the noise alone trained, the bound rises from uniform noise's to near the mass."""
    made = decoder()
    fixed = outputs(64)
    optimizer = torch.optim.Adam(made.dequantization.parameters(), lr=1e-2)
    exact = log_mass_of_pixels(made.gaussian, fixed[:1], Y).sum(-1).mean().item()
    gap = lambda: exact - made.log_prob(outputs(20_000), Y, Noise(9, "gap")).mean().item()
    with torch.no_grad():
        before = gap()
    for step in range(150):
        optimizer.zero_grad()
        (-made.log_prob(fixed, Y, Noise(step, "training")).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        after = gap()
    assert before > 0.02 and -0.01 < after < before / 2


def test_too_few_couplings_are_refused_by_the_name_of_the_option():
    with pytest.raises(InputError, match="^model.decoder.couplings: 1 would leave"):
        VariationalGaussian(PIXELS, LEVELS, couplings=1)
