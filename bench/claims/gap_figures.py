"""The figure of claim 13: the parts of the inference gap for each posterior."""

from bench.claims.curves import GapsCurve
from bench.claims.panels import Drawn, mean_and_spread, panels
from bench.claims.richer_posteriors import by_posterior
from bench.report.style import BLUE, SMALL, YELLOW


def inference_gaps(curves: list[GapsCurve]) -> Drawn | None:
    """Claim 13: approximation and amortization gap of VAEs, stacked, for each posterior."""
    tasks = by_posterior(curves)
    if not tasks:
        return None
    figure, axes = panels(len(tasks), 4.6, 2.6)
    for axis, (task, posteriors) in zip(axes, tasks.items()):
        below = [0.0] * len(posteriors)
        for name, color in (("approximation_gap", YELLOW), ("amortization_gap", BLUE)):
            parts = [
                mean_and_spread([[curve["values"][name]] for curve in seeds.values()])
                for seeds in posteriors.values()
            ]
            widths = [float(mean[0]) for mean, _ in parts]
            spreads = [float(spread[0]) for _, spread in parts]
            axis.barh(
                list(posteriors), widths, 0.6, below, color=color, label=name.replace("_", " ")
            )
            for place, (start, width, spread) in enumerate(zip(below, widths, spreads)):
                # The first part's number begins where its bar does, the last one's ends there.
                at, side = (start + width, "right") if start else (0.0, "left")
                axis.annotate(
                    f"{width:.2f} ± {spread:.2f}", (at, place + 0.32), ha=side, va="bottom",
                    fontsize=SMALL, color=color,
                )  # fmt: skip
            below = [low + width for low, width in zip(below, widths)]
        axis.set(title=task, xlabel="nats per image", ylim=(-0.5, len(posteriors) - 0.2))
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=2)
    return figure, (
        "The inference gap of VAEs by the family of q(z|y): what the best member of the family leaves, "
        "and what the encoder leaves of that; mean over seeds ± half their range."
    )
