"""The page's charts as Vega-Lite specifications; their rows are put in where they are shown."""

import altair as alt

TERMS = {
    "mutual information": "#ccbb44",
    "marginal KL": "#ee6677",
    "−reconstruction": "#4477aa",
}
SERIES = {"train": "#4477aa", "validation": "#ee6677"}
# Ten of them; shapes tell models apart whose colour is the same.
SCHEME = "tableau10"


def specifications() -> dict[str, dict]:
    """Return {name: specification}. Each reads its rows from a data set called ``rows``."""
    charts = {
        "decomposition": decomposition(),
        "seeds": seeds(),
        "parameters": against("parameters", "trained parameters"),
        "seconds": against("fit_seconds", "seconds of fitting"),
        "curves": curves(),
    }
    return {
        name: chart.properties(width="container").to_dict(validate=True)
        for name, chart in charts.items()
    }


def rows() -> alt.NamedData:
    return alt.NamedData("rows")


def by_rank(title: str | None = None) -> alt.Y:
    """Return models from top to bottom by their rank."""
    return alt.Y("model:N", sort=alt.EncodingSortField("rank", op="min"), title=title)


def decomposition() -> alt.LayerChart:
    """Stack the terms of −ELBO, mutual information first, so that log n is one line for all."""
    colors = alt.Scale(domain=list(TERMS), range=list(TERMS.values()))
    bars = alt.Chart(rows()).mark_bar().encode(
        y=by_rank(),
        x=alt.X("nats:Q", title="−ELBO (nats per image), test split", stack="zero"),
        color=alt.Color("term:N", scale=colors, sort=None, legend=alt.Legend(title=None)),
        order=alt.Order("order:O"),
        tooltip=["model:N", "term:N", alt.Tooltip("nats:Q", format=".2f")],
    )  # fmt: skip
    bound = alt.Chart(rows()).mark_rule(strokeDash=[4, 3], strokeWidth=2)
    line = bound.encode(x="min(log_n):Q")
    label = alt.Chart(rows()).mark_text(align="left", dx=4, baseline="bottom", y=-2)
    text = label.encode(x="min(log_n):Q", text="min(log_n_label):N")
    return bars + line + text


def seeds() -> alt.LayerChart:
    """A dot for each run's bits/dim, a stroke at each model's mean."""
    x = alt.X("bits_per_dim:Q", title="bits/dim, test split", scale=alt.Scale(zero=False))
    dots = alt.Chart(rows()).mark_circle(size=55, opacity=0.65, cursor="pointer")
    dots = dots.encode(y=by_rank(), x=x, tooltip=["model:N", "seed:Q", "bits_per_dim:Q", "key:N"])
    means = alt.Chart(rows()).mark_tick(thickness=2, size=18)
    means = means.encode(y=by_rank(), x="mean(bits_per_dim):Q")
    return dots + means


def against(name: str, title: str) -> alt.Chart:
    """bits/dim against what a run costs, a mark for each run."""
    legend = alt.Legend(title=None, columns=2, orient="bottom")
    logarithmic = alt.Scale(type="log", nice=False, padding=24)
    axis = alt.Axis(tickCount=5, format="~s", labelOverlap="greedy")
    marks = alt.Chart(rows()).mark_point(filled=True, size=60, opacity=0.8, cursor="pointer")
    return marks.encode(
        x=alt.X(f"{name}:Q", title=title, scale=logarithmic, axis=axis),
        y=alt.Y("bits_per_dim:Q", title="bits/dim", scale=alt.Scale(zero=False)),
        color=alt.Color("group:N", sort=None, scale=alt.Scale(scheme=SCHEME), legend=legend),
        shape=alt.Shape("group:N", sort=None, legend=legend),
        tooltip=["model:N", "seed:Q", "bits_per_dim:Q", f"{name}:Q", "key:N"],
    ).properties(height=260)


def curves() -> alt.LayerChart:
    """One model's training and validation bound, a line for each seed."""
    low, high = alt.param("low", value=0), alt.param("high", value=1)
    colors = alt.Scale(domain=list(SERIES), range=list(SERIES.values()))
    visible = alt.Scale(domain=[alt.ExprRef("low"), alt.ExprRef("high")], nice=False)
    lines = alt.Chart(rows()).mark_line(clip=True, strokeWidth=1.3)
    lines = lines.encode(
        x=alt.X("epoch:Q", title="epoch"),
        y=alt.Y("nats:Q", title="ELBO (nats)", scale=visible),
        color=alt.Color("series:N", sort=None, scale=colors, legend=alt.Legend(title=None)),
        detail="seed:N",
        tooltip=["seed:N", "series:N", "epoch:Q", "nats:Q"],
    )
    best = alt.Chart(alt.NamedData("best")).mark_rule(opacity=0.35).encode(x="epoch:Q")
    return (best + lines).add_params(low, high).properties(height=200)
