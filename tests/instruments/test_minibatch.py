from itertools import combinations, permutations
from math import log

import torch

from bench.densities.normal import DiagonalNormal
from bench.instruments.minibatch import stratified_log_aggregate, weighted_log_aggregate
from bench.models.linear_gaussian_vae import LinearGaussianVAE
from bench.noise import Noise


def test_the_stratified_estimate_of_the_density_is_unbiased():
    """Over every ordered batch of 3 out of 5 that starts with datum 0, its mean is q_agg(z_0)."""
    model = LinearGaussianVAE()
    x = model.data(5)
    posterior = model.posterior(x)
    z = posterior.sample(Noise(0), 1)[0, :1]
    exact = posterior.log_prob(z[:, None]).exp().mean()
    estimates = []
    for others in permutations(range(1, 5), 2):
        chosen = [0, *others]
        batch = DiagonalNormal(posterior.loc[chosen], posterior.log_scale[chosen])
        samples = torch.cat([z, z, z])  # only the first row is used
        estimates.append(stratified_log_aggregate(samples, batch, 5)[0].exp())
    torch.testing.assert_close(torch.stack(estimates).mean(), exact)


def test_the_weighted_estimate_is_its_formula_and_too_low():
    model = LinearGaussianVAE()
    posterior = model.posterior(model.data(6))
    z = posterior.sample(Noise(0), 1)[0]
    exact = posterior.log_prob(z[:, None]).logsumexp(1) - log(6)
    for chosen in combinations(range(6), 3):
        rows = list(chosen)
        batch = DiagonalNormal(posterior.loc[rows], posterior.log_scale[rows])
        ours = weighted_log_aggregate(z[rows], batch, 6)
        expected = batch.log_prob(z[rows][:, None]).exp().sum(1).log() - log(18)
        torch.testing.assert_close(ours, expected)
        assert (ours < exact[rows]).all()
