"""Each adapter against the library's own numbers, with the preprocessing derived by hand."""

import sys
from math import log, pi

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from bench import InputError, Noise
from bench.adapters.adapted import Wanted
from bench.adapters.choose import adapt
from bench.networks.bolts import bolts_module

SHAPE, LEVELS, D = (1, 2, 3), 5, 6
Y = torch.randint(0, LEVELS, (7, D), generator=torch.Generator().manual_seed(0)).byte()
NEEDED = "not installed; `make test-peers` tests it"


def library(name):
    return pytest.importorskip(name, reason=NEEDED)


def noisy(samples=2):
    """Return x = (y + u) / L as the definition has it, and the noise that u is drawn from."""
    return (Y + Noise("u").uniform(samples, *Y.shape)) / LEVELS, Noise("u")


def zuko():
    return library("zuko").flows.RealNVP(D, transforms=2, hidden_features=(8,))


def zuko_log_prob(flow, x):
    return flow().log_prob(x)


def nflows():
    flows, transforms = library("nflows.flows"), library("nflows.transforms")
    from nflows.distributions import StandardNormal

    layer = transforms.MaskedAffineAutoregressiveTransform(D, 8)
    return flows.Flow(layer, StandardNormal([D]))


def normflows(*more):
    library_of = library("normflows")
    net = library_of.nets.MLP([D // 2, 8, D], init_zeros=False)
    parts = [library_of.flows.AffineCouplingBlock(net), library_of.flows.Permute(D, mode="swap")]
    return library_of.NormalizingFlow(library_of.distributions.DiagGaussian(D), parts + list(more))


FLOWS = {
    "zuko": (zuko, zuko_log_prob),
    "nflows": (nflows, lambda flow, x: flow.log_prob(x)),
    "normflows": (normflows, lambda flow, x: flow.log_prob(x)),
}


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("images", ["dequantized", "dequantized:-1:1", "logit:0.05"])
def test_flows_have_their_own_log_prob_and_the_derivative_of_their_images(name, images):
    make, log_prob = FLOWS[name]
    torch.manual_seed(0)
    flow = make()
    adapted = adapt(flow, Wanted(SHAPE, LEVELS, images))
    assert adapted.adapter == name and name in adapted.libraries
    x, noise = noisy()
    x = x.double()
    if images == "logit:0.05":
        s = 0.05 + 0.9 * x
        given, derivative = s.logit(), (log(0.9) - s.log() - (1 - s).log()).sum(-1)
    elif images == "dequantized":
        given, derivative = x, 0.0
    else:
        given, derivative = 2 * x - 1, D * log(2)
    with torch.no_grad():
        own = log_prob(flow, given.float().flatten(0, 1)).view(2, 7).double()
        terms = adapted.model.terms(Y, noise, 2)
    assert torch.allclose(terms.elbo.double(), own + derivative - D * log(LEVELS), atol=1e-4)
    assert any(f"{D} · log {LEVELS}" in line for line in adapted.counted)
    assert ("+ the log-derivative of these logits" in adapted.counted) == (images == "logit:0.05")


def test_a_logit_inside_a_flow_of_normflows_is_not_counted_again():
    flow = normflows(library("normflows").transforms.Logit(0.05))
    x, noise = noisy()
    with torch.no_grad():
        own = flow.log_prob(x.flatten(0, 1)).view(2, 7)
        terms = adapt(flow, Wanted(SHAPE, LEVELS, "dequantized")).model.terms(Y, noise, 2)
    assert torch.allclose(terms.elbo, own - D * log(LEVELS), atol=1e-4)


def test_a_flow_over_images_gets_images_and_one_of_classes_is_refused():
    parts = library("normflows")
    base = parts.distributions.DiagGaussian(SHAPE)
    flow = parts.NormalizingFlow(base, [parts.flows.ActNorm((1, 1, 1))])
    adapted = adapt(flow, Wanted(SHAPE, LEVELS, "dequantized"))
    x, noise = noisy()
    with torch.no_grad():
        own = flow.log_prob(x.view(14, *SHAPE)).view(2, 7)
        assert torch.allclose(
            adapted.model.terms(Y, noise, 2).elbo, own - D * log(LEVELS), atol=1e-4
        )
    flow = parts.MultiscaleFlow([parts.distributions.ClassCondDiagGaussian(SHAPE, 3)], [[]], [])
    with pytest.raises(InputError, match="MultiscaleFlow is conditional on classes"):
        adapt(flow, Wanted(SHAPE, LEVELS, "dequantized"))


@pytest.mark.parametrize("shape", [(D,), SHAPE])
def test_a_distribution_over_integers_says_so_by_itself(shape):
    probability = torch.linspace(0.1, 0.9, D).view(shape)
    given = Independent(Bernoulli(probability), len(shape))
    y = (Y > 2).byte()
    adapted = adapt(given, Wanted(SHAPE, 2))
    p = probability.flatten()
    by_hand = (y * p.log() + (1 - y.float()) * (1 - p).log()).sum(1)
    assert torch.allclose(adapted.model.terms(y, Noise("u"), 1).elbo[0], by_hand, atol=1e-5)
    assert adapted.model.bound == "exact"
    with pytest.raises(InputError, match="Bernoulli is a distribution over 2 levels, not 5"):
        adapt(given, Wanted(SHAPE, LEVELS))
    with pytest.raises(InputError, match="Bernoulli is over integers|over integers, and --images"):
        adapt(given, Wanted(SHAPE, 2, "dequantized"))


def test_a_distribution_over_real_numbers_is_never_guessed():
    given = Independent(Normal(torch.full(SHAPE, 0.5), torch.full(SHAPE, 0.2)), 3)
    with pytest.raises(InputError, match="images: what does log_prob of Independent take"):
        adapt(given, Wanted(SHAPE, LEVELS))
    x, noise = noisy()
    terms = adapt(given, Wanted(SHAPE, LEVELS, "dequantized")).model.terms(Y, noise, 2)
    by_hand = -0.5 * ((x - 0.5) / 0.2) ** 2 - log(0.2 * (2 * pi) ** 0.5)
    assert torch.allclose(terms.elbo, by_hand.sum(-1) - D * log(LEVELS), atol=1e-4)
    with pytest.raises(InputError, match=r"a distribution over \(3,\) with batch shape \(1, 2\)"):
        adapt(Independent(Normal(torch.zeros(SHAPE), 1.0), 1), Wanted(SHAPE, LEVELS, "dequantized"))


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_a_saved_vae_of_pythae_has_its_own_loss(loss, tmp_path):
    models = library("pythae.models")
    from bench.scoring.score import read_given

    config = models.VAEConfig(input_dim=SHAPE, latent_dim=2, reconstruction_loss=loss)
    models.VAE(config).save(str(tmp_path / "final_model"))
    levels = 2 if loss == "bce" else LEVELS
    wanted = Wanted(SHAPE, levels)
    given = read_given(str(tmp_path / "final_model"), None, wanted)
    if loss == "mse":
        with pytest.raises(InputError, match="reconstruction_loss='mse'.*Gaussian:optimal"):
            adapt(given.made, wanted)
        wanted = Wanted(SHAPE, levels, likelihood="Gaussian:1")
    vae, y = adapt(given.made, wanted).model, Y.clamp(max=levels - 1)
    with torch.no_grad():
        terms = vae.terms(y, Noise("z"), 1)
        image, z = given.made.decoder(terms.latent[0]).reconstruction, terms.latent[0]
        code = given.made.encoder(y.view(7, *SHAPE) / (levels - 1))
        parts = (code.embedding, code.log_covariance, z)
        _, own, kl = given.made.loss_function(image, y.view(7, *SHAPE) / (levels - 1), *parts)
    assert terms.kl_analytic.mean() == pytest.approx(kl.item(), rel=1e-5)
    if loss == "bce":
        assert -terms.reconstruction.mean() == pytest.approx(own.item(), rel=1e-4)
        return
    # Its squared error is that at y / (L − 1), of a normal density without its constant.
    x = (y + noise_after(vae, y)) / LEVELS
    mean = (image.flatten(1) * (levels - 1) + 0.5) / levels
    by_hand = (-0.5 * (x - mean) ** 2 - 0.5 * log(2 * pi)).sum(1) - D * log(levels)
    assert torch.allclose(terms.reconstruction[0], by_hand, atol=1e-4)


def test_a_vamp_of_pythae_has_the_mixture_of_its_pseudo_inputs_as_its_prior():
    models = library("pythae.models")
    torch.manual_seed(0)
    config = models.VAMPConfig(
        input_dim=SHAPE, latent_dim=2, reconstruction_loss="bce", number_components=3
    )
    theirs, y = models.VAMP(config).eval(), Y.clamp(max=1)
    theirs.encoder.embedding.weight.data *= 30  # so that posteriors and components differ
    adapted = adapt(theirs, Wanted(SHAPE, 2))
    with torch.no_grad():
        terms = adapted.model.terms(y, Noise("z"), 1)
        z, images = terms.latent[0], y.view(7, *SHAPE).float()
        code = theirs.encoder(images)
        parts = (code.embedding, code.log_covariance, z, 1)
        loss, _, kl = theirs.loss_function(theirs.decoder(z).reconstruction, images, *parts)
        # Its prior leaves out the constant of a normal density of two dimensions.
        own = theirs._log_p_z(z) - log(2 * pi)
    assert torch.allclose(terms.log_prior[0].float(), own, atol=1e-5)
    difference = (terms.log_posterior - terms.log_prior).mean().item()
    assert difference == pytest.approx(kl.item(), rel=1e-4)
    assert -terms.elbo.mean().item() == pytest.approx(loss.item(), rel=1e-4)
    assert adapted.model.prior_name == "PseudoInputs"
    assert adapted.model.prior.density.sample(5, Noise("p")).shape == (5, 2)
    with pytest.raises(InputError, match="pythae's WAE_MMD has a prior or a posterior of its own"):
        adapt(
            models.WAE_MMD(models.WAE_MMD_Config(input_dim=SHAPE, latent_dim=2)), Wanted(SHAPE, 2)
        )


def noise_after(vae, y):
    """Return the u that follows z in the stream of a VAE's noise."""
    noise = Noise("z")
    vae.posterior(y).sample(noise, 1)
    return noise.uniform(1, *y.shape)[0]


@pytest.mark.filterwarnings("ignore:.*marked under review")
def test_a_vae_of_lightning_bolts_has_its_own_kl_and_squared_error():
    try:
        module = bolts_module("models.autoencoders.basic_vae.basic_vae_module")
    except InputError as error:
        pytest.skip(str(error))
    torch.manual_seed(0)
    theirs = module.VAE(input_height=8, latent_dim=3).eval()
    nn.init.constant_(theirs.fc_mu.bias, 1.0)
    shape, levels = (3, 8, 8), 8
    y = torch.randint(0, levels, (3, 192)).byte()
    with pytest.raises(InputError, match="lightning-bolts' VAE is trained by a mean squared error"):
        adapt(theirs, Wanted(shape, levels))
    adapted = adapt(theirs, Wanted(shape, levels, likelihood="Gaussian:0.5"))
    with torch.no_grad():
        terms = adapted.model.terms(y, Noise("z"), 1)
        h = theirs.encoder(y.view(3, *shape) / (levels - 1))
        p, q, _ = theirs.sample(theirs.fc_mu(h), theirs.fc_var(h))
        image = theirs.decoder(terms.latent[0]).flatten(1)
    assert adapted.adapter == "lightning-bolts"
    assert torch.allclose(terms.kl_analytic, kl_divergence(q, p).sum(1), rtol=1e-4)
    x = (y + noise_after(adapted.model, y)) / levels
    mean = (image * (levels - 1) + 0.5) / levels
    by_hand = -0.5 * ((x - mean) / 0.5) ** 2 - log(0.5 * (2 * pi) ** 0.5)
    expected = by_hand.sum(1) - 192 * log(levels)
    assert torch.allclose(terms.reconstruction[0], expected, rtol=1e-4)


class Own(nn.Module):
    """Whatever is given as its attributes."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


ENCODE, DECODE = (lambda x: (x[:, :2], -x[:, :2])), (lambda z: z.repeat(1, 3))
WRONG = [
    (Own(), None, "Own has none of log_prob, encode and decode, or terms"),
    (Own(log_prob=lambda x: x.sum(1)), None, "images: what does log_prob of Own take"),
    (Own(log_prob=lambda x: x, images="discrete"), None, "a number for each pixel; their sum"),
    (Own(log_prob=lambda x: x.mean(), images="discrete"), None, "one number for 2 images"),
    (Own(log_prob=lambda x: x.sum(1), images="pixels"), None, "images: 'pixels' is none of discrete"),
    (Own(log_prob=lambda x: x.sum(1), images="logit:1"), None, "alpha: 1.0 is not inside"),
    (Own(log_prob=lambda x: x.sum(1), images="discrete"), "logit:0.1", "leave one of them out"),
    (Own(log_prob=lambda x: x @ torch.ones(9, 1), images="discrete"), None, "log_prob fails for"),
    (Own(encode=ENCODE, decode=DECODE), None, "likelihood: which one are the outputs of decode for"),
    (Own(encode=ENCODE, decode=DECODE, likelihood="Poisson"), None, "likelihood: 'Poisson' is none"),
    (Own(encode=lambda x: x @ torch.ones(9, 2), decode=DECODE, likelihood="Categorical"), None,
     "encode or decode fails for"),
]  # fmt: skip


@pytest.mark.parametrize("model, images, words", WRONG, ids=[words for _, _, words in WRONG])
def test_what_cannot_be_adapted_is_one_line(model, images, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        adapt(model, Wanted(SHAPE, LEVELS, images))


@pytest.mark.parametrize(
    "likelihood, outputs",
    [
        ("Categorical", lambda z: z.repeat(1, 15).view(-1, LEVELS, D)),
        ("DiscretizedLogistic", lambda z: (z.repeat(1, 3), z.repeat(1, 3))),
        ("Gaussian", lambda z: (z.repeat(1, 3), z.repeat(1, 3))),
        ("Gaussian:0.3", DECODE),
        ("Gaussian:optimal", DECODE),
    ],
)
def test_a_vae_of_ones_own_names_its_likelihood(likelihood, outputs):
    model = Own(encode=ENCODE, decode=outputs)
    adapted = adapt(model, Wanted(SHAPE, LEVELS, likelihood=likelihood))
    assert adapted.said == {"likelihood": likelihood}
    assert any(f"log p(y|z): {likelihood} of the outputs" in line for line in adapted.counted)
    is_density = any("− D log L" in line for line in adapted.counted)
    assert is_density == likelihood.startswith("Gaussian")
    assert adapted.model.terms(Y, Noise("z"), 2).elbo.isfinite().all()


def test_a_missing_library_is_one_line(tmp_path, monkeypatch):
    from bench.scoring.score import read_given

    monkeypatch.setitem(sys.modules, "pythae", None)
    monkeypatch.setitem(sys.modules, "pythae.models", None)
    (tmp_path / "model_config.json").write_text("{}")
    with pytest.raises(InputError, match="pythae, which .* needs, cannot be imported"):
        read_given(str(tmp_path), None, Wanted(SHAPE, 2))
    (tmp_path / "own.py").write_text("import a_library_that_is_not_there\n")
    with pytest.raises(InputError, match="line 1 of own.py: ModuleNotFoundError: No module named"):
        read_given(f"{tmp_path}/own.py:build", None, Wanted(SHAPE, 2))
