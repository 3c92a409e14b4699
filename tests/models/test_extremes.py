"""Whatever the shape, the levels, the type of number and the image: finite terms, never NaN."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.densities.decoders import Bernoulli, Categorical, Gaussian
from bench.densities.discretized import DiscretizedGaussian, DiscretizedLogistic
from bench.densities.exemplar import Exemplar
from bench.densities.priors import Aggregate, Flow, Mixture, StandardNormal, Vamp
from bench.errors import InputError
from bench.models.realnvp import RealNVP
from bench.models.vae import VAE
from bench.models.variational_realnvp import VariationalRealNVP
from bench.networks.mlp import MLP, GatedMLP
from bench.noise import Noise

DECODERS = [Bernoulli, Gaussian, DiscretizedLogistic, DiscretizedGaussian, Categorical]
PRIORS = [StandardNormal, Mixture, Vamp, Aggregate, Exemplar, Flow]
IMAGES = {
    "all 0": lambda shape, levels: torch.zeros(shape),
    "all L − 1": lambda shape, levels: torch.full(shape, levels - 1.0),
    "random": lambda shape, levels: torch.randint(0, levels, shape).float(),
}
inputs = {
    "shape": st.sampled_from([(1, 1, 2), (1, 3, 5), (3, 4, 4)]),
    "levels": st.sampled_from([2, 17, 256]),
    "kind": st.sampled_from(sorted(IMAGES)),
    "dtype": st.sampled_from([torch.uint8, torch.int64, torch.float32]),
    "seed": st.integers(0, 100),
}


def images(shape, levels, kind, dtype, seed):
    torch.manual_seed(seed)
    dimensions = shape[0] * shape[1] * shape[2]
    training = torch.randint(0, levels, (20, dimensions), dtype=torch.uint8)
    training[:, 0] = 0  # a pixel that never changes
    return training, IMAGES[kind]((3, dimensions), levels).to(dtype)


def check(model, training, y, discrete):
    model.attach(training)
    terms = model.train().terms(y, Noise(1), samples=2, index=torch.arange(3))
    assert terms.elbo.shape == (2, 3)
    (-terms.elbo.mean()).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(g).all() for g in gradients)
    with torch.no_grad():
        evaluated = model.eval().terms(y, Noise(1), samples=2)
    assert torch.isfinite(evaluated.elbo).all()
    if discrete:
        assert (evaluated.reconstruction <= 1e-3).all()  # the logarithm of a mass


@settings(max_examples=60, deadline=None)
@given(
    **inputs,
    decoder=st.sampled_from(DECODERS),
    prior=st.sampled_from(PRIORS),
    network=st.sampled_from([MLP, GatedMLP]),
)
def test_vae(shape, levels, kind, dtype, seed, decoder, prior, network):
    training, y = images(shape, levels, kind, dtype, seed)
    small = lambda inputs, outputs: network(inputs, outputs, widths=[6])
    if decoder is Bernoulli and levels != 2:
        with pytest.raises(InputError, match="is a distribution over 2"):
            VAE(shape, levels, 2, small, small, decoder, prior)
        return
    model = VAE(shape, levels, 2, small, small, decoder, prior)
    check(model, training, y, decoder is not Gaussian)


@settings(max_examples=40, deadline=None)
@given(**inputs, mask=st.sampled_from(["checkerboard", "half"]), learned=st.booleans())
def test_flows(shape, levels, kind, dtype, seed, mask, learned):
    training, y = images(shape, levels, kind, dtype, seed)
    if learned:
        model = VariationalRealNVP(
            shape, levels, 2, [6], mask, dequantization_couplings=2, dequantization_widths=[6]
        )
    else:
        model = RealNVP(shape, levels, 2, [6], mask)
    check(model, training, y, discrete=False)
