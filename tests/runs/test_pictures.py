"""Pictures for the page: the map of a latent space, and samples from q_agg."""

from base64 import b64decode

import numpy as np
import pytest
import torch

from bench.configuration.models import build_model
from bench.data.tasks import load_task, task_of
from bench.densities.normal import DiagonalNormal
from bench.records.schema import problem_of
from bench.runs.pictures import CELLS, DRAWS, SEEN, counted, enlarged, latent_map, shown_images
from tests.conftest import small_config
from tests.made_up import record


def built(name, *options):
    config = small_config(name, "digits-17", *options)
    data = load_task(task_of(config))
    model = build_model(config, data.shape, data.task.levels).eval()
    model.attach(data.train)
    return model, data


def moved(posterior):
    return DiagonalNormal(posterior.loc + 8, posterior.log_scale)


def grid(latent, name):
    return np.frombuffer(b64decode(latent[name]), np.uint8).astype(float)


def test_a_prior_that_is_q_agg_has_its_map_and_a_standard_normal_has_not():
    apart = {}
    for name in ("aggregate_vae", "gaussian_vae"):
        model, data = built(name)
        # Encodings far from 0, as no prior but their own expects them.
        encode = model.posterior.forward
        model.posterior.forward = lambda y, encode=encode: moved(encode(y))
        latent = latent_map(model, data, 1, "cpu")
        prior, aggregate = grid(latent, "prior"), grid(latent, "aggregate")
        assert len(prior) == len(aggregate) == CELLS**2
        assert max(prior.max(), aggregate.max()) == 255
        apart[name] = np.abs(prior - aggregate).sum() / (prior.sum() + aggregate.sum())
    assert apart["aggregate_vae"] < 0.12 and apart["gaussian_vae"] > 0.9


@pytest.mark.parametrize(
    "height, width, factor", [(55, 55, 5), (112, 113, 2), (224, 9, 25), (300, 300, 1)]
)
def test_images_are_enlarged_by_a_whole_factor_so_that_they_can_be_seen(height, width, factor):
    canvas = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    large = enlarged(canvas)
    assert large.shape == (factor * height, factor * width, 3) and min(large.shape[:2]) >= SEEN
    assert all(
        np.array_equal(large[down::factor, right::factor], canvas)
        for down in range(factor)
        for right in range(factor)
    )


def test_equal_seeds_give_equal_pictures_whatever_was_drawn_before():
    model, data = built("gaussian_vae")
    first, images = latent_map(model, data, 3, "cpu"), shown_images(model, data, 3, "cpu")
    torch.rand(7)
    assert latent_map(model, data, 3, "cpu") == first
    again = shown_images(model, data, 3, "cpu")
    assert set(images) == {"data", "samples", "reconstructions", "samples_aggregate"}
    assert all(torch.equal(images[name], again[name]) for name in images)
    assert latent_map(model, data, 4, "cpu") != first


@pytest.mark.parametrize(
    "name, options", [("realnvp", ()), ("gaussian_vae", ("--model.latent_dimensions=1",))]
)
def test_there_is_no_map_without_two_dimensions_of_a_latent(name, options):
    assert latent_map(*built(name, *options), 1, "cpu") is None


def test_cells_are_counted_from_low_to_high_and_outside_ones_left_out():
    points = torch.tensor([[0.0, 0.0], [0.99, 0.0], [0.0, 0.99], [0.99, 0.99], [1.5, 0.5]])
    counts = counted(points.double(), torch.zeros(2).double(), torch.ones(2).double())
    assert counts.nonzero()[:, 0].tolist() == [0, CELLS - 1, CELLS * (CELLS - 1), CELLS**2 - 1]
    assert counts.sum() == 4 and DRAWS > CELLS**2


def test_a_record_may_have_a_map_but_no_damaged_one():
    made = record("vae", 1, 2.0)
    assert problem_of(made) is None and problem_of(made | {"latent": None}) is None
    latent = latent_map(*built("gaussian_vae"), 1, "cpu")
    assert problem_of(made | {"latent": latent}) is None
    for name, poison in (
        ("low", [0.0]),
        ("share", [0.1, float("nan")]),
        ("prior", latent["prior"][:-8]),
        ("aggregate", None),
    ):
        assert problem_of(made | {"latent": latent | {name: poison}}) == f"has no latent.{name}"
