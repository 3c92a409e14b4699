"""What the figures of a sweep show is what its records say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from bench.report.plots import elbo_decomposition, training_curves
from tests.made_up import estimate, record

PARTS = {"reconstruction": -20.0, "mutual_information": 5.0, "marginal_kl": 3.0, "log_n": 5.7}


def made(model: str, seed: int, shift: float) -> dict:
    one = record(model, seed, 2.0)
    test = {name: estimate(value + shift) for name, value in PARTS.items()}
    one["metrics"] = {"train": test, "test": test}
    one["history"] = [
        {"epoch": epoch, "train_elbo": -30.0 + epoch + shift, "validation_elbo": -31.0 + epoch}
        for epoch in (1, 2, 3)
    ]
    return one


@pytest.fixture
def records():
    yield [made("a", 1, 0.0), made("a", 2, 1.0), made("b", 1, -2.0)]
    plt.close("all")


def test_the_bars_of_the_decomposition_are_the_means_over_seeds(records):
    [axis] = elbo_decomposition(records, "t").axes
    # Of a: shifts of 0 and 1; of b: of -2. Reconstruction is drawn with its sign turned.
    drawn = [[bar.get_width() for bar in bars] for bars in axis.containers]
    np.testing.assert_allclose(drawn, [[19.5, 22.0], [5.5, 3.0], [3.5, 1.0]])
    starts = [[bar.get_x() for bar in bars] for bars in axis.containers]
    np.testing.assert_allclose(starts, [[0.0, 0.0], [19.5, 22.0], [25.0, 25.0]])
    assert [text.get_text().strip() for text in axis.texts] == ["28.5", "26.0"]


def test_the_curves_are_the_histories_of_every_seed(records):
    first, second = training_curves(records, "t").axes
    drawn = [tuple(line.get_ydata()) for line in first.lines if len(line.get_ydata()) == 3]
    bounds = [
        tuple(point[name] for point in one["history"])
        for one in records[:2]
        for name in ("train_elbo", "validation_elbo")
    ]
    assert drawn == bounds and len(second.lines) == 3
