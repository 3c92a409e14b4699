"""The figure of claim 14: the gain in ELBO of each prior, and its parts."""

from statistics import mean

from matplotlib.axes import Axes

from bench.claims.over_seeds import over_seeds
from bench.claims.panels import Drawn, panels
from bench.claims.prior_gain import Gain, gains
from bench.records.types import Record
from bench.report.shown import PARTS
from bench.report.style import PAGE, SMALL, with_minus

# {what a prior adds to: its name}, from above. A part has one colour in all figures.
NAMES = {
    "elbo": "ELBO, the sum",
    "reconstruction": "reconstruction",
    "mutual_information": "− mutual information",
    "marginal_kl": "− marginal KL",
}
COLORS = {"elbo": "black"} | {name: color for name, (_, color) in PARTS.items()}


def prior_gains(records: list[Record]) -> Drawn | None:
    """Claim 14: a group of bars for each prior, in the order of the gain."""
    tasks: dict[str, list[Gain]] = {}
    for gain in gains(records):
        tasks.setdefault(gain.task, []).append(gain)
    if not tasks:
        return None
    figure, axes = panels(len(tasks), PAGE, 3.7, columns=1)
    for axis, (task, own) in zip(axes, tasks.items()):
        own.sort(key=lambda gain: mean(gain.elbo))
        draw(axis, own)
        axis.set_title(f"{task}, test split")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure, (
        "What a prior adds to the test ELBO of the standard normal on the same network, and by which part: "
        "reconstruction, less mutual information, less marginal KL. Black: the whole gain, the sum of the "
        "three other bars. Error bars: 95 % intervals over seeds (Student's t), paired."
    )


def draw(axis: Axes, gains: list[Gain]) -> None:
    height = 0.2
    for place, gain in enumerate(gains):
        for offset, (name, label) in zip((1.5, 0.5, -0.5, -1.5), NAMES.items()):
            values = gain.elbo if name == "elbo" else gain.parts[name]
            centre, half = mean(values), over_seeds(values).half if len(values) > 1 else 0.0
            side = 1 if centre >= 0 else -1
            axis.barh(
                place + offset * height, centre, height, xerr=half or None, color=COLORS[name],
                label=label if place == 0 else None, error_kw={"lw": 0.8, "ecolor": "#555555"},
            )  # fmt: skip
            axis.annotate(
                with_minus(f"{centre:+.2f}"),
                (centre + side * half, place + offset * height),
                xytext=(4 * side, 0),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va="center",
                fontsize=SMALL,
                color="black",
            )
    axis.axvline(0, color="black", lw=0.8)
    axis.set_yticks(range(len(gains)), [gain.prior for gain in gains])
    axis.set_xlabel("nats per image")
    axis.margins(x=0.1)
