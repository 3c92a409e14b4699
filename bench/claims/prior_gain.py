"""Claim 14, from records alone: which part of the ELBO a better prior raises. No PyTorch."""

from dataclasses import dataclass
from statistics import mean

from bench.claims.across_runs import value_of, without
from bench.claims.over_seeds import over_seeds
from bench.claims.rows import Row, Subject, at_most, equal, rounding
from bench.records.types import Record

# The ELBO is reconstruction − mutual information − marginal KL: what each part adds to a gain.
PARTS = {"reconstruction": 1, "mutual_information": -1, "marginal_kl": -1}
STANDARD = "StandardNormal"
# Xu et al. say "mostly".
MOST = 0.5


@dataclass(frozen=True)
class Gain:
    """The gain in test ELBO of a prior over the standard normal on one network, seed by seed.

    Attributes:
        task: The task.
        prior: The prior's name.
        elbo: A gain in nats for each seed.
        parts: {part: what it adds to each seed's gain}; the parts of a seed add up to its gain.
    """

    task: str
    prior: str
    elbo: list[float]
    parts: dict[str, list[float]]


def gains(records: list[Record]) -> list[Gain]:
    """Return the gain of each prior, from runs that differ in prior and seed alone."""
    pairs: dict[tuple[str, str, str], list[tuple[Record, Record]]] = {}
    standard = {alike(record): record for record in records if prior_of(record) == STANDARD}
    for record in records:
        twin = standard.get(alike(record))
        if twin is not None and record is not twin:
            network = without(record["config"], "model.init_args.prior", "seed")
            pair = pairs.setdefault((record["task"], prior_of(record), network), [])
            pair.append((record, twin))
    return [gain_of(task, prior, twins) for (task, prior, _), twins in pairs.items()]


def alike(record: Record) -> str:
    """Return what a run shares with its twin of another prior: task, network, training and seed."""
    return without(record["config"], "model.init_args.prior")


def prior_of(record: Record) -> str:
    prior = record["config"]["model"]["init_args"]["prior"]
    return str(prior["class_path"]).rpartition(".")[2]


def gain_of(task: str, prior: str, twins: list[tuple[Record, Record]]) -> Gain:
    def by_seed(name: str, sign: int = 1) -> list[float]:
        return [sign * (value_of(own, name) - value_of(twin, name)) for own, twin in twins]

    parts = {name: by_seed(name, sign) for name, sign in PARTS.items()}
    return Gain(task, prior, by_seed("elbo"), parts)


def prior_gain_rows(records: list[Record]) -> list[Row]:
    """Claim 14: a prior's gain over the standard normal, and how much of it is reconstruction.

    Seeds are paired: both runs of a pair have the same order of data and the same noise. A difference
    counts if its 95 % interval over seeds (Student's t) lies on the right side of 0, so one seed has none.
    """
    rows = []
    for gain in gains(records):
        subject = Subject(gain.task, f"prior {gain.prior}")
        total = mean(gain.elbo)
        added = sum(mean(values) for values in gain.parts.values())
        rows.append(
            equal(
                14,
                "the gain in ELBO is that of reconstruction less what mutual information and "
                "marginal KL grow by",
                subject,
                total,
                added,
                rounding(total),
            )
        )
        if len(gain.elbo) > 1:
            rows += judged_over_seeds(gain, subject)
    return rows


def judged_over_seeds(gain: Gain, subject: Subject) -> list[Row]:
    """Return the rows of a prior that seeds decide."""
    total, error, half = over_seeds(gain.elbo)
    reconstruction = gain.parts["reconstruction"]
    # The error of right − left, seed by seed, because both are of the same runs.
    excess = over_seeds([part - MOST * whole for part, whole in zip(reconstruction, gain.elbo)])
    return [
        at_most(
            14,
            "the prior raises the test ELBO over the standard normal's (left: 0, right: the gain), by "
            "more than the interval over seeds",
            subject,
            0.0,
            total,
            -half,
            error,
        ),
        at_most(
            14,
            f"more than {MOST:.0%} of the gain (left) is reconstruction (right), by more than the interval "
            "over seeds",
            subject,
            MOST * total,
            mean(reconstruction),
            -excess.half,
            excess.error,
        ),
    ]


def prior_gain_sentences(records: list[Record]) -> str:
    """Return what the priors gained, and of which parts, in sentences."""
    sentences = []
    for gain in gains(records):
        total = mean(gain.elbo)
        parts = {name: mean(values) for name, values in gain.parts.items()}
        sentences.append(
            f"{gain.prior} on {gain.task}: {total:+.2f} nats of ELBO, of which reconstruction "
            f"{parts['reconstruction']:+.2f}, mutual information {parts['mutual_information']:+.2f}, "
            f"marginal KL {parts['marginal_kl']:+.2f}."
        )
    return " ".join(sentences)
