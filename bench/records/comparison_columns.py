"""The columns of leaderboard.csv that compare a row with the others of its task."""

from bench.records.column import Column

HSU = (
    "Hsu 1984, Constrained simultaneous confidence intervals; Hsu 1996, Multiple comparisons, ch. 4"
)
MOHAMAD = "Al Mohamad, Goeman & van Zwet 2022, Simultaneous confidence intervals for ranks"
DIFFERENCE = "bits_per_dim_to_best"
COMPARISON = (
    Column(
        "survivors_only", "boolean", "",
        "True: seeds failed, so that every mean and interval of the row is over those that ended well, "
        "which may differ from those that did not",
    ),
    Column(
        "rank_low", "integer", "",
        "The lowest (best) rank that remains possible: 1 + the number of models that are better with "
        "95 % confidence, all pairs of the ranked models being compared at once (Student's t with "
        "Šidák's correction, variances as for bits_per_dim_to_best_low). Empty where no ranked model "
        "has a second seed",
        "", MOHAMAD,
    ),
    Column("rank_high", "integer", "", "The highest rank that remains possible", "", MOHAMAD),
    Column(
        DIFFERENCE, "number", "bits/dim",
        "Mean over seeds of bits_per_dim less the smallest such mean of the other ranked models: "
        "negative for the first", "estimate",
    ),
    Column(
        f"{DIFFERENCE}_low", "number", "bits/dim",
        "Lower end, at most 0, of the interval of that difference by multiple comparisons with the "
        "best: the intervals of all models of a task hold together with 95 % confidence, whichever "
        "happens to be first. Critical values are Dunnett's for unpaired seeds with the degrees of "
        "freedom of all models; a model's variance is the pooled one, or its own where that is larger",
        "", HSU,
    ),
    Column(
        f"{DIFFERENCE}_high", "number", "bits/dim",
        "Upper end, at least 0, of that interval. The model is not the best where the low end is 0 "
        "and this is not, and the best where this is 0. Empty where no ranked model has a second seed",
        "", HSU,
    ),
    Column("bound", "string", "", "upper: the true bits/dim is at most this; exact: it is this"),
    Column("reference", "number", "bits/dim", "A published value for this task and recipe"),
    Column("reference_source", "string", "", "Its source, and whether it was read there or recalled"),
)  # fmt: skip
# Columns that compare a row with others, or say with which it may be compared.
COMPARED = (
    "rank", "rank_low", "rank_high", "survivors_only", "importance_samples",
    DIFFERENCE, f"{DIFFERENCE}_low", f"{DIFFERENCE}_high",
)  # fmt: skip
