"""Trained models beside a rate–distortion curve: which records are shown, and where."""

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from bench import Task, load_task
from bench.errors import InputError
from bench.estimators.estimate import Estimate
from bench.inspection.rate_distortion import CurvePoint, CurveSettings
from bench.inspection.rate_distortion_figure import COLORS, SHAPES, rate_distortion_figure
from bench.inspection.rate_distortion_table import curve_table
from bench.inspection.sections import caption_of_curve, rows_of_models
from bench.inspection.trained_points import SAMPLES, encoder_point, trained_points
from bench.records.tables import csv_text
from bench.runs.trained import Trained
from tests.inspection.test_bounds import small_vae
from tests.made_up import estimate, record


@pytest.fixture(scope="module")
def data():
    """The task of the records, with their hashes."""
    return replace(load_task(Task("digits")), payload_sha256={"digits": "a"}, split_sha256="b")


def trained(model, seed=1, beta=1.0, rate=20.0, distortion=80.0, **changes):
    """A record of a VAE with the terms of its ELBO."""
    made = record(model, seed, 2.0) | changes
    made["config"] = {"trainer": {"beta": beta}}
    terms = {"kl": estimate(rate), "reconstruction": estimate(-distortion)}
    made["metrics"] = {"train": {}, "test": made["metrics"]["test"] | terms}
    return made


def test_points_are_the_runs_of_the_task_in_order_and_each_once(data):
    records = [
        trained("b", 2, 1.0, 10.0, 90.0),
        trained("b beta=0.5", 1, 0.5, 30.0, 70.0),
        trained("a latent_dimensions=2", parameters=None),
        trained("elsewhere", task="digits-binary"),
        trained("bounds nothing", bound="none"),
        record("flow", 1, 2.0),
        record("failed", 1, 2.0, status="failed"),
    ]
    points = trained_points([*records, records[0]], data)
    assert [(p.model, p.beta, p.seed, p.weights) for p in points] == [
        ("a latent_dimensions=2", 1.0, 1, None), ("b", 0.5, 1, 5), ("b", 1.0, 2, 5),
    ]  # fmt: skip
    last = points[-1]
    assert last.rate == Estimate(10.0, 0.01, 300, 100, 0.1) and last.epochs == 3
    assert last.distortion == Estimate(90.0, 0.01, 300, 100, 0.1)


def test_what_cannot_be_shown_gets_a_line(data):
    with pytest.raises(InputError, match="no record in these folders is of a VAE on digits-17"):
        trained_points([record("flow", 1, 2.0)], data)
    with pytest.raises(InputError, match="other images"):
        trained_points([trained("a")], replace(data, split_sha256="c"))
    with pytest.raises(InputError, match="13 models"):
        trained_points([trained(f"model {number}") for number in range(13)], data)
    with pytest.raises(InputError, match="6 values of β"):
        trained_points([trained("a", seed, float(seed)) for seed in range(6)], data)


def test_the_point_of_an_encoder_is_the_two_terms_of_its_elbo(data):
    model = small_vae().requires_grad_(True)
    y = torch.cartesian_prod(*[torch.arange(2)] * 4).to(torch.uint8)
    config = {"seed": 3, "trainer": {"beta": 0.5}}
    point = encoder_point(Trained(model, data, config, "mine beta=0.5", 7), y, 1)
    assert (point.model, point.beta, point.seed, point.epochs) == ("mine", 0.5, 3, 7)
    assert point.weights == sum(weight.numel() for weight in model.parameters())
    assert point.rate.n == 16 and point.rate.samples == SAMPLES
    with torch.no_grad():
        q = model.posterior(y)
        variance = (2 * q.log_scale).exp()
        rate = 0.5 * (variance + q.loc.square() - 1 - variance.log()).sum(-1).mean().item()
        z = q.loc + q.scale * torch.randn(4000, 16, 2, generator=torch.Generator().manual_seed(0))
        logits = model.decode(z)
        right = torch.where(y.bool(), logits, -logits)
        distortion = -torch.nn.functional.logsigmoid(right).sum(-1).mean().item()
    assert abs(point.rate.value - rate) < 5 * point.rate.stderr and point.rate.stderr < 0.1
    assert abs(point.distortion.value - distortion) < 5 * point.distortion.stderr + 0.03


@pytest.fixture(scope="module")
def shown(data):
    """A curve with its model's own point, and runs of two models and two β."""
    number = lambda value: Estimate(value, 0.1, 100, 16)
    curve = [
        CurvePoint(beta, number(rate), number(distortion))
        for beta, rate, distortion in ((0.1, 5.0, 400.0), (1.0, 20.0, 80.0), (2.0, 30.0, 72.0))
    ]
    records = [trained("a", 1, 0.5, 25.0, 90.0), trained("a", 1, 1.0, 15.0, 99.0), trained("b")]
    records[0]["key"] = "another"
    others = trained_points(records, data)
    own = replace(others[0], model="mine", beta=1.0, rate=number(21.0), distortion=number(83.0))
    return curve, own, others


def test_a_mark_has_the_shape_of_its_model_and_the_colour_of_its_beta(shown):
    curve, own, others = shown
    axis = rate_distortion_figure(curve, own, others, "a title").axes[0]
    assert axis.get_title() == "a title"
    marks = [
        (*(float(ends[0]) for ends in line.get_data()), line.get_marker(), line.get_color())
        for line in axis.lines
        if line.get_marker() != "None"
    ]
    assert (90.0, 25.0, SHAPES[0], COLORS[0]) in marks and (
        99.0,
        15.0,
        SHAPES[0],
        COLORS[1],
    ) in marks
    assert (80.0, 20.0, SHAPES[1], COLORS[1]) in marks and len(marks) == 5
    # A distortion of more than three times that at β = 1 is not drawn.
    assert axis.get_xlim()[1] < 120
    [legend] = axis.figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[3:7] == ["a", "b", "trained with β = 0.5", "trained with β = 1"]
    assert labels[-1] == "rate + distortion = 100.0 nats, as at β = 1" and len(labels) == 8


def test_the_table_has_the_curve_and_the_trained_models_with_their_own_beta(shown, tmp_path):
    curve, own, others = shown
    path = tmp_path / "curve.csv"
    path.write_text(csv_text(curve_table(curve, CurveSettings(), [own, *others])))
    table = pd.read_csv(path)
    assert list(table)[:5] == [
        "beta", "rate_nats", "rate_stderr", "distortion_nats", "distortion_stderr",
    ]  # fmt: skip
    assert table["kind"].tolist() == ["annealed"] * 3 + ["encoder"] * 4
    annealed, encoders = (own for _, own in table.groupby("kind"))
    assert annealed["beta"].tolist() == [0.1, 1.0, 2.0] and encoders["beta"].isna().all()
    assert (annealed["chains"] == 16).all() and (annealed["temperatures"] == 300).all()
    assert encoders["model"].tolist() == ["mine", "a", "a", "b"]
    assert encoders["trained_beta"].tolist() == [1.0, 0.5, 1.0, 1.0]
    assert encoders["rate_nats"].tolist() == [21.0, 25.0, 15.0, 20.0]
    assert ",3,5\n" in path.read_text()  # epochs and weights are integers
    alone = curve_table(curve, CurveSettings(), [])
    assert alone["beta"].tolist() == [0.1, 1.0, 2.0]


def test_the_page_lists_the_models_of_the_figure_as_means_over_seeds(shown, data):
    curve, own, _ = shown
    found = SimpleNamespace(curve=curve, encoder=own)
    seeds = [trained("b beta=0.5", seed, 0.5, 20.0 + seed, 90.0) for seed in (1, 2)]
    others = trained_points([*seeds, trained("b", parameters=1234567)], data)
    assert rows_of_models(found, others) == [
        ["this model, annealed", "1", "20.0", "80.0", "100.0", "1", "3", "5"],
        ["this model, with its encoder", "1", "21.0", "83.0", "104.0", "1", "3", "5"],
        ["b", "0.5", "21.5", "90.0", "111.5", "2", "3", "5"],
        ["b", "1", "20.0", "80.0", "100.0", "1", "3", "1,234,567"],
    ]
    caption = caption_of_curve(found, others)
    assert "first 100 test images" in caption and "on 300 test images" in caption
    assert "Larger distortions than 240 nats" in caption and "which is not drawn" in caption
    alone = caption_of_curve(SimpleNamespace(curve=curve[1:], encoder=own), [])
    assert "Larger distortions" not in alone and "other models" not in alone
