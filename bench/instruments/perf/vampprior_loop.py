"""A VAE with a VampPrior, trained as the code of Tomczak & Welling 2018 trains it."""

import math

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bench.instruments.perf.interleaved import Work
from bench.instruments.perf.training import SIDE, random_images

LATENT, WIDTH = 40, 300


class GatedLayer(nn.Module):
    """(Ax + a) · σ(Bx + b), as two linear layers."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.value(x) * self.gate(x).sigmoid()


class VampPriorVAE(nn.Module):
    """Separate heads for mean and log-variance; pseudo-inputs are a layer on an identity matrix."""

    identity: Tensor

    def __init__(self, pseudo_inputs: int) -> None:
        super().__init__()
        gated = lambda first: nn.Sequential(GatedLayer(first, WIDTH), GatedLayer(WIDTH, WIDTH))
        self.encoder, self.decoder = gated(SIDE**2), gated(LATENT)
        self.mean, self.log_variance = nn.Linear(WIDTH, LATENT), nn.Linear(WIDTH, LATENT)
        self.pixels = nn.Linear(WIDTH, SIDE**2)
        self.pseudo_inputs = nn.Linear(pseudo_inputs, SIDE**2, bias=False)
        self.register_buffer("identity", torch.eye(pseudo_inputs))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x)
        return self.mean(h), self.log_variance(h).clamp(-6, 2)

    def log_prior(self, z: Tensor) -> Tensor:
        """Return log p(z), (batch,), from differences (batch, pseudo-inputs, latent)."""
        mean, log_variance = self.encode(self.pseudo_inputs(self.identity).clamp(0, 1))
        pairs = log_normal(z[:, None], mean[None], log_variance[None]) - math.log(len(mean))
        largest = pairs.max(1, keepdim=True)[0]
        return largest[:, 0] + (pairs - largest).exp().sum(1).log()

    def loss(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss, the reconstruction and the KL, in nats, means over the batch."""
        mean, log_variance = self.encode(x)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        p = self.pixels(self.decoder(z)).sigmoid().clamp(1e-5, 1 - 1e-5)
        reconstruction = (x * p.log() + (1 - x) * (1 - p).log()).sum(1).mean()
        kl = (log_normal(z, mean, log_variance) - self.log_prior(z)).mean()
        return kl - reconstruction, reconstruction, kl


def log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return log N(z; mean, exp(log_variance)) summed over the last dimension."""
    terms = math.log(2 * math.pi) + log_variance + (z - mean).square() / log_variance.exp()
    return -0.5 * terms.sum(-1)


def vampprior_epoch(images: int, batch: int, pseudo_inputs: int) -> Work:
    """Return an epoch over a DataLoader. Each step normalizes the gradient of each tensor and
    reads three numbers."""
    model = VampPriorVAE(pseudo_inputs)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4)
    grey = random_images(images).float().div(255)
    loader = DataLoader(TensorDataset(grey, torch.zeros(len(grey))), batch, shuffle=True)

    def epoch() -> None:
        totals = [0.0, 0.0, 0.0]
        for x, _ in loader:
            optimizer.zero_grad()
            terms = model.loss(torch.bernoulli(x))
            terms[0].backward()
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(parameter.grad.norm() + 1e-7)
            optimizer.step()
            totals = [total + term.item() for total, term in zip(totals, terms)]

    return epoch
