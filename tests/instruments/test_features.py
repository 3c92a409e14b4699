"""Fréchet distance, precision and recall against scipy and scikit-learn, and laws of their own."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

import bench.instruments.features as features
from bench.errors import InputError
from bench.instruments.features import PrincipalFeatures, frechet_distance, precision_and_recall


def correlated(n, d, seed, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing + shift


def digits():
    from bench.data.tasks import Task, load_task

    return load_task(Task("digits"))


@pytest.mark.parametrize("dimensions", [1, 10, 40])
def test_features_are_scikit_learns(dimensions):
    data = digits()
    ours = PrincipalFeatures.fit(data.train, dimensions)
    theirs = PCA(dimensions, svd_solver="full").fit(data.train.double().numpy())
    scores, expected = ours(data.test).numpy(), theirs.transform(data.test.double().numpy())
    sign = np.sign((scores * expected).sum(0))  # a component's sign is arbitrary
    np.testing.assert_allclose(scores * sign, expected, atol=1e-8)
    assert ours.components.dtype == torch.float64
    identity = ours.components @ ours.components.T
    torch.testing.assert_close(identity, torch.eye(dimensions).double(), atol=1e-12, rtol=0)


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
    project = PrincipalFeatures.fit(data.train, 20)
    generator = torch.Generator().manual_seed(0)
    real = project(data.test)
    noisy = [
        project(data.test + size * torch.randn(data.test.shape, generator=generator))
        for size in (0.0, 2.0, 8.0)
    ]
    distances = [frechet_distance(real, x) for x in noisy]
    assert distances[0] < 1e-6 < distances[1] < distances[2]


def manifold_share(points, support, k):
    """Return the same share by scikit-learn's neighbours."""
    tree = NearestNeighbors(n_neighbors=k).fit(support)
    radii = tree.kneighbors()[0][:, -1]  # of the fitted points, each without itself
    far = NearestNeighbors(n_neighbors=len(support)).fit(support)
    distance, index = far.kneighbors(points)
    return (distance <= radii[index]).any(1).mean()


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("pairs", [1, 1000, 4_000_000])
def test_precision_and_recall_against_scikit_learn(k, pairs, monkeypatch):
    monkeypatch.setattr(features, "PAIRS_IN_MEMORY", pairs)
    real, generated = correlated(80, 4, 1), correlated(110, 4, 2, shift=1.0)
    ours = precision_and_recall(real, generated, k)
    assert ours.precision == pytest.approx(manifold_share(generated.numpy(), real.numpy(), k))
    assert ours.recall == pytest.approx(manifold_share(real.numpy(), generated.numpy(), k))
    assert 0 < ours.precision < 1 and 0 < ours.recall < 1
    assert precision_and_recall(generated, real, k) == ours[::-1]


def test_precision_and_recall_of_copies_of_far_images_and_of_a_collapse():
    real = correlated(60, 5, 4)
    assert precision_and_recall(real, real.clone()) == (1, 1)
    assert precision_and_recall(real, real.flip(0).repeat(2, 1)).precision == 1
    assert precision_and_recall(real, real + 1e4) == (0, 0)
    # Balls of radius 0 still hold copies of their center.
    assert precision_and_recall(real.repeat(5, 1), real.flip(0).repeat(5, 1)) == (1, 1)
    # Distances do not cancel far from the origin, as they would by a matrix product.
    other = correlated(60, 5, 6)
    assert precision_and_recall(real + 1e7, other + 1e7) == precision_and_recall(real, other)
    collapsed = real[:1] + 1e-6 * correlated(60, 5, 5)
    precision, recall = precision_and_recall(real, collapsed)
    assert precision == 1 and recall <= 1 / 60


def test_bad_arguments_are_refused_in_one_line():
    a = correlated(10, 3, 0)
    with pytest.raises(InputError, match="do not have 4 components"):
        PrincipalFeatures.fit(a, 4)
    with pytest.raises(InputError, match="10 images of 20 dimensions do not have 10 components"):
        PrincipalFeatures.fit(correlated(10, 20, 0), 10)
    with pytest.raises(InputError, match="less than 1 neighbour"):
        precision_and_recall(a, a, 0)
    with pytest.raises(InputError, match="at least 4 rows"):
        precision_and_recall(a, a[:3])
    with pytest.raises(InputError, match="a has 3 dimensions and b 2"):
        frechet_distance(a, a[:, :2])
    with pytest.raises(InputError, match="not finite"):
        frechet_distance(a, a / 0)
