"""Claim 14: the gain of a prior over the standard normal, and its parts."""

import copy

import pytest
from matplotlib.colors import to_hex

from bench.claims.over_seeds import over_seeds
from bench.claims.prior_figures import prior_gains
from bench.claims.prior_gain import gains, prior_gain_rows, prior_gain_sentences
from bench.report.shown import PARTS

# {prior: (reconstruction, mutual information, marginal KL) of seed 1}; seed s adds 0.1 · s to each.
NUMBERS = {
    "StandardNormal": (-10.0, 5.0, 2.0),
    "Flow": (-8.0, 4.9, 2.6),  # gains 1.5, more than all of it in reconstruction
    "Mixture": (-10.2, 4.9, 0.9),  # gains 1.0, all of it in the KL
    "Vamp": (-11.0, 5.0, 2.0),  # loses 1.0
}


def record(prior: str, seed: int, shift: float = 0.0, latent: int = 10) -> dict:
    reconstruction, information, marginal = (value + 0.1 * seed for value in NUMBERS[prior])
    reconstruction += shift
    values = {
        "reconstruction": reconstruction,
        "mutual_information": information,
        "marginal_kl": marginal,
        "elbo": reconstruction - information - marginal,
    }
    options = {"latent_dimensions": latent, "prior": {"class_path": prior, "init_args": {}}}
    return {
        "task": "digits-binary",
        "model": f"vae prior={prior}",
        "seed": seed,
        "key": f"{prior}-{seed}",
        "config": {"seed": seed, "model": {"class_path": "VAE", "init_args": options}},
        "metrics": {"test": {name: {"value": value} for name, value in values.items()}},
    }


def runs(*priors: str) -> list[dict]:
    spread = {1: -0.01, 2: 0.0, 3: 0.01}
    return [
        record(p, s, 0.0 if p == "StandardNormal" else spread[s]) for p in priors for s in spread
    ]


def test_gains_are_paired_by_seed_and_their_parts_add_up():
    flow, mixture, vamp = gains(runs(*NUMBERS))
    assert [gain.prior for gain in (flow, mixture, vamp)] == ["Flow", "Mixture", "Vamp"]
    assert flow.elbo == pytest.approx([1.49, 1.5, 1.51])
    # Student's t with two degrees of freedom, from a table: 4.303 at 97.5 %.
    error = 0.01 / 3**0.5
    assert over_seeds(flow.elbo) == pytest.approx((1.5, error, 4.303 * error), rel=1e-4)
    assert flow.parts["marginal_kl"] == pytest.approx([-0.6] * 3)
    for gain in (flow, mixture, vamp):
        whole = [sum(parts) for parts in zip(*gain.parts.values())]
        assert whole == pytest.approx(gain.elbo)


def test_rows_hold_where_the_prior_helps_by_reconstruction():
    rows = prior_gain_rows(runs(*NUMBERS))
    held = {row.subject.model: [] for row in rows}
    for row in rows:
        held[row.subject.model].append(row.holds)
    assert held == {
        "prior Flow": [True, True, True],
        "prior Mixture": [True, True, False],
        "prior Vamp": [True, False, False],  # lost 1.0, all of it in reconstruction
    }


def test_a_gain_within_its_interval_over_seeds_is_no_gain():
    records = [
        record("Flow", seed, shift) for seed, shift in ((1, -3.0), (2, -1.0), (3, 1.0))
    ] + runs("StandardNormal")
    # The gains are −1.5, 0.5 and 2.5: their mean, 0.5, is less than 4.303 · 2 / √3.
    identity, raised, reconstruction = prior_gain_rows(records)
    assert identity.holds and not raised.holds and not reconstruction.holds
    assert raised.right == pytest.approx(0.5)
    assert raised.tolerance == pytest.approx(-4.303 * 2 / 3**0.5, rel=1e-4)


def test_one_seed_decides_nothing():
    first = [one for one in runs("StandardNormal", "Flow") if one["seed"] == 1]
    assert [row.holds for row in prior_gain_rows(first)] == [True]
    assert prior_gains(first) is not None


def test_only_runs_that_differ_in_the_prior_alone_are_compared():
    others = [record("Flow", seed, latent=20) for seed in (1, 2, 3)]
    assert gains([*runs("StandardNormal"), *others]) == []
    assert gains(runs("StandardNormal")) == [] and gains(runs("Flow")) == []
    wrong = copy.deepcopy(runs("StandardNormal", "Flow"))
    for one in wrong:
        one["task"] = one["task"] if one["key"].startswith("Standard") else "digits-17"
        one["config"]["data"] = {"binarization": one["task"]}
    assert gains(wrong) == []


def test_the_figure_and_the_sentences_have_every_prior():
    figure, caption = prior_gains(runs(*NUMBERS))
    [axis] = figure.axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    # The whole gain and its three parts beside each other, in the colours of the decomposition.
    numbers = [text.get_text() for text in axis.texts]
    assert numbers[:4] == ["−1.00", "−1.00", "+0.00", "+0.00"]
    assert numbers[8:] == ["+1.50", "+2.00", "+0.10", "−0.60"]
    colors = [to_hex(bar.get_facecolor()) for bar in axis.patches]
    assert colors[:4] == ["#000000", *(PARTS[n][1] for n in gains(runs(*NUMBERS))[0].parts)]
    assert names == ["Vamp", "Mixture", "Flow"] and "Black" in caption  # in the order of the gain
    text = prior_gain_sentences(runs("StandardNormal", "Flow"))
    assert text == (
        "Flow on digits-binary: +1.50 nats of ELBO, of which reconstruction +2.00, mutual "
        "information +0.10, marginal KL -0.60."
    )
    assert prior_gains([]) is None
