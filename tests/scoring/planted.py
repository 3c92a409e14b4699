"""Models of one's own that are right, or have one planted mistake."""

from math import log, prod
from pathlib import Path

import torch
from torch import nn

from bench import DiagonalNormal, Terms
from bench.adapters.adapted import Wanted
from bench.adapters.choose import adapt
from bench.scoring.checks import check_model, check_source
from bench.scoring.source import Source

CPU = torch.device("cpu")


class Chain(nn.Module):
    """Each pixel given the one before it: a discrete model whose log_prob is exact."""

    images = "discrete"

    def __init__(self, shape, levels, changed=lambda log_p, dimensions: log_p, joint=True):
        super().__init__()
        self.dimensions, self.levels, self.changed, self.joint = prod(shape), levels, changed, joint
        torch.manual_seed(0)
        self.table = nn.Parameter(0.5 * torch.randn(levels + 1, levels))

    def log_prob(self, y):
        y = y.long()
        before = torch.cat((torch.full_like(y[:, :1], self.levels), y[:, :-1]), 1)
        scores = self.table if self.joint is None else self.table.log_softmax(1)
        return self.changed(scores[before, y].sum(1), self.dimensions)


class LogitNormal(nn.Module):
    """Independent normals on logits of pixels: a density on (0, 1)^D."""

    def __init__(self, shape, changed, images="dequantized"):
        super().__init__()
        self.images, self.changed, self.dimensions = images, changed, prod(shape)
        self.mean = nn.Parameter(torch.zeros(self.dimensions))
        self.log_scale = nn.Parameter(torch.zeros(self.dimensions))

    def normal(self, x):
        z = (x - self.mean) * (-self.log_scale).exp()
        return (-0.5 * z.square() - 0.5 * log(2 * torch.pi) - self.log_scale).sum(1)

    def log_prob(self, x):
        return self.changed(self, x)


def through_logits(model, x):
    x = x.clamp(1e-6, 1 - 1e-6)
    return model.normal(x.logit()) - (x.log() + (1 - x).log()).sum(1)


class OwnVAE(nn.Module):
    """A Bernoulli VAE that answers ``terms`` itself, with one line that may be wrong."""

    def __init__(self, shape, weight=1.0, analytic=1.0, std=0.5, batch=False, drop=False, **more):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = nn.Linear(prod(shape), 4), nn.Linear(2, prod(shape))
        nn.init.normal_(self.encoder.weight, std=0.3)
        self.weight, self.analytic, self.std = weight, analytic, std
        self.batch, self.drop, self.more = batch, drop, more

    def terms(self, y, noise, samples=1):
        x = y.float()
        if self.batch:
            x = x - x.mean(0)
        if self.drop:
            x = nn.functional.dropout(x)
        loc, log_variance = self.encoder(x).chunk(2, -1)
        posterior = DiagonalNormal(loc, 0.5 * log_variance)
        eps = noise.normal(samples, len(y), 2)
        z = loc + (self.std * log_variance).exp() * eps
        logits = self.decoder(z)
        log_y = -nn.functional.binary_cross_entropy_with_logits(
            logits, y.float().expand_as(logits), reduction="none"
        )
        reconstruction = log_y.mean(-1) if self.more.get("mean") else log_y.sum(-1)
        prior = DiagonalNormal(torch.zeros(1, 2), torch.zeros(1, 2)).log_prob(z)
        kl = 0.5 * (loc**2 + log_variance.exp() - 1 - log_variance).sum(-1)
        if self.more.get("nan"):
            reconstruction = reconstruction / (y[:, 0] * 0).float()
        if "inside" in self.more:  # a KL weight that no separate term shows
            kl = posterior.log_prob(z) - prior
            return Terms(reconstruction - self.more["inside"] * kl)
        return Terms(
            reconstruction,
            self.weight * prior + self.more.get("constant", 0.0),
            self.more.get("q", self.weight) * posterior.log_prob(z),
            z,
            kl_analytic=self.analytic * kl,
        )


class OwnFlow(nn.Module):
    """A normal on dequantized pixels that answers ``terms``, and draws its noise itself."""

    def __init__(self, shape, width=1.0):
        super().__init__()
        self.mean, self.width = nn.Parameter(torch.linspace(0.2, 0.8, prod(shape))), width

    def terms(self, y, noise, samples=1):
        x = (y + self.width * noise.uniform(samples, *y.shape)) / 17
        density = -0.5 * (x - self.mean).square() - 0.5 * log(2 * torch.pi)
        return Terms(density.sum(-1) - y.shape[1] * log(17))


def source_of(make) -> Source:
    return Source("own.py:make", "own.py", "make", make, Path("/nowhere"), "", frozenset())


def checked(make, data, images=None, small=True):
    """Return the findings of all checks of a function that makes a model."""
    source = source_of(make)
    wanted = Wanted(data.shape, data.task.levels, images)
    model = source.build(data.shape, data.task.levels).eval()
    found = check_source(source, model, wanted, 1) if small else []
    return found + check_model(adapt(model, wanted), data, 1, CPU)
