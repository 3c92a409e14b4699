"""The figure of claim 14: the gain in ELBO of each prior, and its parts."""

from matplotlib.axes import Axes

from bench.claims.panels import Drawn, panels
from bench.claims.prior_gain import Gain, gains, mean_and_error
from bench.records.types import Record
from bench.report.style import BLUE, GREEN, PAGE, SMALL, YELLOW

COLORS = {"reconstruction": BLUE, "mutual_information": YELLOW, "marginal_kl": GREEN}
NAMES = {
    "reconstruction": "reconstruction",
    "mutual_information": "− mutual information",
    "marginal_kl": "− marginal KL",
}


def prior_gains(records: list[Record]) -> Drawn | None:
    """Claim 14: a group of bars for each prior, in the order of the gain."""
    tasks: dict[str, list[Gain]] = {}
    for gain in gains(records):
        tasks.setdefault(gain.task, []).append(gain)
    if not tasks:
        return None
    figure, axes = panels(len(tasks), PAGE, 3.0, columns=1)
    for axis, (task, own) in zip(axes, tasks.items()):
        own.sort(key=lambda gain: mean_and_error(gain.elbo)[0])
        draw(axis, own)
        axis.set_title(f"{task}, test split")
    return figure, (
        "What a prior adds to the test ELBO of the standard normal on the same network, and by which part: "
        "reconstruction, less mutual information, less marginal KL. Black, and under the prior's name: "
        "the whole gain, the sum of the three bars. Error bars: standard error over seeds, paired."
    )


def draw(axis: Axes, gains: list[Gain]) -> None:
    height = 0.24
    for place, gain in enumerate(gains):
        for offset, (name, color) in zip((1, 0, -1), COLORS.items()):
            mean, error = mean_and_error(gain.parts[name])
            label = NAMES[name] if place == 0 else None
            axis.barh(
                place + offset * height, mean, height, xerr=error, color=color, label=label,
                error_kw={"lw": 0.8},
            )  # fmt: skip
            axis.annotate(
                f"{mean:+.2f}",
                (mean + (error if mean >= 0 else -error), place + offset * height),
                xytext=(4 if mean >= 0 else -4, 0),
                textcoords="offset points",
                ha="left" if mean >= 0 else "right",
                va="center",
                fontsize=SMALL,
            )
        total, _ = mean_and_error(gain.elbo)
        label = "gain in ELBO" if place == 0 else None
        axis.plot([total] * 2, [place - 0.42, place + 0.42], color="black", lw=2, label=label)
    axis.axvline(0, color="black", lw=0.8)
    names = [f"{gain.prior}\n{mean_and_error(gain.elbo)[0]:+.2f}" for gain in gains]
    axis.set_yticks(range(len(gains)), names)
    axis.set_xlabel("nats per image")
    axis.margins(x=0.14)
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=4)
