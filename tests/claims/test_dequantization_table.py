"""dequantization.csv: the gaps of models, from rows of claim 6 and records."""

import pytest

from bench.claims.dequantization import COLUMNS, dequantization_table
from bench.claims.evidence import AT_ONE_LATENT as FIXED
from bench.claims.evidence import TIGHTER as STATEMENT

FIRST = STATEMENT.format(1000)


def record(model: str, seed: int, bits: float, bound: str = "upper") -> dict:
    metrics = {"test": {"bits_per_dim": {"value": bits}}}
    return {"task": "t", "model": model, "seed": seed, "bound": bound, "metrics": metrics}


def row(model: str, statement: str, left: float, right: float, claim: int = 6) -> dict:
    return {
        "claim": claim,
        "statement": statement,
        "task": "t",
        "model": model,
        "left": left,
        "right": right,
    }


RECORDS = [
    record("flow", 1, 2.0), record("flow", 2, 2.2),
    record("vae", 1, 2.5), record("vae", 2, 2.5),
    record("bare", 1, -7.0, bound="none"),
    record("integer", 1, 2.1, bound="exact"), record("integer", 2, 2.3, bound="exact"),
]  # fmt: skip
ROWS = [
    row("flow", f"{FIRST} (dequantization gap)", 2.0, 2.1), row("flow", f"{FIRST} (dequantization gap)", 2.0, 2.3),
    row("vae", f"{FIRST} (dequantization and inference gap)", 2.4, 2.7), row("vae", FIXED, 2.5, 2.55),
    row("vae", f"{FIRST} (dequantization and inference gap)", 2.4, 2.7), row("vae", FIXED, 2.5, 2.55),
    row("flow", "another claim", 0.0, 9.0, claim=2),
]  # fmt: skip


def test_each_model_has_its_gap_and_the_part_of_dequantization():
    table = dequantization_table(RECORDS, ROWS).set_index("model")
    assert list(table.reset_index().columns.sort_values()) == sorted(COLUMNS)
    assert table.loc["flow", "gap"] == pytest.approx(0.2)
    assert table.loc["flow", "dequantization_gap"] == pytest.approx(0.2)
    low, high = table.loc["flow", ["gap_low", "gap_high"]]
    assert (low + high) / 2 == pytest.approx(0.2) and high - low == pytest.approx(2 * 12.7062 * 0.1)
    assert table.loc["vae", "gap"] == pytest.approx(0.3)
    assert table.loc["vae", "dequantization_gap"] == pytest.approx(0.05)
    assert table.loc["integer", "dequantization_gap"] == 0 and table.loc["integer", "seeds"] == 2
    assert table.loc["integer", "bits_per_dim"] == pytest.approx(2.2)


def test_what_is_no_bound_has_no_bits():
    bare = dequantization_table(RECORDS, ROWS).set_index("model").loc["bare"]
    assert bare.drop(["task", "seeds", "note"]).isna().all() and "no bound" in bare["note"]


def test_without_runs_there_is_no_row():
    assert not len(dequantization_table([], ROWS))
