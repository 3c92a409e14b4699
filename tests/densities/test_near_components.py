"""Many draws of a datum are summed over the components near them: the result, and how many they are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.densities import near_components
from bench.densities.mixture_table import MixtureTable
from bench.densities.near_components import FEWEST_COMPONENTS, FEWEST_DRAWS, NearComponents
from bench.densities.normal import DiagonalNormal, NormalMixture


def direct_sum(components, weights, z):
    """Return the log-densities by differences of all pairs in float64, and what rounding allows."""
    double = DiagonalNormal(components.loc.double(), components.log_scale.double())
    direct = (double.log_prob(z.double()[..., None, :]) + weights.double()).logsumexp(-1)
    return direct, 1e-3 + 1e-15 * direct.abs()  # a density of e^(−10¹³) is itself rounded


@pytest.fixture
def counted(monkeypatch):
    """Count the pairs that are summed near draws, and the draws that are summed over everything."""
    counts = {"pairs": 0, "left": 0}
    summed, everything = near_components.log_sum_of_products, MixtureTable.log_prob

    def near(features, coefficients, constants, columns):
        counts["pairs"] += len(features) * len(constants)
        return summed(features, coefficients, constants, columns)

    def all_of_them(self, z, size=None):
        counts["left"] += len(z)
        return everything(self, z, size)

    monkeypatch.setattr(near_components, "log_sum_of_products", near)
    monkeypatch.setattr(MixtureTable, "log_prob", all_of_them)
    return counts


@given(
    n=st.integers(1, 500),
    dimensions=st.integers(1, 8),
    spread=st.floats(0, 100),
    clusters=st.integers(1, 20),
    log_scale=st.floats(-12, 3),
    differences=st.sampled_from([0.0, 0.3, 2.0]),
    width=st.floats(-12, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=100, deadline=None)
def test_every_mixture_is_summed_to_a_thousandth(
    n, dimensions, spread, clusters, log_scale, differences, width, seed
):
    """Also if the draws are far wider or narrower than the components, at one of them, or far away."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    middle = spread * draw(clusters, dimensions)[torch.arange(n) % clusters]
    scales = log_scale + differences * draw(n if differences else 1, dimensions)
    components = DiagonalNormal(middle + draw(n, dimensions), scales.expand(n, dimensions))
    means = torch.stack([components.loc[0], spread * draw(dimensions), 1e3 + draw(dimensions)])
    z = means + torch.tensor(width).exp() * draw(FEWEST_DRAWS, 3, dimensions)
    z[0, 0], z[1, 1] = components.loc[0], components.loc[-1]
    weights = draw(n).log_softmax(0)
    direct, allowed = direct_sum(components, weights, z)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_components, "LARGEST_SHARE", 1.0)
        near = NearComponents(MixtureTable(components, weights)).log_prob(z)
    assert ((near - direct).abs() < allowed).all()


def like_mnist(draw, n, differences):
    """Components as encoders of MNIST have them: 23 of 40 dimensions are in use.

    The datum's posterior is half as wide as a component of the exemplar prior.
    """
    used = (torch.arange(40) < 23).float()
    loc = (1.5 * used + 0.015 * (1 - used)) * draw(n, 40)
    log_scale = -0.43 - 0.5 * used * bool(differences) + differences * used * draw(n, 40)
    log_scale = log_scale if differences else log_scale[:1].expand(n, 40)
    return DiagonalNormal(loc, log_scale), used


@torch.no_grad()
@pytest.mark.parametrize("differences", [0.0, 0.15], ids=["exemplar", "aggregate"])
def test_few_components_are_near_where_encoders_put_them(differences, counted):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    n, data = 20_000, 5
    components, used = like_mnist(draw, n, differences)
    own, width = components.loc[:data], torch.exp(-0.43 - 0.7 * used)
    z = own + 0.5 * used * draw(data, 40) + width * draw(500, data, 40)
    weights = torch.full((n,), 1 / n).log()
    near = NormalMixture(components, weights).log_prob(z)
    assert counted["left"] == data  # the farthest draw of each datum
    assert counted["pairs"] < 0.05 * n * z[..., 0].numel(), counted["pairs"]
    direct, allowed = direct_sum(components, weights, z[::50])
    assert ((near[::50] - direct).abs() < allowed).all()
    assert counted["left"] == data


@torch.no_grad()
def test_without_near_components_the_full_sum_is_taken_once(counted):
    """Where the draws are as spread as the components, and where float64 cannot bound anything."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)
    n = FEWEST_COMPONENTS
    regions = [
        (draw(n, 10), draw(n, 10) * 0.1, 2 * draw(FEWEST_DRAWS, 2, 10)),
        (draw(n, 10), torch.full((n, 10), -30.0), draw(FEWEST_DRAWS, 2, 10)),
    ]
    for loc, log_scale, z in regions:
        counted |= {"pairs": 0, "left": 0}
        mixture = NormalMixture(DiagonalNormal(loc, log_scale), torch.full((n,), 1 / n).log())
        near = mixture.log_prob(z)
        assert counted == {"pairs": 0, "left": 2 * FEWEST_DRAWS}
        assert torch.equal(near, mixture.table.log_prob(z.flatten(0, 1)).view(-1, 2))


@torch.no_grad()
def test_few_draws_or_few_components_need_no_bound(counted):
    n = FEWEST_COMPONENTS
    mixture = NormalMixture(
        DiagonalNormal(torch.zeros(n, 2), torch.zeros(n, 2)), torch.full((n,), 1 / n).log()
    )
    mixture.log_prob(torch.zeros(FEWEST_DRAWS - 1, 3, 2))
    assert counted["left"] == 3 * (FEWEST_DRAWS - 1)
    assert not mixture.has_many(torch.zeros(FEWEST_DRAWS, 2))
    assert mixture.has_many(torch.zeros(FEWEST_DRAWS // 2, 2, 5, 2))
    few = NormalMixture(mixture.components, mixture.log_weights[1:])
    assert not few.has_many(torch.zeros(FEWEST_DRAWS, 3, 2))
