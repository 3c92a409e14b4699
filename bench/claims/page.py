"""claims.html: the lecture's claims with their formulas, figures, numbers and verdicts, in one file."""

from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.claims.catalogue import CLAIMS, Claim
from bench.system.files import write_atomically

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
        "groups": means_over_seeds(own),
        "rows": [shown_row(row) for row in own.to_dict("records")],
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


def number(value: float | None) -> str:
    """Return a number rounded for display; claims.csv has all its digits."""
    if value is None or pd.isna(value):
        return "–"
    if value == 0:
        return "0"
    return f"{value:.4g}" if abs(value) < 1e-3 or abs(value) >= 1e5 else f"{value:.4f}"


def means_over_seeds(own: pd.DataFrame) -> list[dict[str, object]]:
    """Return a row of means over seeds for each statement, task and model."""
    lines = []
    for keys, rows in own.groupby(["statement", "task", "model"], sort=False):
        lines.append(
            dict(zip(("statement", "task", "model"), keys))
            | {name: number(rows[name].mean()) for name in ("left", "right", "difference")}
            | {
                "seeds": int(rows["seed"].nunique()) or "all",
                "unit": rows["unit"].iloc[0],
                "rows": len(rows),
                "held": int(rows["holds"].sum()),
            }
        )
    return lines


def shown_row(row: dict[str, Any]) -> dict[str, object]:
    """Return a row of the table with its numbers rounded for display."""
    numbers = ("left", "right", "difference", "stderr", "tolerance")
    seed = "all" if pd.isna(row["seed"]) else int(row["seed"])
    return row | {name: number(row[name]) for name in numbers} | {"seed": seed}
