from math import log

import pytest
import torch
from scipy.stats import ks_2samp
from sklearn.neighbors import NearestNeighbors
from torch import nn

from bench.densities.exemplar import Exemplar, nearest_images
from bench.densities.normal import DiagonalNormal
from bench.densities.posteriors import NormalPosterior
from bench.densities.priors import Aggregate, Flow, Mixture, StandardNormal, Vamp
from bench.errors import InputError
from bench.networks.mlp import MLP
from bench.noise import Noise

D, LEVELS = 5, 17


def encoder(latent):
    torch.manual_seed(0)
    posterior = NormalPosterior(lambda outputs: MLP((D,), (outputs,), [8]), latent, LEVELS)
    for parameter in posterior.parameters():
        nn.init.normal_(parameter, std=0.6)
    return posterior


def make(name, latent):
    torch.manual_seed(1)
    images = torch.randint(0, LEVELS, (12, D), dtype=torch.uint8)
    prior = {
        "standard": StandardNormal,
        "mixture": lambda *a: Mixture(*a, components=4),
        "vamp": lambda *a: Vamp(*a, pseudo_inputs=6),
        "vamp with weights": lambda *a: Vamp(*a, pseudo_inputs=6, learned_weights=True),
        "aggregate": Aggregate,
        "exemplar": Exemplar,
        "flow": lambda *a: Flow(*a, couplings=3, widths=[8]),
    }[name](latent, D, LEVELS)
    for parameter in prior.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    prior.attach(images)
    return prior(encoder(latent), Noise(0), None)


ALL = ["standard", "mixture", "vamp", "vamp with weights", "aggregate", "exemplar"]


@pytest.mark.parametrize("name, latent", [(n, k) for n in ALL for k in (1, 2)] + [("flow", 2)])
@torch.no_grad()
def test_density_integrates_to_one_and_samples_follow_it(name, latent):
    density = make(name, latent)
    torch.manual_seed(0)
    reach, points = 20.0, {1: 80_001, 2: 1201}[latent]
    side = torch.linspace(-reach, reach, points)
    grid = side[:, None] if latent == 1 else torch.cartesian_prod(side, side)
    cell = (2 * reach / (points - 1)) ** latent
    probability = density.log_prob(grid).double().exp() * cell
    assert abs(probability.sum() - 1) < 3e-3
    n = 100_000
    drawn = density.sample(n, Noise(4)).double()
    mean = (probability[:, None] * grid).sum(0)
    second = (probability[:, None] * grid.double() ** 2).sum(0)
    for ours, expected in ((drawn, mean), (drawn**2, second)):
        assert ((ours.mean(0) - expected).abs() < 5 * ours.std(0) / n**0.5 + 0.02).all()
    # Two samples, one drawn by the prior, one from the density's own grid: of one distribution?
    cells = torch.multinomial(probability / probability.sum(), 5000, replacement=True)
    jitter = (torch.rand(5000, latent) - 0.5) * side.diff()[0]
    for dimension in range(latent):
        gridded = (grid[cells] + jitter)[:, dimension]
        assert ks_2samp(drawn[:5000, dimension], gridded).pvalue > 1e-4


def test_aggregate_in_training_leaves_the_datum_out():
    prior = Aggregate(2, D, LEVELS, exemplars=8)
    images = torch.randint(0, LEVELS, (12, D), dtype=torch.uint8)
    prior.attach(images)
    posterior, index = encoder(2), torch.arange(12)
    z = torch.randn(12, 2)
    ours = prior(posterior, Noise(3), index).log_prob(z)
    chosen = Noise(3).shared_permutation(12)[:8]
    for i in range(12):
        others = [j for j in chosen.tolist() if j != i]
        parts = [posterior(images[j : j + 1]).log_prob(z[i : i + 1]) for j in others]
        expected = torch.cat(parts).exp().mean().log()
        torch.testing.assert_close(ours[i], expected, atol=1e-5, rtol=1e-5)


def test_aggregate_in_evaluation_is_the_whole_split():
    prior = Aggregate(2, D, LEVELS, exemplars=3)
    images = torch.randint(0, LEVELS, (12, D), dtype=torch.uint8)
    prior.attach(images)
    posterior, z = encoder(2), torch.randn(7, 2)
    with torch.no_grad():
        ours = prior(posterior, Noise(3), None).log_prob(z)
        each = torch.stack([posterior(images[j : j + 1]).log_prob(z) for j in range(12)])
    torch.testing.assert_close(ours, each.double().exp().mean(0).log(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("neighbours", [1, 3, 11])
def test_exemplars_in_training_are_the_batchs_neighbours_without_the_datum(neighbours):
    torch.manual_seed(0)
    images = torch.randint(0, LEVELS, (12, D), dtype=torch.uint8)
    prior, posterior, index = (
        Exemplar(2, D, LEVELS, neighbours),
        encoder(2),
        torch.tensor([7, 0, 3]),
    )
    prior.attach(images)
    prior.log_scale.data += 0.4
    z = torch.randn(3, 2)
    ours = prior(posterior, Noise(3), index).log_prob(z)
    distances = torch.cdist(images.double(), images.double()).fill_diagonal_(torch.inf)
    chosen = set(distances.argsort(1)[index, :neighbours].flatten().tolist())
    means, scale = posterior(images).loc, prior.log_scale.exp()
    for i, own in enumerate(index.tolist()):
        others = sorted(chosen - {own})
        each = torch.distributions.Normal(means[others], scale).log_prob(z[i]).sum(1)
        torch.testing.assert_close(ours[i], each.exp().sum().div(11).log(), atol=1e-5, rtol=1e-5)
        if neighbours == 11:  # all of them: the leave-one-out density itself
            assert len(others) == 11


def test_a_neighbour_of_several_data_counts_once_in_gradients_too():
    """Its copies have no weight; their number must not depend on the data (CUDA graphs, vmap)."""
    torch.manual_seed(0)
    images = torch.randint(0, LEVELS, (12, D), dtype=torch.uint8)
    prior, posterior, z = Exemplar(2, D, LEVELS, 5), encoder(2), torch.randn(6, 2)
    prior.attach(images)
    moved = [prior.log_scale, *posterior.parameters()]
    index = torch.tensor([7, 0, 3, 1, 2, 11])
    ours = prior(posterior, Noise(3), index).log_prob(z)
    different = prior.nearest[index].unique()
    assert len(different) < 30
    each = prior.around(posterior(images[different])).log_prob(z[:, None])
    each = each.masked_fill(index[:, None] == different, -torch.inf)
    expected = each.logsumexp(1) - log(11)
    torch.testing.assert_close(ours, expected)
    gradients = (torch.autograd.grad(part.sum(), moved) for part in (ours, expected))
    torch.testing.assert_close(*gradients)

    density = lambda index, z: prior(posterior, Noise(3), index).log_prob(z)
    halves = torch.func.vmap(density)(index.view(2, 3), z.view(2, 3, 2))
    each = [density(*half) for half in zip(index.view(2, 3), z.view(2, 3, 2))]
    torch.testing.assert_close(halves, torch.stack(each))


def test_nearest_images_are_scikit_learns():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (1234, 30), dtype=torch.uint8)
    images[5] = images[900]  # a duplicate is a neighbour, itself is not
    distances, _ = NearestNeighbors(n_neighbors=6).fit(images.double()).kneighbors(images.double())
    found = nearest_images(images, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert nearest_images(images, 5).equal(found)
    ours = (images[found].double() - images[:, None].double()).norm(dim=2)
    torch.testing.assert_close(ours, torch.from_numpy(distances[:, 1:]))
    assert (found != torch.arange(1234)[:, None]).all()


def test_pseudo_inputs_that_are_images_give_the_aggregate_of_these_images():
    """In units of the largest value: 0 is black and 1 is white, and beyond there is nothing."""
    images = torch.randint(0, LEVELS, (6, D), dtype=torch.uint8)
    images[0, :2] = torch.tensor([0, LEVELS - 1])
    vamp, aggregate, posterior = Vamp(2, D, LEVELS, 6), Aggregate(2, D, LEVELS), encoder(2)
    vamp.pseudo_inputs.data = images / (LEVELS - 1)
    vamp.pseudo_inputs.data[0, :2] = torch.tensor([-0.5, 1.5])
    aggregate.attach(images)
    z = torch.randn(7, 2)
    with torch.no_grad():
        ours, theirs = (prior(posterior, Noise(0), None).log_prob(z) for prior in (vamp, aggregate))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_unweighted_vamp_has_no_weights_to_learn():
    assert not Vamp(2, D, LEVELS).logits.requires_grad
    assert Vamp(2, D, LEVELS, learned_weights=True).logits.requires_grad


def test_too_few_exemplars_are_refused():
    with pytest.raises(InputError, match="exemplars: 1 leaves none"):
        Aggregate(2, D, LEVELS, exemplars=1)


def test_standard_normal_is_torchs():
    z = torch.randn(6, 3)
    theirs = torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
    density = StandardNormal(3, D, LEVELS)(None, Noise(0), None)
    torch.testing.assert_close(density.log_prob(z), theirs)
    assert isinstance(encoder(3)(torch.zeros(2, D)), DiagonalNormal)
