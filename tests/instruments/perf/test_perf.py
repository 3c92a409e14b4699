"""Timings that are compared must be of the same work."""

import pandas as pd
import pytest
import torch

from bench.configuration.models import build_model
from bench.configuration.parsing import parse_run
from bench.densities.mixture_table import MixtureTable
from bench.densities.normal import LOG_2PI
from bench.estimators.evidence import importance_weighted_bound
from bench.estimators.weights import weighted_bound
from bench.inspection.local_posteriors import LocalOptimization
from bench.instruments.perf import local_optimization
from bench.instruments.perf.annealing import annealed, gated_vae
from bench.instruments.perf.annealing import one_image_at_a_time as one_annealed_image_at_a_time
from bench.instruments.perf.bolts_epoch import bolts_epoch, bolts_vae
from bench.instruments.perf.driver import growth_markdown, markdown
from bench.instruments.perf.estimators import (
    REGIMES,
    broadcast,
    encoded,
    library,
    one_image_at_a_time,
)
from bench.instruments.perf.figure import draw
from bench.instruments.perf.floors import layer_sizes, products
from bench.instruments.perf.idle import table_texts, write_made_up
from bench.instruments.perf.interleaved import compare, interleave
from bench.instruments.perf.sizes import FULL
from bench.instruments.perf.training import (
    ARCHITECTURES,
    SHALLOW,
    Architecture,
    HandWrittenVAE,
    vae_options,
)
from bench.instruments.perf.vampprior_loop import VampPriorVAE, vampprior_epoch
from bench.noise import Noise
from bench.report.reduce import PARALLEL_FROM, load_sweep
from tests.made_up import record


def test_a_comparison_is_the_median_ratio_of_pairs_with_its_interval():
    row = compare("a", "b", "s", [1.0, 2.0, 1.0, 1.0], [2.0, 4.0, 2.0, 6.0], target=2.5)
    assert row.ratio == 2.0 and row.low == 2.0 and 2.0 <= row.high <= 6.0
    assert row.met is False and compare("a", "b", "s", [1.0], [1.0]).met is None


def test_work_is_interleaved():
    done, reports = [], []
    other = lambda: done.append("p") or float(len(done))
    progress = lambda *report: reports.append(report)
    ours, other = interleave(lambda: done.append("o"), other, 3, progress, "a pair")
    assert done == ["o", "p"] * 4 and len(ours) == 3 and other == [4.0, 6.0, 8.0]
    assert reports == [(0, "a pair"), (1 / 3, "a pair"), (2 / 3, "a pair")]


@pytest.mark.parametrize("regime", REGIMES)
def test_the_alternatives_give_the_same_aggregated_posterior(regime):
    components, weights, z = encoded(regime, 1500)
    exact = MixtureTable(components, weights).log_prob(z[:60])
    for way in (broadcast, library):
        torch.testing.assert_close(
            way(components, weights, z[:60]).double(), exact, atol=2e-3, rtol=1e-5
        )


def test_the_bound_of_one_image_at_a_time_is_the_same_bound():
    config = parse_run(vae_options(Architecture("", (20,), "relu", 2), 100, 1))
    model = build_model(config, (1, 28, 28), 2).eval()
    y = torch.randint(2, (3, 784), dtype=torch.uint8)
    with torch.no_grad():
        ours, variance = importance_weighted_bound(model, y, 2000, 0)
        other = one_image_at_a_time(model, y, 2000).double()
    assert ((ours - other).abs() < 6 * (2 * variance).sqrt() + 1e-3).all()


def test_the_local_optimization_of_one_image_at_a_time_finds_the_same():
    config = parse_run(vae_options(Architecture("", (20,), "relu", 2), 100, 1))
    model = build_model(config, (1, 28, 28), 2).eval()
    y = torch.randint(2, (3, 784), dtype=torch.uint8)
    how = LocalOptimization(steps=60, most_stages=1)
    start, ours, other = (
        torch.cat(parts, dim=1)
        for parts in (
            (model.posterior(y).loc, model.posterior(y).log_scale),
            local_optimization.optimize_block(model, y, how),
            local_optimization.one_image_at_a_time(model, y, how),
        )
    )
    assert (ours - other).norm() < 0.3 * (start - other).norm()


def test_the_loop_over_images_anneals_the_same_posterior():
    """The same bound of the same images by other noise, from an untrained encoder."""
    model = gated_vae()
    y = (torch.rand(4, 784, generator=torch.Generator().manual_seed(0)) < 0.5).to(torch.uint8)
    ours, other = (way(model, y, 6) for way in (annealed, one_annealed_image_at_a_time))
    bounds = [weighted_bound(weights) for weights in (ours, other)]
    # The loop leaves out the constants of the prior's density.
    difference = bounds[0].value - (bounds[1].value - 20 * LOG_2PI)
    error = (bounds[0].variance + bounds[1].variance).sqrt()
    assert (difference.abs() < 5 * error + 0.05).all() and (error < 0.5).all()


def test_the_hand_written_loop_trains_the_same_network():
    for architecture in ARCHITECTURES:
        by_hand = HandWrittenVAE(architecture)
        config = parse_run(vae_options(architecture, 100, 1))
        ours = build_model(config, (1, 28, 28), 2)
        shapes = lambda model: sorted(tuple(p.shape) for p in model.parameters())
        assert shapes(by_hand) == shapes(ours)


def test_lightning_bolts_trains_the_same_network_by_its_own_step(monkeypatch, tmp_path):
    """24 images in batches of 10 are three of its steps, and leave no files."""
    vae = bolts_vae()
    shapes = lambda model: [tuple(p.shape) for p in model.parameters() if p.dim() == 2]
    split = shapes(HandWrittenVAE(SHALLOW))
    split[1:2] = [(20, 400), (20, 400)]
    assert sorted(shapes(vae)) == sorted(split)
    assert type(vae).__module__.startswith("pl_bolts.")
    seen, original = [], type(vae).training_step

    def step(self, batch, number):
        loss = original(self, batch, number)
        seen.append((batch[0].shape, loss.item(), self.decoder[0].weight.clone()))
        return loss

    monkeypatch.setattr(type(vae), "training_step", step)
    monkeypatch.chdir(tmp_path)
    bolts_epoch(24, 10)()
    assert [tuple(shape) for shape, *_ in seen] == [(10, 784), (10, 784), (4, 784)]
    assert not seen[0][2].equal(seen[2][2])
    assert not list(tmp_path.iterdir())


def test_the_vampprior_loop_computes_our_objective(monkeypatch):
    """On the same weights and noise; their layers are halves of ours."""
    theirs = VampPriorVAE(pseudo_inputs=7)
    config = parse_run(
        ["--data=mnist-dynamic", "--model=gated_vamp_vae", "--model.prior.pseudo_inputs=7"]
    )
    ours = build_model(config, (1, 28, 28), 2).train()
    joined = lambda a, b: {
        name: torch.cat([getattr(a, name).data, getattr(b, name).data])
        for name in ("weight", "bias")
    }
    for stack, network in (
        (theirs.encoder, ours.posterior.network),
        (theirs.decoder, ours.decoder_network),
    ):
        for gated, layer in zip(stack, network.layers[0::2]):
            layer.load_state_dict(joined(gated.value, gated.gate))
    ours.posterior.network.layers[-1].load_state_dict(joined(theirs.mean, theirs.log_variance))
    ours.decoder_network.layers[-1].load_state_dict(theirs.pixels.state_dict())
    theirs.pseudo_inputs.weight.data.uniform_(-0.2, 1.2)
    ours.prior.pseudo_inputs.data = theirs.pseudo_inputs.weight.data.T.clone()
    x = torch.randint(2, (5, 784)).float()
    monkeypatch.setattr(torch, "randn_like", lambda like: Noise(0).normal(1, *like.shape)[0])
    loss, reconstruction, kl = theirs.loss(x)
    terms = ours.terms(x, Noise(0), 1)
    torch.testing.assert_close(-ours.objective(terms, 1.0).mean(), loss, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(terms.reconstruction.mean(), reconstruction, rtol=1e-5, atol=1e-3)


def test_an_epoch_of_the_vampprior_loop_trains_on_normalized_gradients(monkeypatch):
    """24 images in batches of 10 are three steps, of which each moves every tensor."""
    seen, moved = [], []
    loss, step = VampPriorVAE.loss, torch.optim.Adam.step

    def noted_loss(self, x):
        seen.append((tuple(x.shape), set(x.unique().tolist())))
        return loss(self, x)

    def noted_step(self):
        parameters = [p for group in self.param_groups for p in group["params"]]
        norms = [p.grad.norm().item() for p in parameters]
        before = [p.detach().clone() for p in parameters]
        step(self)
        moved.append(all(not p.equal(old) for p, old in zip(parameters, before)))
        assert norms == pytest.approx([1.0] * len(norms), abs=1e-2)

    monkeypatch.setattr(VampPriorVAE, "loss", noted_loss)
    monkeypatch.setattr(torch.optim.Adam, "step", noted_step)
    torch.manual_seed(0)
    vampprior_epoch(24, 10, 7)()
    assert seen == [((10, 784), {0.0, 1.0}), ((10, 784), {0.0, 1.0}), ((4, 784), {0.0, 1.0})]
    assert moved == [True] * 3


def test_the_floor_is_the_products_of_a_pass(monkeypatch):
    done = []
    original = torch.mm
    monkeypatch.setattr(
        torch,
        "mm",
        lambda a, b, out: done.append((*a.shape, b.shape[1])) or original(a, b, out=out),
    )
    model = torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.Linear(5, 3))
    products(layer_sizes(model), 10, backward=False)()
    assert done == [(10, 7, 5), (10, 5, 3)]
    done.clear()
    products(layer_sizes(model), 10, backward=True)()
    # Forward, gradients of the weights, and of the inputs but the first: 2 + 2 + 1.
    assert sorted(done) == [(3, 10, 5), (5, 10, 7), (10, 3, 5), (10, 5, 3), (10, 7, 5)]


def test_made_up_runs_have_rows_of_their_own_in_every_table(tmp_path):
    write_made_up(record("m", 1, 2.0), 25, tmp_path)
    rows = [text.count("\n") - 1 for text in table_texts(load_sweep(tmp_path), "made-up")]
    assert rows == [25, 50, 25] and max(FULL.runs) < PARALLEL_FROM


def test_tables_and_figure_show_missed_targets(tmp_path):
    rows = [compare("x", "y", "ms", [2.0], [1.0], 1.0), compare("x", "z", "ms", [1.0], [3.0])]
    table = pd.DataFrame([vars(row) | {"met": row.met} for row in rows])
    text = markdown(table)
    assert "**0.50**" in text and "| 3.00 |" in text
    draw(table, tmp_path / "perf.png")
    assert (tmp_path / "perf.png").stat().st_size > 5000
    growth = {"what": "w", "quantity": "seconds", "size": "n", "smallest": 1, "largest": 100}
    growth |= {"exponent": 1.98, "expected": 2, "at_largest": 0.5}
    assert "| 1.98 | 2 |" in growth_markdown(pd.DataFrame([growth]))
