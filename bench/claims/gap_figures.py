"""The figure of claim 13: the parts of the inference gap for each posterior."""

from bench.claims.curves import GapsCurve
from bench.claims.panels import BLUE, RED, Drawn, mean_and_spread, panels
from bench.claims.richer_posteriors import by_posterior


def inference_gaps(curves: list[GapsCurve]) -> Drawn | None:
    """Claim 13: approximation and amortization gap of VAEs, stacked, for each posterior."""
    tasks = by_posterior(curves)
    if not tasks:
        return None
    figure, axes = panels(len(tasks), width=4.6)
    for axis, (task, posteriors) in zip(axes, tasks.items()):
        below = [0.0] * len(posteriors)
        for name, color in (("approximation_gap", RED), ("amortization_gap", BLUE)):
            parts = [
                mean_and_spread([[curve["values"][name]] for curve in seeds.values()])
                for seeds in posteriors.values()
            ]
            heights = [float(mean[0]) for mean, _ in parts]
            spreads = [float(spread[0]) for _, spread in parts]
            axis.bar(list(posteriors), heights, bottom=below, yerr=spreads, color=color,
                     label=name.replace("_", " "))  # fmt: skip
            below = [low + height for low, height in zip(below, heights)]
        axis.set(title=task, ylabel="nats per image")
        axis.tick_params("x", labelsize=7)
        axis.legend(frameon=False, fontsize=8)
    return figure, (
        "The inference gap of VAEs by the family of q(z|y): what the best member of the family leaves, "
        "and what the encoder leaves of that; mean over seeds, bars: range."
    )
