import numpy as np
import pytest
import torch

from bench.estimators.estimate import Estimate, MeanEstimate, mean_estimate
from bench.estimators.samples import laplacian_variance, sharpness


def test_mean_and_errors_against_numpy():
    values = torch.randn(5, 300, dtype=torch.float64)
    metric = MeanEstimate()
    for block in values.split(70, dim=1):
        metric.update(block)
    ours, array = metric.estimate(), values.numpy()
    assert ours.value == pytest.approx(array.mean())
    assert ours.stderr == pytest.approx(np.sqrt((array.var(0, ddof=1) / 5).sum()) / 300)
    assert ours.stderr_data == pytest.approx(array.mean(0).std(ddof=1) / np.sqrt(300))
    assert (ours.n, ours.samples) == (300, 5)


def test_its_intervals_cover():
    """95 % intervals for the split's own mean, the noise being drawn anew: coverage over repeats."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(40, generator=generator, dtype=torch.float64) * 10
    hits = 0
    for _ in range(1000):
        drawn = truth + torch.randn(3, 40, generator=generator, dtype=torch.float64)
        estimate = mean_estimate(drawn)
        hits += abs(estimate.value - truth.mean().item()) < 1.96 * estimate.stderr
    assert 920 <= hits <= 980


def test_one_sample_cannot_tell_its_error():
    assert mean_estimate(torch.randn(1, 10)).stderr is None


def test_scaled_changes_value_and_errors():
    estimate = mean_estimate(torch.randn(4, 20))
    bits = estimate.scaled(-2.0)
    assert bits.value == -2 * estimate.value and bits.stderr == 2 * estimate.stderr


def test_laplacian_variance_against_scipy():
    from scipy.ndimage import laplace

    image = torch.rand(1, 7 * 6) * 16
    expected = laplace(image.numpy().reshape(7, 6) / 16, mode="constant")[1:-1, 1:-1].var()
    assert laplacian_variance(image, (1, 7, 6), 17).item() == pytest.approx(expected, rel=1e-4)


def test_blurred_images_are_less_sharp_and_data_is_as_sharp_as_itself():
    data = torch.randint(0, 17, (50, 64)).float()
    blurred = data.view(-1, 1, 8, 8)
    blurred = torch.nn.functional.avg_pool2d(blurred, 3, 1, 1).flatten(1)
    assert sharpness(data, data, (1, 8, 8), 17).value == 1
    assert sharpness(blurred, data, (1, 8, 8), 17).value < 0.3


def test_the_error_of_sharpness_is_its_spread_over_new_images():
    """Of 30 images whose contrasts differ, against 60."""
    generator = torch.Generator().manual_seed(0)
    contrast = lambda n: torch.rand(n, 1, generator=generator)
    images = lambda n: contrast(n) * torch.rand(n, 25, generator=generator)
    found = [sharpness(images(30), images(60), (1, 5, 5), 2) for _ in range(200)]
    spread = np.std([estimate.value for estimate in found], ddof=1)
    assert np.mean([estimate.stderr for estimate in found]) == pytest.approx(spread, rel=0.2)


def test_sharpness_is_a_number_with_an_error_or_nothing():
    data = torch.randint(0, 17, (50, 64)).float()
    flat = torch.full((50, 64), 7.0)
    assert sharpness(flat, data, (1, 8, 8), 17) == Estimate(0.0, 0.0, 50, 1)
    assert sharpness(data, flat, (1, 8, 8), 17) is None
    assert sharpness(flat, flat, (1, 8, 8), 17) is None
    assert sharpness(data.where(data > 3, torch.nan), data, (1, 8, 8), 17) is None
