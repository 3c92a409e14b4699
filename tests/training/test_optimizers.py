"""Learning rates over a training."""

import pytest

from bench.settings import Optimization
from bench.training.optimizers import learning_rate_factor


def test_stages_of_tripling_length_fall_by_the_seventh_root_of_ten():
    """Burda et al. 2016, section 5: stages i = 0 … 7 of 3^i epochs, 3,280 in all, have 10^(−i/7)."""
    tripling = Optimization(schedule="tripling")
    stages = [i for i in range(8) for _ in range(3**i)]
    assert len(stages) == 3280
    for epoch in (0, 1, 3, 4, 12, 13, 39, 40, 1092, 1093, 2000, 3279):
        expected = 10 ** (-stages[epoch] / 7)
        assert learning_rate_factor(tripling, epoch, 3280) == pytest.approx(expected, rel=1e-12)


def test_the_cosine_falls_from_1_over_a_half_towards_0():
    cosine = Optimization(schedule="cosine")
    rates = [learning_rate_factor(cosine, epoch, 6) for epoch in (0, 2, 3, 4)]
    assert rates == pytest.approx([1.0, 0.75, 0.5, 0.25])
