"""Bits back: images come back identical, and the message is as long as −ELBO says."""

from dataclasses import replace
from functools import lru_cache, partial
from math import log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy
from scipy.special import xlogy

from bench.data.tasks import Task, load_task
from bench.densities.decoders import Bernoulli, Categorical, Gaussian
from bench.densities.discretized import DiscretizedGaussian, DiscretizedLogistic
from bench.densities.posteriors import FlowPosterior, FullCovariancePosterior
from bench.densities.priors import Aggregate, Flow, Mixture, StandardNormal, Vamp
from bench.errors import InputError
from bench.instruments.bits_back import rows
from bench.instruments.bits_back.chain import BitsBack, Message, one_thread
from bench.instruments.bits_back.stack import BitStack, frequencies
from bench.instruments.codec_tables import write_bits_back, write_codecs
from bench.models.reference import Uniform
from bench.models.vae import VAE
from bench.networks.mlp import MLP
from bench.noise import Noise
from bench.runs.trained import Trained
from tests.conftest import patience
from tests.small_models import config_of

SHAPE, LATENT = (1, 2, 3), 3
DIMENSIONS = 6
# Decoders with the levels that they are tried on.
DECODERS = [
    (Bernoulli, 2),
    (Categorical, 3),
    (DiscretizedLogistic, 17),
    (DiscretizedLogistic, 256),
    (DiscretizedGaussian, 256),
]
NETWORKS = {name: partial(MLP, widths=[32]) for name in ("encoder", "decoder_network")}
PRIORS = [StandardNormal, Mixture, Vamp, Aggregate]


def small_vae(decoder=Bernoulli, levels=2, prior=StandardNormal, seed=0, spread=1.0, shape=SHAPE):
    """Return a VAE with random weights, ``spread`` times as large as those that training starts from."""
    torch.manual_seed(seed)
    model = VAE(shape, levels, LATENT, decoder=decoder, prior=prior, **NETWORKS)
    for name, weight in model.named_parameters():
        if "network" in name:
            weight.data.mul_(spread)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(levels, (20, model.decoder.dimensions), generator=generator)
    model.attach(drawn.to(torch.uint8))
    return model.eval()


def random_images(levels, n, seed=0, dimensions=DIMENSIONS):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(levels, (n, dimensions), generator=generator).to(torch.uint8)


@given(
    of_numpy.arrays(
        float, st.tuples(st.integers(1, 4), st.integers(3, 40)), elements=st.floats(0, 1)
    ),
    st.booleans(),
)
def test_frequencies_sum_to_the_exact_power_of_two_and_none_is_0(cumulative, is_sorted):
    """Also of sums that rounding made decrease, and that do not end at 1."""
    found = frequencies(np.sort(cumulative, axis=1) if is_sorted else cumulative)
    assert found.min() >= 1 and (found.sum(1) == 2**24).all()


def test_frequencies_are_in_proportion():
    probability = np.random.default_rng(0).dirichlet(np.full(256, 0.2), 50)
    cumulative = np.pad(probability.cumsum(1), ((0, 0), (1, 0)))
    found = frequencies(cumulative) / 2**24
    # Each of 256 symbols has one at least; the others are shared, up to rounding at both ends.
    np.testing.assert_allclose(found, probability, atol=257 / 2**24)
    loss = xlogy(probability, probability / found).sum(1) / log(2)
    assert loss.max() < 1e-4  # bits per pixel
    with pytest.raises(InputError, match="not all finite"):
        frequencies(np.array([[0, np.nan, 1]]))


def test_the_coder_uses_these_frequencies_and_no_others():
    """The lowest 24 bits of its state say which symbol is on top: at both ends of each interval."""
    cumulative = np.sort(np.random.default_rng(1).random((20, 30)), axis=1)
    for row in cumulative:
        found = frequencies(row[None])[0]
        ends = np.append(0, found.cumsum())
        for symbol in range(len(found)):
            for state in (ends[symbol], ends[symbol + 1] - 1):
                stack = BitStack(np.array([7, int(state), 5], np.uint32))
                assert stack.pop(row[None]) == [symbol]


@pytest.mark.parametrize("decoder, levels", DECODERS)
@pytest.mark.parametrize("prior", PRIORS)
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_decoded_images_are_identical(decoder, levels, prior, data):
    """Of images that the model finds likely and of others, with extreme weights too."""
    seed, spread = data.draw(st.integers(0, 99)), data.draw(st.sampled_from([0.1, 1.0, 10.0]))
    codec = BitsBack(small_vae(decoder, levels, prior, seed, spread), data.draw(st.integers(1, 20)))
    elements = st.integers(0, levels - 1)
    images = data.draw(of_numpy.arrays(np.uint8, (3, DIMENSIONS), elements=elements))
    images = torch.from_numpy(images)
    message = codec.compress(images)
    assert message.bits <= 32 * len(message.words) and message.start_up_bits > 0
    assert torch.equal(codec.decompress(message), images)


def rate(codec, images):
    """Return the bits of each image, without those of the start."""
    return codec.compress(images).net_bits / len(images)


def exact_bits(codec, images):
    """Return −ELBO, its error with one z for each image, and −log2 P(y): sums over all bins of one z."""
    bins = codec.bins
    index = np.arange(2**codec.latent_bits)
    z = torch.tensor(np.stack([bins.medians(np.array([i])) for i in index]), dtype=torch.float32)
    means, variances, evidence = [], [], []
    with torch.no_grad():
        outputs = codec.model.decode(z)
        for y in images:
            q = np.diff(codec.posterior(y)(np.arange(len(index) + 1)[None])[0])
            likelihood = codec.model.decoder.log_prob(outputs[:, None], y[None], Noise(0))
            joint = likelihood[:, 0].double().numpy() - codec.latent_bits * log(2)
            bits = (np.log(np.maximum(q, 1e-300)) - joint) / log(2)
            means.append(q @ bits)
            variances.append(q @ (bits - means[-1]) ** 2)
            evidence.append(-np.logaddexp.reduce(joint) / log(2))
    return np.mean(means), sum(variances) ** 0.5 / len(images), np.mean(evidence)


@pytest.mark.parametrize("decoder, levels", [(Bernoulli, 2), (DiscretizedLogistic, 17)])
def test_the_rate_is_the_elbo_of_the_model_with_bins_and_not_below_its_evidence(decoder, levels):
    """Both are sums over 32 bins of one latent dimension; the rate's error is that of random z."""
    torch.manual_seed(3)
    model = VAE(SHAPE, levels, 1, decoder=decoder, **NETWORKS)
    model.attach(random_images(levels, 20, 1))
    for weight in model.decoder_network.parameters():
        weight.data.mul_(2)
    codec = BitsBack(model.eval(), 5)
    images = random_images(levels, 300)
    elbo, stderr, evidence = exact_bits(codec, images)
    found = rate(codec, images)
    assert stderr < 0.05 * elbo
    assert abs(found - elbo) < 4 * stderr + 0.2  # whole words, and integers for probabilities
    assert found > evidence


def test_z_is_drawn_from_the_posterior_whatever_z_the_stack_held_before():
    """Uncleaned, one z in 1.5 ± 0.1 would choose the next at its own quantile under the prior, 0.93."""
    model = small_vae()
    last = model.posterior.network.layers[-1]
    last.weight.data.zero_()
    last.bias.data.copy_(torch.tensor([1.5] * LATENT + [2 * log(0.1)] * LATENT))
    codec, drawn = BitsBack(model, 16), []
    likelihood = codec.likelihood
    codec.likelihood = lambda index: (drawn.append(codec.bins.medians(index)), likelihood(index))[1]
    codec.compress(random_images(2, 300))
    z = np.array(drawn)
    np.testing.assert_allclose(z.mean(0), 1.5, atol=4 * 0.1 / 300**0.5)
    np.testing.assert_allclose(z.std(0), 0.1, rtol=4 / 600**0.5)


@lru_cache
def trained_vae(prior):
    """Return a VAE after 200 steps on binary digits, and the test images."""
    data = load_task(Task("digits", "threshold"))
    torch.manual_seed(0)
    model = VAE(data.shape, 2, LATENT, decoder=Bernoulli, prior=prior, **NETWORKS)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(200):
        y = data.train[torch.randint(len(data.train), (100,))]
        optimizer.zero_grad()
        (-model.objective(model.terms(y, Noise(step)), 1.0).mean()).backward()
        optimizer.step()
    return model.eval(), data.test[:100]


@pytest.mark.parametrize("prior, cost_of_two_bins", [(StandardNormal, 1.0), (Mixture, 0.0)])
def test_the_rate_is_the_models_own_elbo_and_two_bins_cost_more(prior, cost_of_two_bins):
    """That of ``terms``, which knows nothing of bins and of integers."""
    model, images = trained_vae(prior)
    with torch.no_grad():
        elbo = -model.terms(images, Noise(1), 10).elbo.double() / log(2)
    # Of a mean over images with one z each.
    stderr = (elbo.var(0).sum() / len(images) ** 2).sqrt().item()
    assert stderr < 0.4
    assert abs(rate(BitsBack(model, 12), images) - elbo.mean().item()) < 4 * stderr
    assert rate(BitsBack(model, 1), images) > elbo.mean().item() + cost_of_two_bins


def test_bits_grow_linearly_and_those_of_the_start_do_not():
    codec = BitsBack(small_vae(), 16)
    images = random_images(2, 100)
    messages = [codec.compress(images.repeat(times, 1)) for times in (1, 2, 4)]
    net = [message.net_bits for message in messages]
    assert net[1] == pytest.approx(2 * net[0], rel=0.1)
    assert net[2] == pytest.approx(4 * net[0], rel=0.1)
    for message in messages:
        # What chooses z: 16 bits in each of 3 dimensions, less its KL, and up to two whole words.
        assert 16 * LATENT - 30 < message.start_up_bits < 16 * LATENT + 64 + 30


def test_images_come_back_in_another_process_with_another_number_of_threads(warm, tmp_path):
    codec = BitsBack(small_vae(DiscretizedLogistic, 256, Vamp), 12)
    images = random_images(256, 5)
    np.save(tmp_path / "words.npy", codec.compress(images).words)
    code = (
        "import sys, numpy, torch; torch.set_num_threads(4)\n"
        "from tests.instruments.test_bits_back import *\n"
        "codec = BitsBack(small_vae(DiscretizedLogistic, 256, Vamp), 12)\n"
        "found = codec.decompress(Message(numpy.load(sys.argv[1]), 5, 0, 0))\n"
        "assert torch.get_num_threads() == 4\n"
        "print(torch.equal(found, random_images(256, 5)))"
    )
    done = warm.run("-c", code, str(tmp_path / "words.npy"), timeout=patience(120))
    assert done.stdout.strip() == "True", done.stderr


def test_floats_of_an_image_depend_on_nothing_but_the_image():
    """Not on its place among others, and not on the alignment of its memory."""
    codec = BitsBack(small_vae(spread=3.0), 12)
    images, edges = random_images(2, 7), np.arange(2**12 + 1)[None].repeat(LATENT, 0)
    with torch.no_grad(), one_thread():
        alone = codec.posterior(images[4].clone())(edges)
        np.testing.assert_array_equal(codec.posterior(images[4])(edges), alone)
        moved = torch.cat([images[2:5].flatten()])[2 * DIMENSIONS :]
        np.testing.assert_array_equal(codec.posterior(moved)(edges), alone)


def test_a_message_of_other_floats_is_noticed():
    codec, images = BitsBack(small_vae(), 12), random_images(2, 20)
    message = codec.compress(images)
    other = small_vae()
    other.decoder_network.layers[0].weight.data.mul_(1.001)
    altered = message.words.copy()
    altered[0] ^= 1
    empty = np.empty(0, np.uint32)
    for codec_tried, words in (
        (BitsBack(other, 12), message.words),
        (codec, altered),
        (codec, message.words[:-1]),
        (codec, empty),
        (codec, np.zeros(3, np.uint32)),
    ):
        with pytest.raises(InputError, match="start-up bits"):
            codec_tried.decompress(Message(words, 20, 0, 0))


def test_what_cannot_be_coded_is_refused_in_one_line():
    with pytest.raises(InputError, match="Uniform is no VAE"):
        BitsBack(Uniform(SHAPE, 2).eval())
    with pytest.raises(InputError, match="densities and no probabilities"):
        BitsBack(small_vae(Gaussian))
    with pytest.raises(InputError, match="FlowDensity has no code"):
        BitsBack(small_vae(prior=Flow))
    for posterior in (FullCovariancePosterior, FlowPosterior):
        model = VAE(SHAPE, 2, LATENT, decoder=Bernoulli, posterior=posterior, **NETWORKS)
        with pytest.raises(InputError, match=f"{posterior.__name__} has no code"):
            BitsBack(model.eval())
    with pytest.raises(InputError, match="from 1 to 20"):
        BitsBack(small_vae(), 21)
    codec = BitsBack(small_vae())
    for images, words in (
        (random_images(3, 40), "values below 2"),
        (random_images(2, 4).float(), "must be uint8"),
        (random_images(2, 4, dimensions=7), r"\(n, 6\) is needed"),
        (random_images(2, 0), r"\(n, 6\) is needed"),
    ):
        with pytest.raises(InputError, match=words):
            codec.compress(images)


@pytest.fixture
def trained():
    """Return a VAE after 200 steps as if it came from a checkpoint, with 60 test images."""
    model, _ = trained_vae(StandardNormal)
    data = load_task(Task("digits", "threshold"))
    data = replace(data, test=data.test[:60])
    return Trained(model, data, config_of("bernoulli_vae"), "bernoulli_vae", 1)


def test_rows_hold_what_is_sent_beside_the_bounds(trained, monkeypatch, tmp_path):
    monkeypatch.setattr(rows, "load_trained", lambda path: trained)
    monkeypatch.setattr(rows, "FEWER_LATENT_BITS", (1,))
    shares = []
    opened = rows.open_checkpoint("one.ckpt", 12)
    coded = rows.measure_codec(*opened, 50, lambda share, text: shares.append(share))
    assert shares == sorted(shares) and 0 <= shares[0] and shares[-1] < 1
    sent, two_bins = coded.rows
    assert (sent["latent_bits"], two_bins["latent_bits"], sent["n"]) == (12, 1, 60)
    assert abs(sent["bits_above_elbo"]) < 4 * sent["bits_above_elbo_stderr"]
    assert sent["importance_bits_per_dim"] < sent["elbo_bits_per_dim"]
    assert two_bins["bits_above_elbo"] > 0 and two_bins["importance_samples"] is None
    start_up = sent["start_up_bits"] / (60 * 64)
    assert sent["bits_per_dim_with_start_up"] == pytest.approx(sent["bits_per_dim"] + start_up)
    whole, bare = coded.codecs
    assert bare["bits_per_dim"] == pytest.approx(sent["bits_per_dim"], abs=8 / (60 * 64))
    # The header, and the last word's bits that are not used.
    above = whole["bytes"] - sent["bits_per_dim_with_start_up"] * 60 * 64 / 8
    assert rows.HEADER_BYTES <= above < rows.HEADER_BYTES + 4
    assert min(coded.speed[name] for name in ("compress", "decompress", "networks")) > 0


def test_tables_keep_the_rows_that_were_not_measured_again(trained, monkeypatch, tmp_path):
    monkeypatch.setattr(rows, "load_trained", lambda path: trained)
    monkeypatch.setattr(rows, "FEWER_LATENT_BITS", ())
    opened = rows.open_checkpoint("one.ckpt", 12)
    coded = [rows.measure_codec(*opened, 10, lambda share, text: None)]
    published = Path("results/published/codecs/codecs.csv").read_text()
    old = [line for line in published.splitlines() if "bits back" not in line]
    path = tmp_path / "codecs.csv"
    path.write_text("".join(f"{line}\n" for line in old))
    for _ in range(2):
        assert len(write_codecs(path, [], coded)) == 2
        assert path.read_text().splitlines()[:-2] == old
    for _ in range(2):
        write_bits_back(tmp_path, coded)
    table = pd.read_csv(tmp_path / "bits_back.csv")
    assert list(table) == list(rows.BitsBackRow.__annotations__) and len(table) == 1
    assert list(pd.read_csv(tmp_path / "timings.csv")) == list(rows.Speed.__annotations__)
