"""Figures of training histories: claim 5's schedules and claim 7's degenerate densities."""

import re
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes

from bench.claims.across_runs import bits_per_dim, steps_of
from bench.claims.panels import Drawn, grouped, labels_of, panels, title_of
from bench.records.types import EpochRecord, Record
from bench.report.shown import by_model
from bench.report.style import LETTERS, LOOKS, PAGE, End, direct_labels, plain_numbers


def history_lines(
    axis: Axes, records: list[Record], value: Callable[[EpochRecord, Record], float]
) -> tuple[str, list[End]]:
    """Draw each model's runs against gradient steps: a value of each validated epoch, a line a seed.

    A model whose runs are the beginning of another's would lie under them. Shorter runs are therefore
    wide and pale, longer ones narrow, and each has its mark at its end.

    Returns:
        What the models' names share, and the end of each model, with its mark before its own name.
    """
    groups = by_model(records)
    common, labels = labels_of(list(groups))
    looks = dict(zip(groups, LOOKS * len(groups)))
    lengths = sorted({len(seeds[0]["history"]) for seeds in groups.values()})
    ends = []
    for model, seeds in groups.items():
        look, is_short = looks[model], len(seeds[0]["history"]) < lengths[-1]
        last = []
        for record in seeds:
            steps = [steps_of(record, point["epoch"]) for point in record["history"]]
            values = [value(point, record) for point in record["history"]]
            if is_short:
                axis.plot(steps, values, color=look.color, linewidth=3.4, alpha=0.3, zorder=1.5)
            else:
                axis.plot(steps, values, color=look.color, linestyle=look.dashes, linewidth=1.0)
            axis.plot(steps[-1], values[-1], marker=look.marker, color=look.color, zorder=3)
            last.append(values[-1])
        name = f"{LETTERS[look.marker]} {labels[model]}"
        ends.append(End(float(np.mean(last)), name, look.color))
    axis.set(xlabel="gradient steps")
    return common, ends


def in_words(text: str) -> str:
    """Return the name of a schedule in words instead of its options."""
    for option, words in (
        ("encoder_steps=0", "at once"),
        (r"encoder_steps=1\b", "by turns of 1 step"),
        (r"encoder_steps=(\d+)", r"by turns of \1 steps"),
        (r"max_epochs=(\d+)", r"\1 epochs"),
    ):
        text = re.sub(option, words, text)
    return text


def alternating(records: list[Record]) -> Drawn | None:
    """Claim 5: validation bounds of alternating and joint training."""
    if not records:
        return None
    tasks = grouped(records, "task")
    figure, axes = panels(len(tasks), width=PAGE * 0.75, height=2.9, columns=1)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        common, labels = history_lines(axis, own, lambda point, _: point["validation_elbo"])
        ends = [p["validation_elbo"] for r in own for p in r["history"][2:]]
        axis.set_ylim(np.percentile(ends, 5), max(ends) + 0.02 * (max(ends) - min(ends)))
        ends_in_words = [label._replace(name=in_words(label.name)) for label in labels]
        direct_labels(axis, ends_in_words, with_leaders=False)
        axis.set(title=title_of(task, in_words(common)), ylabel="validation ELBO (nats per image)")
    return figure, (
        "Encoder and decoder at once, and by turns of so many steps each; a line "
        "for each seed, with a mark at its end. Wide pale lines are the shorter runs, which coincide "
        "with the beginning of the longer ones."
    )


def degeneracy(records: list[Record]) -> Drawn | None:
    """Claim 7: training 'bits/dim' with and without dequantization."""
    if not records:
        return None
    tasks = grouped(records, "task")
    figure, axes = panels(len(tasks), height=2.7)
    for axis, ((task,), own) in zip(axes, tasks.items()):
        common, labels = history_lines(axis, own, training_bits)
        axis.axhline(0, color="black", linewidth=0.9)
        low, high = axis.get_ylim()
        if high > 20:  # of a density that went up before it came down
            axis.set_yscale("symlog", linthresh=1)
            plain_numbers(axis, "y")
        axis.set_ylim(min(low, -0.14 * min(high, 4)), high)
        labels.append(End(0.0, "0: no mass function\ngoes below", "black"))
        direct_labels(axis, labels, with_leaders=False)
        axis.set(title=title_of(task, common), ylabel="−ELBO / (D ln 2), 'bits/dim'")
    return figure, (
        "Training 'bits/dim' of densities trained on bare levels (dequantization=none) and of "
        "their dequantized twins; a line for each seed."
    )


def training_bits(point: EpochRecord, record: Record) -> float:
    return bits_per_dim(point["train_elbo"], record["data"]["dimensions"])
