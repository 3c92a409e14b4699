"""Which noise a draw has, and how many are computed at once."""

import pytest
import torch

from bench.densities.exemplar import Exemplar
from bench.densities.near_components import FEWEST_COMPONENTS, NearComponents
from bench.densities.priors import Aggregate
from bench.estimators import draws
from bench.estimators.draws import MOST_ROWS, JoinedNoise, drawn_weights, draws_at_once
from bench.estimators.evidence import diagnosed_bound
from bench.models.realnvp import RealNVP
from bench.models.vae import VAE
from bench.models.variational_realnvp import VariationalRealNVP
from bench.noise import Noise
from bench.system.devices import within_share

MIB = 2**20


def test_joined_noise_is_that_of_its_draws():
    joined = lambda: JoinedNoise([Noise("a", draw) for draw in range(3)])
    for kind in ("normal", "uniform", "words"):
        parts = [getattr(Noise("a", draw), kind)(10, 4, 2) for draw in range(3)]
        assert torch.equal(getattr(joined(), kind)(30, 4, 2), torch.cat(parts))
    flat = torch.cat([Noise("a", draw).normal(40, 2) for draw in range(3)])
    assert torch.equal(joined().normal(120, 2), flat)  # samples × data
    for shape in ((4, 2), (31, 4, 2), (45, 2)):
        with pytest.raises(ValueError, match="does not begin with the samples"):
            joined().uniform(*shape)
    with pytest.raises(ValueError, match="share no permutation"):
        joined().shared_permutation(5)


def test_a_cpu_computes_joined_draws_one_by_one_and_a_gpu_all_at_once():
    own = [Noise("a", draw) for draw in range(3)]
    joined = JoinedNoise(own)
    assert joined.separate() == own and own[0].separate() == [own[0]]
    joined.device = torch.device("cuda")
    assert joined.separate() == [joined]


@pytest.mark.parametrize(
    "model",
    [
        lambda: RealNVP((1, 4, 4), 4, couplings=2, widths=[8]),
        lambda: VariationalRealNVP((1, 4, 4), 4, couplings=2, widths=[8]),
        lambda: VAE((1, 4, 4), 4, 3),
    ],
    ids=["RealNVP", "VariationalRealNVP", "GaussianVAE"],
)
@torch.no_grad()
def test_draws_that_are_computed_at_once_have_the_noise_of_each(model):
    torch.manual_seed(0)
    made = model().eval()
    y = torch.randint(0, 4, (20, 16)).to(torch.uint8)
    one = [made.terms(y, Noise("key", draw), 10).elbo for draw in range(4)]
    joined = JoinedNoise([Noise("key", draw) for draw in range(4)])
    torch.testing.assert_close(made.terms(y, joined, 40).elbo, torch.cat(one), atol=1e-4, rtol=1e-5)


def test_a_draw_follows_the_key_alone_and_the_last_is_cut(monkeypatch):
    """Also where a pretended GPU computes three draws at once after it has measured the first."""
    counts = []

    def weights(noise, count):
        counts.append(count)
        return noise.normal(count, 5, 1)[..., 0]

    cpu = torch.device("cpu")
    expected = torch.cat([Noise("key", 7, draw).normal(10, 5, 1)[..., 0] for draw in range(9)])[:87]
    assert torch.equal(drawn_weights(weights, 87, cpu, ("key", 7), True), expected)
    assert counts == [10] * 9

    class Pretended:
        type = "cuda"

    counts.clear()
    monkeypatch.setattr(draws, "Noise", lambda *key, device: Noise(*key))
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 10 * MIB)
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda device: 12 * MIB)
    monkeypatch.setattr(draws, "usable_gpu_memory", lambda device: 13 * MIB)
    assert torch.equal(drawn_weights(weights, 87, Pretended(), ("key", 7), True), expected)
    assert counts == [10, 30, 30, 20]
    counts.clear()
    assert torch.equal(drawn_weights(weights, 87, Pretended(), ("key", 7)), expected)
    assert counts == [10] * 9


@pytest.mark.parametrize("prior", [Aggregate, Exemplar])
@torch.no_grad()
def test_a_prior_of_many_components_gets_the_draws_of_a_thousand_samples(prior, monkeypatch):
    """Decoded ten samples at a time with the same noise, also that of dequantization, as one by one."""
    torch.manual_seed(0)
    images = torch.randint(0, 4, (FEWEST_COMPONENTS, 16)).to(torch.uint8)
    made = VAE((1, 4, 4), 4, 3, prior=prior).eval()
    made.attach(images)
    decoded, near = [], []
    decode, log_prob = made.decode, NearComponents.log_prob
    monkeypatch.setattr(made, "decode", lambda z: decoded.append(len(z)) or decode(z))
    watched = lambda self, z: near.append(len(z)) or log_prob(self, z)
    monkeypatch.setattr(NearComponents, "log_prob", watched)
    at_once = diagnosed_bound(made, images[:5], 1015, "key")
    assert decoded == [10] * 102 and near == [1000]
    monkeypatch.setattr(VAE, "draws_at_once", 1)
    one_by_one = diagnosed_bound(made, images[:5], 1015, "key")
    assert near == [1000]
    torch.testing.assert_close(at_once.value, one_by_one.value, atol=1e-3, rtol=0)


def test_only_a_prior_of_many_components_has_draws_at_once():
    few = VAE((1, 4, 4), 4, 3, prior=Aggregate)
    few.attach(torch.zeros(FEWEST_COMPONENTS - 1, 16, dtype=torch.uint8))
    assert few.draws_at_once == VAE((1, 4, 4), 4, 3).draws_at_once == 1


def test_draws_at_once_fit_into_the_memory():
    assert draws_at_once(1000, needed=8 * MIB, usable=80_000 * MIB) == MOST_ROWS // 1000 == 65
    assert draws_at_once(1000, needed=8 * MIB, usable=160 * MIB) == 10
    assert draws_at_once(1000, needed=800 * MIB, usable=160 * MIB) == 1
    assert draws_at_once(10**6, needed=0, usable=0) == 1


def test_a_share_of_a_gpu_is_not_exceeded():
    whole = within_share(1.0, free=60 * MIB, total=80 * MIB, allocated=5 * MIB, reserved=15 * MIB)
    assert whole == 70 * MIB  # with what the allocator holds and does not use
    assert within_share(0.25, 60 * MIB, 80 * MIB, 5 * MIB, 15 * MIB) == 15 * MIB
    assert within_share(0.25, 60 * MIB, 80 * MIB, 30 * MIB, 30 * MIB) == 0
