"""The figure of claim 13: the parts of the inference gap for each posterior."""

import numpy as np

from bench.claims.curves import GapsCurve
from bench.claims.panels import Drawn, mean_and_spread, panels
from bench.claims.richer_posteriors import by_posterior
from bench.report.style import BLUE, SMALL, YELLOW, with_minus

# {part: its colour, and how far its number stands above the middle of the bar, in points}.
PARTS = {"approximation_gap": (YELLOW, 5), "amortization_gap": (BLUE, -5)}


def inference_gaps(curves: list[GapsCurve]) -> Drawn | None:
    """Claim 13: approximation and amortization gap of VAEs, stacked, for each posterior."""
    tasks = by_posterior(curves)
    if not tasks:
        return None
    figure, axes = panels(len(tasks), 4.6, 2.4)
    for axis, (task, posteriors) in zip(axes, tasks.items()):
        # Parts × posteriors.
        means, spreads = np.array(
            [
                [
                    mean_and_spread([[curve["values"][name]] for curve in seeds.values()])
                    for seeds in posteriors.values()
                ]
                for name in PARTS
            ]
        )[..., 0].transpose(2, 0, 1)
        starts, right_ends = np.zeros(len(posteriors)), means.cumsum(0).max(0, initial=0)
        for (name, (color, above)), widths, errors in zip(PARTS.items(), means, spreads):
            axis.barh(
                list(posteriors), widths, 0.6, starts, color=color, label=name.replace("_", " ")
            )
            starts = starts + widths
            # Beside the whole bar, one above the other: a part may be narrower than its number.
            for place, (end, width, error) in enumerate(zip(right_ends, widths, errors)):
                axis.annotate(
                    with_minus(f"{width:.2f} ± {error:.2f}"), (end, place), (4, above),
                    textcoords="offset points", va="center", fontsize=SMALL, color=color,
                )  # fmt: skip
        axis.axvline(0, color="black", linewidth=0.8)
        axis.margins(x=0.22)
        axis.set(title=task, xlabel="nats per image", ylim=(-0.5, len(posteriors) - 0.5))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure, (
        "The inference gap of VAEs by the family of q(z|y): what the best member of the family leaves, "
        "and what the encoder leaves of that; mean over seeds ± half their range."
    )
