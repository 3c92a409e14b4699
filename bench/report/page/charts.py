"""The page's charts as Vega-Lite specifications. The page's scripts insert their rows."""

from typing import Any

import altair as alt

from bench.report.shown import PARTS

# A flow's bound is not divided.
TERMS = {**dict(PARTS.values()), "−ELBO as a whole": "#8c8c8c"}
# Text on a bar of each of these colours.
ON_TERMS = ("black", "white", "black", "black")
# Dashes and gaps.
SERIES = {"train": [4, 3], "validation": [1, 0]}
# Each option in a model's name has a line of its own: truncated names could look alike.
LINES = "split(datum.label, ' ')"


def specifications() -> dict[str, dict[str, Any]]:
    """Return {name: specification}. Each reads its rows from a data set called ``rows``."""
    charts: dict[str, alt.LayerChart | alt.Chart] = {
        "decomposition": decomposition(),
        "seeds": seeds(),
        "parameters": against("parameters", "trained parameters"),
        "seconds": against("fit_seconds", "seconds of fitting"),
        "curves": curves(),
        "latents": latents(),
    }
    return {
        name: chart.properties(width="container").to_dict(validate=True)
        for name, chart in charts.items()
    }


def rows() -> alt.NamedData:
    return alt.NamedData("rows")


def by_rank(title: str | None = None) -> alt.Y:
    """Return the axis of models, from top to bottom by rank."""
    order = alt.EncodingSortField("rank", op="min")
    return alt.Y("model:N", sort=order, title=title, axis=alt.Axis(labelExpr=LINES))


def decomposition() -> alt.LayerChart:
    """Stack the terms of −ELBO, the mutual information first: its ceiling log n is one line for all."""
    colors = alt.Scale(domain=list(TERMS), range=list(TERMS.values()))
    on_colors = alt.Scale(domain=list(TERMS), range=list(ON_TERMS))
    title = "−ELBO (nats per image)"
    ends = [alt.param(name, value=value) for name, value in (("least", 0), ("most", 1))]
    domain = [alt.ExprRef("least"), alt.ExprRef("most")]
    x = alt.X("start:Q", title=title, scale=alt.Scale(domain=domain, nice=False))
    bars = alt.Chart(rows()).mark_bar().encode(
        y=by_rank(),
        x=x,
        x2="end:Q",
        color=alt.Color("term:N", scale=colors, sort=None, legend=alt.Legend(title=None)),
        tooltip=["model:N", "term:N", alt.Tooltip("nats:Q", format=".2f")],
    )  # fmt: skip
    values = alt.Chart(rows()).mark_text(tooltip=None).encode(
        y=by_rank(),
        x="middle:Q",
        text="label:N",
        color=alt.Color("term:N", scale=on_colors, legend=None),
    )  # fmt: skip
    sums = alt.Chart(rows()).mark_text(align="left", dx=4, tooltip=None)
    sums = sums.encode(y=by_rank(), x="end:Q", text="total_label:N")
    bound = alt.Chart(rows()).mark_rule(strokeDash=[4, 3], strokeWidth=2)
    line = bound.encode(x="min(log_n):Q")
    label = alt.Chart(rows()).mark_text(align="left", dx=4, baseline="bottom", y=-2)
    text = label.encode(x="min(log_n):Q", text="min(log_n_label):N")
    layers = alt.layer(bars, line, values, sums, text).resolve_scale(color="independent")
    return layers.add_params(*ends)


def seeds() -> alt.LayerChart:
    """Draw a dot for each run's bits/dim and a stroke at each model's mean.

    Models far beyond the others, the data set ``others``, have a label at the end of the axis.
    """
    scale = alt.Scale(zero=False, padding=12)
    axis = alt.Axis(tickCount=5, labelOverlap="greedy", labelSeparation=8)
    x = alt.X("bits_per_dim:Q", title="bits/dim, test split", scale=scale, axis=axis)
    bits = alt.Tooltip("bits_per_dim:Q", format=".4f")
    dots = alt.Chart(rows()).mark_circle(size=55, opacity=0.75, cursor="pointer").encode(
        y=by_rank(),
        x=x,
        color=alt.Color("model:N", sort=None, legend=None),
        tooltip=["model:N", "seed:Q", bits, "key:N"],
    )  # fmt: skip
    means = alt.Chart(rows()).mark_tick(thickness=2, size=18)
    means = means.encode(y=by_rank(), x="mean(bits_per_dim):Q")
    beyond = alt.Chart(alt.NamedData("others")).mark_text(align="right", dx=-2, tooltip=None)
    labels = beyond.encode(y=by_rank(), x=alt.value("width"), text="label:N")
    return dots + means + labels


def against(name: str, title: str) -> alt.LayerChart:
    """Draw bits/dim against the cost of a run: a mark for each run, grey except for the best models."""
    logarithmic = alt.Scale(type="log", nice=False, padding=24)
    axis = alt.Axis(tickCount=5, format=".3~s", labelOverlap="greedy")
    x = alt.X(f"{name}:Q", title=title, scale=logarithmic, axis=axis)
    # Without this format the axis of a single run says 0.
    y = alt.Y(
        "bits_per_dim:Q",
        title="bits/dim",
        scale=alt.Scale(zero=False, padding=14),
        axis=alt.Axis(format=".5~g"),
    )
    numbers = alt.Tooltip("bits_per_dim:Q", format=".4f"), alt.Tooltip(f"{name}:Q", format=",.6~r")
    tooltip = ["model:N", "seed:Q", *numbers, "key:N"]
    others = alt.Chart(alt.NamedData("others")).encode(x=x, y=y, tooltip=tooltip)
    others = others.mark_circle(size=16, opacity=0.4, color="#888888", cursor="pointer")
    legend = alt.Legend(title=None, columns=2, orient="bottom", labelExpr=LINES)
    best = alt.Chart(rows()).mark_point(filled=True, size=60, opacity=0.85, cursor="pointer")
    best = best.encode(
        x=x,
        y=y,
        tooltip=tooltip,
        color=alt.Color("model:N", sort=None, legend=legend),
        shape=alt.Shape("model:N", sort=None, legend=legend),
    )
    return (others + best).properties(height=260)


def curves() -> alt.LayerChart:
    """Draw one model's training and validation bound in its colour, a line for each seed."""
    low, high = alt.param("low", value=0), alt.param("high", value=1)
    dashes = alt.Scale(domain=list(SERIES), range=list(SERIES.values()))
    visible = alt.Scale(domain=[alt.ExprRef("low"), alt.ExprRef("high")], nice=False)
    lines = alt.Chart(rows()).mark_line(clip=True, strokeWidth=1.4)
    lines = lines.encode(
        x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickCount=5)),
        y=alt.Y("nats:Q", title="ELBO (nats)", scale=visible),
        # The page puts the model's colour here.
        color=alt.ColorDatum("model"),
        strokeDash=alt.StrokeDash("series:N", sort=None, scale=dashes, legend=alt.Legend(title=None)),
        detail="seed:N",
        tooltip=["seed:N", "series:N", "epoch:Q", alt.Tooltip("nats:Q", format=".2f")],
    )  # fmt: skip
    best = alt.Chart(alt.NamedData("best")).mark_rule(opacity=0.35).encode(x="epoch:Q")
    return (best + lines).add_params(low, high).properties(height=200)


def latents() -> alt.Chart:
    """Draw the mass on two axes of a latent space, a rectangle for each cell that has any.

    The page sets the scale of colours.
    """
    legend = alt.Legend(
        title="share of the fullest cell", orient="bottom", format=".0%", gradientThickness=9
    )
    axis = alt.Axis(tickCount=4, grid=False)
    extent = alt.Scale(zero=False, nice=False, domain=[alt.ExprRef("low"), alt.ExprRef("high")])
    upright = alt.Scale(zero=False, nice=False, domain=[alt.ExprRef("bottom"), alt.ExprRef("top")])
    cells = alt.Chart(rows()).mark_rect(tooltip=None).encode(
        x=alt.X("left:Q", title="first axis", scale=extent, axis=axis),
        x2="right:Q",
        y=alt.Y("lower:Q", title="second axis", scale=upright, axis=axis),
        y2="upper:Q",
        color=alt.Color("mass:Q", legend=legend),
    )  # fmt: skip
    ends = [alt.param(name, value=0) for name in ("low", "high", "bottom", "top")]
    return cells.add_params(*ends)
