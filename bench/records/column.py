"""What a table says of one of its columns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Its name in the CSV.
        type: string, integer, number or boolean, in the sense of a Table Schema.
        unit: nats, bits/dim, or empty.
        meaning: What it is, and by which estimator.
        bound: Relation of the number to the true value: lower or upper bound, estimate, or exact.
        source: The source of the definition.
    """

    name: str
    type: str
    unit: str
    meaning: str
    bound: str = ""
    source: str = ""
