"""The Fréchet distance against scipy, and laws of its own."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from bench.errors import InputError
from bench.instruments.frechet import frechet_distance


def correlated(n, d, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing + shift


def digits():
    from bench.data.tasks import Task, load_task

    return load_task(Task("digits"))


@pytest.mark.parametrize("d", [1, 5, 30])
def test_frechet_distance_against_scipy(d):
    a, b = correlated(200, d, 1), correlated(300, d, 2, shift=0.3)
    one, two = (np.atleast_2d(np.cov(x.numpy(), rowvar=False)) for x in (a, b))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum().item()
    expected += np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_known_pairs():
    a = correlated(100, 6, 3)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, a + 2) == pytest.approx(6 * 4)
    # Of a scaled copy it is the variance of the difference: (1 − c)² tr C.
    centered = a - a.mean(0)
    assert frechet_distance(centered, 3 * centered) == pytest.approx(
        4 * centered.var(0).sum().item()
    )
    # Covariances of too few points, or of constant features, are singular.
    assert frechet_distance(a[:4], a[:4]) == pytest.approx(0, abs=1e-7)
    flat = torch.cat([a, torch.ones(100, 3)], dim=1)
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(flat, flat[:1].expand(5, -1)) == pytest.approx(
        (a.mean(0) - a[0]).square().sum().item() + a.var(0).sum().item()
    )


def test_frechet_distance_orders_degradations_of_digits():
    data = digits()
    generator = torch.Generator().manual_seed(0)
    real = data.test.double()
    noisy = [real + size * torch.randn(real.shape, generator=generator) for size in (0.0, 2.0, 8.0)]
    distances = [frechet_distance(real, x) for x in noisy]
    assert distances[0] < 1e-6 < distances[1] < distances[2]


def test_bad_arguments_are_refused_in_one_line():
    a = correlated(10, 3, 0)
    with pytest.raises(InputError, match="at least 2 rows"):
        frechet_distance(a, a[:1])
    with pytest.raises(InputError, match="a has 3 dimensions and b 2"):
        frechet_distance(a, a[:, :2])
    with pytest.raises(InputError, match="not finite"):
        frechet_distance(a, a / 0)
