"""claims.html: the lecture's claims with their formulas, figures, numbers and verdicts, in one file."""

from base64 import b64encode
from collections.abc import Mapping
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.claims.catalogue import CLAIMS, Claim
from bench.system.files import write_atomically
from bench.system.printing import decimals_of_error

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE = "page.html"


def write_page(
    path: Path,
    sweep: str,
    table: pd.DataFrame,
    figures: dict[int, list[tuple[Path, str]]],
    conclusions: dict[int, str],
    front: list[tuple[Path, str]],
) -> None:
    """Write the page: self-contained, no network, formulas as MathML, every text escaped.

    Args:
        path: The HTML file.
        sweep: The sweep's name.
        table: claims.csv.
        figures: Files and captions of each claim's figures.
        conclusions: Sentences that sum up a claim's rows.
        front: Figures above the first claim.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("bench", "claims"), autoescape=True)
    environment.trim_blocks = True
    sections = [
        section_of(
            claim,
            table[table["claim"] == number],
            figures.get(number, []),
            conclusions.get(number, ""),
        )
        for number, claim in CLAIMS.items()
    ]
    text = environment.get_template(TEMPLATE).render(
        sweep=sweep,
        measured=int(table["claim"].nunique()),
        kept=int(table.groupby("claim")["holds"].all().sum()),
        held=int(table["holds"].sum()),
        total=len(table),
        sections=sections,
        front=[embedded(*figure) for figure in front],
    )
    write_atomically(path, text)


def section_of(
    claim: Claim, own: pd.DataFrame, figures: list[tuple[Path, str]], conclusion: str
) -> dict[str, object]:
    """Return the template's variables for one claim, of which ``own`` are the rows."""
    return {
        "claim": claim,
        "formulas": [mathml(formula) for formula in claim.formulas],
        "total": len(own),
        "held": int(own["holds"].sum()),
        "figures": [embedded(*figure) for figure in figures],
        "conclusion": conclusion,
        "groups": by_statement(means_over_seeds(own)),
        "rows": by_statement(list(map(shown_row, own.to_dict("records")))),
    }


def mathml(formula: str) -> "Markup":
    """Return a LaTeX formula as MathML, which browsers render without scripts."""
    from latex2mathml.converter import convert
    from markupsafe import Markup

    # Safe without escaping: formulas are the catalogue's, and contain nothing from a record.
    return Markup(convert(formula, display="block"))


def embedded(path: Path, caption: str) -> dict[str, str]:
    encoded = b64encode(path.read_bytes()).decode()
    return {"data": f"data:image/png;base64,{encoded}", "caption": caption}


def by_statement(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return rows under the statement that they measure, in order of first appearance."""
    groups: dict[object, list[dict[str, object]]] = {}
    for row in rows:
        groups.setdefault(row["statement"], []).append(row)
    return [{"text": text, "rows": own} for text, own in groups.items()]


def means_over_seeds(own: pd.DataFrame) -> list[dict[str, object]]:
    """Return a row of means over seeds for each statement, task and model."""
    lines = []
    for keys, rows in own.groupby(["statement", "task", "model"], sort=False):
        number_of, held = len(rows), int(rows["holds"].sum())
        means = {n: float(rows[n].mean()) for n in ("left", "right", "difference", "tolerance")}
        # Monte-Carlo errors of different seeds are independent.
        means["stderr"] = float(np.sqrt((rows["stderr"] ** 2).sum(skipna=False))) / number_of
        spread = float(rows["difference"].std()) / number_of**0.5
        verdict = f"✓ {held} of {number_of}" if held == number_of else f"✗ {held} of {number_of}"
        lines.append(
            dict(zip(("statement", "task", "model"), keys))
            | texts_of(means, spread)
            | {"seed": int(rows["seed"].nunique()) or "all", "unit": rows["unit"].iloc[0]}
            | {"holds": held == number_of, "verdict": verdict}
        )
    return lines


def shown_row(row: dict[str, Any]) -> dict[str, object]:
    """Return a row of the table with its numbers rounded for display."""
    seed = "all" if pd.isna(row["seed"]) else int(row["seed"])
    verdict = "✓ holds" if row["holds"] else "✗ does not hold"
    return row | texts_of(row) | {"seed": seed, "verdict": verdict}


def texts_of(row: Mapping[str, Any], spread: float = nan) -> dict[str, object]:
    """Return the numbers of a row as texts, rounded to what their error allows.

    The error is the standard error; where there is none, the tolerance; where that is 0, the spread.
    Without any of them three digits are shown. Differences that this would round to 0 are in
    scientific notation.

    Args:
        row: left, right, difference, stderr and tolerance.
        spread: Standard error of the difference over seeds.
    """
    errors = (row["stderr"], row["tolerance"], spread)
    size = max(abs(row["left"]), abs(row["right"]), 1e-12)
    error = next((e for e in errors if not pd.isna(e) and e > 0), size / 50)
    decimals = decimals_of_error(error)
    difference = number(row["difference"], decimals)
    if not pd.isna(row["stderr"]):
        difference += f" ± {number(row['stderr'], decimals)}"
    return {
        "left": number(row["left"], decimals),
        "right": number(row["right"], decimals),
        "difference": difference,
        "tolerance": f"{row['tolerance']:.2g}",
    }


def number(value: float, decimals: int) -> str:
    """Return a number with so many decimals, or in scientific notation if none of them would show it."""
    if isnan(value):
        return "–"
    if value and (abs(value) < 0.5 * 10.0**-decimals or abs(value) >= 1e6):
        return f"{value:.1e}"
    return f"{value:.{decimals}f}"
