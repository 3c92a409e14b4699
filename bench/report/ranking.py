"""The order and the ranks of one task's rows: only bounds of one K on the same images compete."""

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.records.columns import DIFFERENCE
from bench.records.row import Row
from bench.records.types import TableRecord
from bench.report.comparisons import Comparison, comparisons


def ranked_rows(rows: Mapping[str, Row], groups: Mapping[str, Sequence[TableRecord]]) -> list[Row]:
    """Return the rows of one task in the leaderboard's order, with ranks and comparisons.

    L_K rises with K, so a model evaluated with more samples would gain ranks by that alone. Ranked are
    the rows of the most common K and number of images, and exact ones on as many images, whose number
    no K changes. Other rows follow, each K by itself, without ranks: a second 'first' would be read as
    the task's. Rows whose seeds have several K, or were evaluated on several numbers of images, follow
    those, and rows without any number come last.

    Args:
        rows: What each row says of its own runs, by model.
        groups: The records of each model.
    """
    common = common_evaluation(list(rows.values()))

    def order(model: str) -> tuple[int, int, int, float]:
        row = rows[model]
        bits, samples, data = (
            row[name] for name in ("bits_per_dim", "importance_samples", "importance_data")
        )
        if bits is None:
            return 3, 0, 0, 0.0
        if is_ranked(row, common):
            return 0, 0, 0, float(bits)
        if samples is None or data is None:
            return 2, 0, 0, float(bits)
        return 1, -int(samples), -int(data), float(bits)

    names = sorted(rows, key=order)
    ranked = [name for name in names if is_ranked(rows[name], common)]
    values = [list(bits_by_seed(groups[name]).values()) for name in ranked]
    exact = [has_one_exact_value(groups[name]) for name in ranked]
    found = dict(zip(ranked, comparisons(values, exact))) if ranked else {}
    ranks = {name: rank for rank, name in enumerate(ranked, start=1)}
    return [
        rows[name] | {"rank": ranks.get(name)} | columns_of(found.get(name, Comparison()))
        for name in names
    ]


def columns_of(comparison: Comparison) -> Row:
    return {
        "rank_low": comparison.rank_low,
        "rank_high": comparison.rank_high,
        DIFFERENCE: comparison.difference,
        f"{DIFFERENCE}_low": comparison.low,
        f"{DIFFERENCE}_high": comparison.high,
    }


def common_evaluation(rows: Sequence[Row]) -> tuple[int, int] | None:
    """Return the K and number of images that most rows have, of equally common ones the largest K.

    Rows of bounds decide, and exact ones where there is no bound; None without any number.
    """
    for bound in ("upper", "exact"):
        counted = Counter(
            (int(row["importance_samples"]), int(row["importance_data"]))
            for row in rows
            if row["bound"] == bound
            and row["importance_samples"] is not None
            and row["importance_data"] is not None
        )
        if counted:
            return max(counted, key=lambda evaluation: (counted[evaluation], evaluation))
    return None


def is_ranked(row: Row, common: tuple[int, int] | None) -> bool:
    """Tell whether a row has a number that competes: a bound of the common K, or an exact one.

    It must be of as many images: an evaluation takes the first ones of the split, so as many are the same.
    """
    if common is None or row["bits_per_dim"] is None or row["importance_data"] != common[1]:
        return False
    return row["bound"] == "exact" or row["importance_samples"] == common[0]


def has_one_exact_value(group: Sequence[TableRecord]) -> bool:
    """Tell whether a model has one exact value, whatever the seed."""
    bounds = {record["bound"] for record in group if record["status"] == "ok"}
    return bounds == {"exact"} and len(set(bits_by_seed(group).values())) == 1


def bits_by_seed(group: Sequence[TableRecord]) -> dict[int, float]:
    """Return the test bits/dim of a model's runs that ended well, by seed."""
    return {
        record["seed"]: record["metrics"]["test"]["bits_per_dim"]["value"]
        for record in group
        if record["status"] == "ok"
    }
