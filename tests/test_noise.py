import ast
from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

import bench
from bench.noise import Noise, derive_seed


@given(
    world=st.integers(1, 4), own=st.integers(1, 5), samples=st.integers(1, 3), d=st.integers(1, 4)
)
def test_ranks_together_see_what_one_rank_sees(world, own, samples, d):
    alone = Noise(7, "training", 3).normal(samples, world * own, d)
    parts = [
        Noise(7, "training", 3, rank=r, world=world).normal(samples, own, d) for r in range(world)
    ]
    assert torch.equal(torch.cat(parts, dim=1), alone)


def test_only_training_steps_draw_on_the_device():
    """All other noise is drawn on the CPU, so that numbers do not depend on the device."""
    package, found = Path(bench.__file__).parent, set()
    for path in package.rglob("*.py"):
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        if any(keyword.arg == "on_device" for call in calls for keyword in call.keywords):
            found.add(str(path.relative_to(package)))
    assert found == {"training/batches.py", "training/module.py"}


def test_permutation_is_the_same_on_every_rank():
    draws = [Noise(1, "x", rank=r, world=2).shared_permutation(10) for r in range(2)]
    assert torch.equal(*draws)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.sampled_from("ab"), st.integers(0, 50)),
        min_size=2,
        unique=True,
    )
)
def test_seeds_of_different_purposes_differ(parts):
    seeds = {derive_seed(*part) for part in parts}
    assert len(seeds) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_do_not_run_together():
    assert derive_seed(1, 23) != derive_seed(12, 3)


@given(world=st.integers(1, 3), own=st.integers(1, 5), d=st.integers(1, 9))
def test_words_of_ranks_are_those_of_one_rank(world, own, d):
    alone = Noise(7, "binarization").words(world * own, d)
    parts = [Noise(7, "binarization", rank=r, world=world).words(own, d) for r in range(world)]
    assert torch.equal(torch.cat(parts), alone)


def test_all_words_are_equally_likely():
    words = Noise(1, "words").words(1000, 2000).flatten()
    counts = torch.bincount(words.long() + 2**15, minlength=2**16)
    expected = len(words) / 2**16
    chi_squared = ((counts - expected).square() / expected).sum()
    # 65,535 degrees of freedom: six standard deviations of 362 either way.
    assert abs(chi_squared - 65_535) < 6 * 362
    # The two halves of a word, and neighbouring words, know nothing of each other.
    pairs = torch.stack([words[:-1].double(), words[1:].double()])
    assert abs(torch.corrcoef(pairs)[0, 1]) < 5 / len(words) ** 0.5
