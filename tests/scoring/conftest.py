"""A folder with models of one's own, as a user has it."""

import os

import pytest

from bench.__main__ import main

MODELS = """
from math import prod

import torch
from pytorch_lightning import LightningModule
from torch import nn
from torch.distributions import Bernoulli, Independent

from parts import linear


class Plain(nn.Module):
    likelihood = "Bernoulli"

    def __init__(self, shape, latent=3):
        super().__init__()
        self.encoder, self.decoder = linear(prod(shape), 2 * latent), linear(latent, prod(shape))

    def encode(self, x):
        return self.encoder(x).chunk(2, -1)

    def decode(self, z):
        return self.decoder(z)


class Module(LightningModule):
    likelihood = "Bernoulli"

    def __init__(self, dimensions, latent):
        super().__init__()
        self.save_hyperparameters()
        self.encoder, self.decoder = linear(dimensions, 2 * latent), linear(latent, dimensions)

    encode, decode = Plain.encode, Plain.decode


def coins(shape):
    return Independent(Bernoulli(torch.full(shape, 0.25)), 3)


def broken():
    return 1 / 0


def needs(width):
    return None


def bits(shape):
    model = coins(shape)
    model.log_prob = lambda y: Independent(Bernoulli(torch.full(shape, 0.25)), 3).log_prob(y) / 0.6931
    return model


drawn = coins((1, 8, 8))
"""
PARTS = """
import torch
from torch import nn


def linear(inputs, outputs):
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs)
"""
FEW = "elbo_samples: 2\nimportance_samples: 21\nimportance_data: 100\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in (("own.py", MODELS), ("parts.py", PARTS), ("few.yaml", FEW)):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def score(folder, capsys):
    """Return a function that scores a model of own.py; it gives the exit code and what was printed."""

    def call(name, *more, data="digits-binary"):
        words = ["score", f"own.py:{name}", "--data", data, "--evaluation", "few.yaml"]
        code = main([*words, "--out", "scored", "--device", "cpu", *map(os.fspath, more)])
        printed = capsys.readouterr()
        return code, printed.out if code == 0 else printed.err

    return call
