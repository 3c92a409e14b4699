"""The exercise sheet: its tests pass with a right solution and fail with the usual wrong ones."""

import os
from pathlib import Path

import pytest

import bench
from tests.conftest import patience

ROOT = Path(bench.__file__).parents[1]
SHEET = ROOT / "docs" / "exercises"
ONE = "return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)"
TWO = "weights = log_likelihood + log_prior - log_posterior\n    return weights.logsumexp(0) - math.log(len(weights))"
THREE = """q = torch.distributions.Normal(mean, (log_variance / 2).exp())
    log_q = torch.stack([q.log_prob(z[:, i, None]).sum(-1) for i in range(len(mean))], 1)
    own = log_q.diagonal(dim1=1, dim2=2)
    aggregate = log_q.logsumexp(2) - math.log(len(mean))
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    return (own - aggregate).mean(), (aggregate - prior).mean()"""
RIGHT = (ONE, TWO, THREE)
# (exercise, right, wrong): the tests must notice.
WRONG = (
    (1, "- log_variance)", "- log_variance / 2)"),
    (1, ".sum(-1)", ".mean(-1)"),
    (2, "weights.logsumexp(0) - math.log(len(weights))", "weights.mean(0)"),
    (2, " - math.log(len(weights))", ""),
    (2, "log_prior - log_posterior", "log_prior"),
    (2, "weights.logsumexp(0)", "weights.exp().sum(0).log()"),
    (3, "- math.log(len(mean))", ""),
    (3, "(aggregate - prior)", "(own - prior)"),
    (
        3,
        "return (own - aggregate).mean(), (aggregate - prior).mean()",
        "return (own - prior).mean(), (aggregate - prior).mean()",
    ),
)


def outcome(warm, folder: Path, solutions: tuple[str, ...], exercise: str = "") -> int:
    """Return the exit status of the sheet's tests with these solutions."""
    text = (SHEET / "exercises.py").read_text(encoding="utf-8")
    pieces = text.split("raise NotImplementedError")
    assert len(pieces) == 4
    solved = pieces[0] + "".join(a + b for a, b in zip(solutions, pieces[1:]))
    (folder / "exercises.py").write_text(solved)
    (folder / "test_exercises.py").write_bytes((SHEET / "test_exercises.py").read_bytes())
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", exercise or "test"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return warm.run(*words, cwd=folder, env=environment, timeout=patience(120)).returncode


def test_a_right_solution_passes(tmp_path, warm):
    assert outcome(warm, tmp_path, RIGHT) == 0


@pytest.mark.long
def test_the_sheet_as_it_is_fails(tmp_path, warm):
    assert outcome(warm, tmp_path, ("raise NotImplementedError",) * 3) == 1


@pytest.mark.long
@pytest.mark.parametrize("exercise, right, wrong", WRONG)
def test_a_wrong_solution_is_noticed(exercise, right, wrong, tmp_path, warm):
    solutions = list(RIGHT)
    assert right in solutions[exercise - 1]
    solutions[exercise - 1] = solutions[exercise - 1].replace(right, wrong)
    assert outcome(warm, tmp_path, tuple(solutions), f"test_{exercise}") == 1
