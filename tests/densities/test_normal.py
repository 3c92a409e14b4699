import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, MixtureSameFamily, Normal, kl_divergence

from bench.densities import mixture_table
from bench.densities.mixture_table import BlockSize, MixtureTable, block_size, gpu_block_size
from bench.densities.normal import DiagonalNormal, NormalMixture, uniform_mixture
from bench.noise import Noise


def random_normal(n, d, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    loc = torch.randn(n, d, generator=generator, dtype=dtype)
    log_scale = 0.5 * torch.randn(n, d, generator=generator, dtype=dtype)
    return DiagonalNormal(loc, log_scale)


def test_density_and_kl_against_torch():
    ours = random_normal(5, 3, dtype=torch.float64)
    theirs = Independent(Normal(ours.loc, ours.log_scale.exp()), 1)
    z = torch.randn(4, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    standard = Independent(Normal(torch.zeros(5, 3).double(), torch.ones(5, 3).double()), 1)
    torch.testing.assert_close(ours.kl_to_standard_normal(), kl_divergence(theirs, standard))


def test_samples_have_the_moments():
    ours = random_normal(3, 2)
    z = ours.sample(Noise(0), 100_000)
    error = ours.log_scale.exp() / 100_000**0.5
    assert ((z.mean(0) - ours.loc).abs() < 4.5 * error).all()
    assert ((z.std(0) / ours.log_scale.exp() - 1).abs() < 0.02).all()


REGIMES = {
    "narrow and far apart": lambda g: (1000 * g(2000, 40), torch.full((2000, 40), -7.0)),
    "narrow and dense": lambda g: (
        torch.cat([0.02 * g(2000, 2), torch.zeros(2000, 38)], 1),
        torch.cat([torch.full((2000, 2), -4.6), torch.zeros(2000, 38)], 1),
    ),
    "one of them narrow": lambda g: (
        g(2000, 40),
        torch.cat([torch.full((1, 40), -6.0), -1.0 + 0.1 * g(1999, 40)]),
    ),
    "too narrow for float32": lambda g: (g(2000, 40), torch.full((2000, 40), -60.0)),
    # A hundred nats between the two, which float32 rounds by 10⁵.
    "narrow pairs": lambda g: (
        g(1000, 40).repeat(2, 1)
        + 9e-5 * torch.eye(40)[0] * torch.arange(2).repeat_interleave(1000)[:, None],
        torch.full((2000, 40), -12.0),
    ),
    "strongly overlapping": lambda g: (0.1 * g(2000, 40), -0.05 + 0.1 * g(2000, 40)),
    "typical": lambda g: (g(2000, 40), -1.0 + 0.5 * g(2000, 40)),
    "one width": lambda g: (1.3 * g(2000, 40), torch.full((2000, 40), -0.43)),
    "a width for each dimension": lambda g: (1.3 * g(2000, 40), -g(1, 40).abs().expand(2000, 40)),
    "tiny variances": lambda g: (
        (12 * torch.rand(2000, 40) - 6),
        0.5 * (-12 * torch.rand(2000, 40)),
    ),
}


@pytest.mark.parametrize("regime", REGIMES)
def test_mixture_against_a_direct_float64_sum(regime):
    """The exact q_agg: within 1e-3 nats, for points of the components and for points between."""
    torch.manual_seed(0)
    loc, log_scale = REGIMES[regime](torch.randn)
    components = DiagonalNormal(loc, log_scale)
    own = (loc + log_scale.exp() * torch.randn_like(loc))[:200]
    z = torch.cat([own, 3 * torch.randn(60, 40)])
    weights = torch.randn(2000).log_softmax(0)
    double = DiagonalNormal(loc.double(), log_scale.double())
    direct = (double.log_prob(z.double()[:, None]) + weights.double()).logsumexp(1)
    table = MixtureTable(components, weights)
    allowed = 1e-3 + 1e-15 * direct.abs()  # a density of e^(−10¹³) is itself rounded
    assert ((table.log_prob(z) - direct).abs() < allowed).all()
    assert ((table.log_prob(z, BlockSize(64, 37)) - direct).abs() < allowed).all()
    pairs = table.log_pairs(z).logsumexp(1)
    if "narrow" not in regime and regime != "tiny variances":  # these cancel, even in float64
        torch.testing.assert_close(pairs, direct, rtol=0, atol=1e-9)


def test_components_of_one_width_are_summed_in_float32(monkeypatch):
    """As the exemplar prior's are on MNIST, whose L_K takes 10⁷ points under 50,000 of them."""
    torch.manual_seed(0)
    loc, log_scale = 1.3 * torch.randn(2000, 40), torch.full((2000, 40), -0.43)
    table = MixtureTable(DiagonalNormal(loc, log_scale), torch.full((2000,), 1 / 2000).log())
    seen, summed = [], mixture_table.log_sum_of_products

    def watched(features, coefficients, constants, columns):
        seen.append((coefficients.dtype, len(coefficients)))
        return summed(features, coefficients, constants, columns)

    monkeypatch.setattr(mixture_table, "log_sum_of_products", watched)
    table.log_prob(loc[:1000])
    assert seen == [(torch.float32, 40)] * 2


@given(
    n=st.integers(1, 3000),
    dimensions=st.integers(1, 12),
    spread=st.floats(0, 300),
    log_scale=st.floats(-20, 3),
    alike=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_every_mixture_is_summed_to_a_thousandth(n, dimensions, spread, log_scale, alike, seed):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    scales = log_scale + 0.3 * draw(1 if alike else n, dimensions).expand(n, dimensions)
    components = DiagonalNormal(spread * draw(n, dimensions), scales)
    own = components.loc[:5] + components.log_scale[:5].exp() * draw(min(n, 5), dimensions)
    z = torch.cat([own, spread * draw(3, dimensions)])
    weights = draw(n).log_softmax(0)
    double = DiagonalNormal(components.loc.double(), components.log_scale.double())
    direct = (double.log_prob(z.double()[:, None]) + weights.double()).logsumexp(1)
    error = (MixtureTable(components, weights).log_prob(z) - direct).abs()
    assert (error < 1e-3 + 1e-15 * direct.abs()).all()


def test_mixture_density_and_gradient_path_against_torch():
    components = random_normal(7, 2, dtype=torch.float64)
    weights = torch.randn(7, dtype=torch.float64).log_softmax(0)
    theirs = MixtureSameFamily(
        TorchCategorical(logits=weights),
        Independent(Normal(components.loc, components.log_scale.exp()), 1),
    )
    z = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    mixture = NormalMixture(components, weights)
    torch.testing.assert_close(mixture.log_prob(z), theirs.log_prob(z))
    with torch.no_grad():
        torch.testing.assert_close(mixture.log_prob(z), theirs.log_prob(z), atol=1e-6, rtol=0)


def test_excluded_components_leave_a_normalized_density():
    components = random_normal(4, 2, dtype=torch.float64)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64).log()
    excluded = torch.tensor([[False, True, False, False], [False, False, False, False]])
    z = torch.randn(3, 2, 2, dtype=torch.float64)
    ours = NormalMixture(components, weights, excluded).log_prob(z)
    kept = [0, 2, 3]
    left = NormalMixture(
        DiagonalNormal(components.loc[kept], components.log_scale[kept]),
        weights[kept].log_softmax(0),
    )
    torch.testing.assert_close(ours[:, 0], left.log_prob(z[:, :1])[:, 0], atol=1e-6, rtol=0)
    torch.testing.assert_close(
        ours[:, 1], NormalMixture(components, weights).log_prob(z[:, 1:])[:, 0], atol=1e-6, rtol=0
    )


def test_mixture_samples_agree_with_its_density():
    """E[log p] over samples equals minus the entropy, by quadrature in one dimension."""
    components = DiagonalNormal(
        torch.tensor([[-2.0], [0.5], [3.0]]), torch.tensor([[-1.0], [0.0], [-0.5]])
    )
    mixture = NormalMixture(components, torch.tensor([0.2, 0.5, 0.3]).log())
    grid = torch.linspace(-15, 15, 60_001)[:, None]
    log_density = mixture.log_prob(grid).double()
    width = 30 / 60_000
    assert abs(log_density.exp().sum() * width - 1) < 1e-5
    entropy = -(log_density.exp() * log_density).sum() * width
    values = mixture.log_prob(mixture.sample(200_000, Noise(3))).double()
    assert abs(values.mean() + entropy) < 4.5 * values.std() / 200_000**0.5


def test_blocks_of_a_gpu_are_large_and_fit_into_its_memory():
    gib = 2**30
    whole = gpu_block_size(80 * gib)
    assert whole == (4096, 32_768) and block_size(torch.device("cpu")) == (512, 2048)
    for usable in (8 * gib, gib, gib // 4):
        size = gpu_block_size(usable)
        assert size.rows * size.columns * 32 <= usable / 4 < 2 * size.rows * size.columns * 32
    assert gpu_block_size(0) == (512, 2048)


def test_large_blocks_give_the_same_density():
    torch.manual_seed(0)
    mixture = uniform_mixture(DiagonalNormal(torch.randn(3000, 4), -2 + 0.1 * torch.randn(3000, 4)))
    z = torch.randn(700, 4)
    small, large = (
        mixture.table.log_prob(z, size) for size in (BlockSize(), BlockSize(4096, 32_768))
    )
    torch.testing.assert_close(large, small, atol=2e-4, rtol=0)
