"""Formulas as MathML, which browsers show without a script, in lines that fit a phone."""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
# A function's name stands apart from what is around it; the conversion leaves no space there.
BEFORE = re.compile(r"(?<=})\s+(?=\\(?:log|ln|det)\b)")
AFTER = re.compile(r"\\(log|ln|det)\s+(?=[^\s_^])")
TOKEN = re.compile(r"\\[a-zA-Z]+\s*|\\.|.", re.DOTALL)
DEPTH = {"{": 1, "(": 1, "[": 1, r"\left": 1, "}": -1, ")": -1, "]": -1, r"\right": -1}
RELATIONS = ("=", "<", r"\le", r"\ge", r"\approx", r"\propto", r"\gg", r"\Rightarrow")


def on_page_content(content, page, config, files):
    """Turn formulas into MathML; one that cannot be read is an error."""

    def mathml(match: re.Match) -> str:
        latex = AFTER.sub(r"\\\1\\, ", BEFORE.sub(r"\\, ", html.unescape(match[3]).strip()))
        return displayed(latex) if match[2] == "[" else converted(latex)

    return FORMULA.sub(mathml, content)


def converted(latex: str, display: str = "inline") -> str:
    # The conversion takes \sim for the tilde of ASCII, and that for a variable.
    return convert(latex, display=display).replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")


def displayed(latex: str) -> str:
    """Return a formula of its own line as pieces between which a narrow screen may break it."""
    statements = []
    for statement in parts(latex):
        pieces = "".join(converted(piece, "block") for piece in statement)
        statements.append(f"<span>{pieces}</span>")
    return f'<div class="formula">{"".join(statements)}</div>'


def parts(latex: str) -> list[list[str]]:
    r"""Return the statements that \quad separates, each broken before its relations and sums.

    Nothing is broken within brackets.
    """
    statements, depth, before = [[""]], 0, ""
    for token in TOKEN.findall(latex):
        name = token.strip()
        if depth == 0 and name in (r"\quad", r"\qquad"):
            statements.append([""])
            continue
        pieces = statements[-1]
        if depth == 0 and pieces[-1].strip():
            # A sign after a relation belongs to its number; {} keeps the space around others.
            if name in RELATIONS:
                pieces.append("")
            elif name in ("+", "-") and before not in RELATIONS:
                pieces.append("{}")
        pieces[-1] += token
        depth += DEPTH.get(name, 0)
        before = name or before
    return statements
