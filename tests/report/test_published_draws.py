"""The error of the draw of binarized test images, measured again with a released checkpoint."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.images import load_raw
from bench.errors import InputError
from bench.noise import Noise
from bench.report.published import published_file
from bench.runs.trained import load_trained

ROOT = Path(__file__).parents[2]
DRAWS = published_file()["test_draws"]


def images(dataset, step):
    """Return the intensities in [0, 1] of each so many-th test image, (n, D)."""
    try:
        grey = load_raw(dataset).test
    except InputError as error:
        pytest.skip(f"no {dataset}: {error}")
    return torch.from_numpy(grey.reshape(len(grey), -1)[::step].astype(np.float32) / 255)


def bounds(model, y, samples, key):
    """Return L_samples of each image, (n,)."""
    found = []
    for start in range(0, len(y), 50):
        block = y[start : start + 50]
        weights = model.terms(block, Noise("test draws", key, start), samples).elbo.double()
        found.append(weights.logsumexp(0) - np.log(samples))
    return torch.cat(found)


def variance_over_draws(model, intensities, draws, samples):
    """Return the mean variance of an image's bound over draws of its pixels, without Monte-Carlo's."""
    generator = torch.Generator().manual_seed(1)
    pairs = []
    for draw in range(draws):
        y = (torch.rand(intensities.shape, generator=generator) < intensities).to(torch.uint8)
        pairs.append(torch.stack([bounds(model, y, samples, 2 * draw + i) for i in range(2)]))
    deviations = torch.stack(pairs) - torch.stack(pairs).mean(0)
    return (deviations.prod(1).sum(0) / (draws - 1)).mean().item()


@pytest.mark.long
def test_the_error_of_the_draw_of_mnists_test_images():
    """250 images of 1,000 and other draws: the variance within 4 × its standard error of 6 %."""
    own = DRAWS["mnist-dynamic"]
    intensities = images("mnist", 40)
    trained = load_trained(ROOT / own["checkpoint"])
    model = trained.model.eval()
    with torch.no_grad():
        variance = variance_over_draws(model, intensities, own["draws"], own["samples"])
    assert (variance / 10_000) ** 0.5 == pytest.approx(own["stderr"], rel=0.12)


def test_every_draw_is_of_a_run_that_is_published():
    for task, own in DRAWS.items():
        sweep = task.partition("-")[0]
        assert own["checkpoint"].startswith(f"results/{sweep}/checkpoints/{own['run']}.ckpt")
        assert (ROOT / "results" / sweep / "runs" / own["run"] / "record.json").is_file()
        assert 0 < own["uncertainty"] < own["stderr"] / 20
