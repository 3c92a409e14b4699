"""Likelihoods p(y|z), priors p(z) and posteriors q(z|y), by name: ``densities.Bernoulli``, …

A likelihood gets the outputs of a network for z, (…, outputs_per_dimension, D). Log-probabilities
are in nats, summed over the D dimensions:

>>> import torch
>>> from bench import Noise, densities
>>> likelihood = densities.Categorical(3, 5)  # three pixels of five levels
>>> outputs, y = torch.zeros(2, 1, 5, 3), torch.tensor([[0, 2, 4]])
>>> likelihood.log_prob(outputs, y, Noise(0))  # 3 log 1/5, for two samples of one image
tensor([[-4.8283],
        [-4.8283]])
>>> densities.Bernoulli(784, 256)
Traceback (most recent call last):
bench.errors.InputError: model.decoder: Bernoulli is a distribution over 2 levels, not 256; take a \
binarized task, or a Gaussian, DiscretizedLogistic or Categorical decoder
"""

from bench.densities.decoders import Bernoulli as Bernoulli
from bench.densities.decoders import Categorical as Categorical
from bench.densities.decoders import Decoder as Decoder
from bench.densities.decoders import Gaussian as Gaussian
from bench.densities.discretized import DiscretizedGaussian as DiscretizedGaussian
from bench.densities.discretized import DiscretizedLogistic as DiscretizedLogistic
from bench.densities.exemplar import Exemplar as Exemplar
from bench.densities.posteriors import FlowPosterior as FlowPosterior
from bench.densities.posteriors import FullCovariancePosterior as FullCovariancePosterior
from bench.densities.posteriors import NormalPosterior as NormalPosterior
from bench.densities.posteriors import Posterior as Posterior
from bench.densities.priors import Aggregate as Aggregate
from bench.densities.priors import Density as Density
from bench.densities.priors import Flow as Flow
from bench.densities.priors import Mixture as Mixture
from bench.densities.priors import Prior as Prior
from bench.densities.priors import StandardNormal as StandardNormal
from bench.densities.priors import Vamp as Vamp
from bench.densities.variational_gaussian import VariationalGaussian as VariationalGaussian
