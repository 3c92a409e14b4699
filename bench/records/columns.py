"""The data dictionary of the tables: the columns of runs.csv, leaderboard.csv and timings.csv, in order."""

from dataclasses import replace

import pandas as pd

from bench.records.run_columns import (
    BITS_STDERR,
    BOUND_RISE_STDERR,
    DIAGNOSTICS,
    ERRORS,
    ESTIMATES,
    HSU,
    IMPORTANCE_DATA,
    IMPORTANCE_SAMPLES,
    MOHAMAD,
    POPULATION_STDERR,
    PROVENANCE,
    RUN,
    Column,
)

# Columns of leaderboard.csv beside means over seeds.
ROW = (
    Column(
        "rank", "integer", "",
        "By test bits_per_dim inside the task, among rows of its most common importance_samples and "
        "importance_data (of equally common ones the largest) and exact ones of as many data. Empty for "
        "other rows, where seeds have several K, and where all seeds failed. Where rank_low is empty it "
        "is an order of means without an error",
    ),
    Column("task", "string", "", "As in runs.csv"),
    Column("model", "string", "", "As in runs.csv"),
    Column("seeds", "integer", "", "Number of runs that ended well"),
    Column("failed", "integer", "", "Number of runs that failed"),
)  # fmt: skip
SAMPLES_OF_ROW = replace(
    IMPORTANCE_SAMPLES,
    meaning=f"{IMPORTANCE_SAMPLES.meaning}; empty where the seeds have several K",
)
DIAGNOSED_SEEDS = Column(
    "diagnosed_seeds", "integer", "",
    "Number of the seeds that have the diagnostics of L_K, effective_sample_size_median to bound_rise: "
    "the row's diagnostics are means over those alone. The bits_per_dim_stderr of the other seeds is "
    "an older estimate that is too small: where a run has had both, today's is 1.5 to 1.7 times as large. "
    "Empty where the log-likelihood is exact",
)  # fmt: skip
DATA_OF_ROW = replace(
    IMPORTANCE_DATA,
    meaning=f"{IMPORTANCE_DATA.meaning}, the first of the split; empty where it differs between seeds",
)
STDERR_OF_ROW = replace(
    BITS_STDERR,
    meaning=f"{BITS_STDERR.meaning}. Of several seeds it is the error of their mean, and diagnosed_seeds "
    "says how many of them are not older",
)
POPULATION_OF_ROW = replace(
    POPULATION_STDERR, meaning=f"Mean over seeds, test split. {POPULATION_STDERR.meaning}"
)
DIFFERENCE = "bits_per_dim_to_best"
COMPARISON = (
    Column(
        "survivors_only", "boolean", "",
        "True: seeds failed, so that every number of the row, also its rank and its comparison with "
        "others, is of those that ended well, which may differ from those that did not",
    ),
    Column(
        "rank_low", "integer", "",
        "The lowest (best) rank that remains possible: 1 + the number of ranked rows that are better with "
        "95 % confidence, all pairs of exact rows and rows of two seeds or more being compared at once "
        "(Student's t with Šidák's correction, variances as for bits_per_dim_to_best_low). Empty for a "
        "row with one seed, which says nothing of its variance: it may stand before or after any other",
        "", MOHAMAD,
    ),
    Column("rank_high", "integer", "", "The highest rank that remains possible", "", MOHAMAD),
    Column(
        DIFFERENCE, "number", "bits/dim",
        "Mean over seeds of bits_per_dim less that of the best other ranked row, the smallest such mean: "
        "negative for the first. Rows without a rank are not among the others", "estimate",
    ),
    Column(
        f"{DIFFERENCE}_low", "number", "bits/dim",
        "Lower end, at most 0, of the interval of that difference by multiple comparisons with the "
        "best: the intervals of all exact rows and rows of two seeds or more of a task hold together "
        "with 95 % confidence, whichever happens to be first. Critical values are Dunnett's for unpaired "
        "seeds with the degrees of freedom of all models; a model's variance is the pooled one, or its own "
        "where that is larger. Empty for a row with one seed, which says nothing of its variance, and "
        "where the best other ranked row has one",
        "", HSU,
    ),
    Column(
        f"{DIFFERENCE}_high", "number", "bits/dim",
        "Upper end, at least 0, of that interval. The row is behind where the low end is 0 and this is "
        "not, and the best of the rows with an interval where this is 0. Empty where the low end is",
        "", HSU,
    ),
    Column("bound", "string", "", "upper: the true bits/dim is at most this; exact: it is this"),
    Column("reference", "number", "bits/dim", "A published value for this task and recipe"),
    Column("reference_source", "string", "", "Its source, and whether it was read there or recalled"),
    Column("plugin", "string", "", "As in runs.csv"),
)  # fmt: skip
PROVENANCE_OF_ROW = (
    Column(
        "commit", "string", "",
        "The commits of this code that made the runs that ended well, with spaces between them, where they "
        "are known. runs.csv has that of each run, and whether the code differed from it (dirty)",
    ),
    Column(
        "data_sha256", "string", "",
        "Hash of the images as the model sees them, as in runs.csv: several, with spaces between them, "
        "only where older runs have another kind of hash",
    ),
)  # fmt: skip


ENERGY = (
    "Energy during training and evaluation, of {whole}: it contains what other programs used "
    "meanwhile, other runs included (overlapping_runs), and no share is attempted. Empty where the "
    "counter could not be read, where it may have wrapped unseen, and where the run was interrupted"
)
# Columns of timings.csv after the times of phases.
COST_COLUMNS = (
    Column(
        "core_hours", "number", "h",
        "total_seconds × the threads of each process × the processes that trained together / 3600; "
        "of the seconds of a stack, each of its runs has an equal part. On a GPU's machine these are "
        "the cores of the host",
    ),
    Column("processor", "string", "", "The GPU's name, or on the CPU the CPU's model"),
    Column("stacked", "integer", "", "Number of runs that trained as one network, this one included"),
    Column(
        "cpu_energy_joules", "number", "J",
        ENERGY.format(whole="all CPU packages of the whole machine (RAPL), without its memory"),
    ),
    Column(
        "gpu_energy_joules", "number", "J",
        ENERGY.format(whole="the whole GPUs that the run computed on (NVML's total energy)"),
    ),
    Column(
        "started", "datetime", "", "When the run started, or was resumed for the last time, in UTC"
    ),
    Column("ended", "datetime", "", "When the run ended, in UTC"),
    Column(
        "overlapping_runs", "integer", "",
        "Number of other runs of this table that were in progress at some time between started and "
        "ended, on whatever machine: where it is not 0, they may share the energy. Runs without "
        "times are not counted",
    ),
)  # fmt: skip

# Columns that compare a row with others, say with which it may be compared, or where it comes from:
# those that older tables lack, or that have another meaning there.
COMPARED = (
    "rank", "rank_low", "rank_high", "survivors_only", "importance_samples", "importance_data",
    "diagnosed_seeds", DIFFERENCE, f"{DIFFERENCE}_low", f"{DIFFERENCE}_high", "commit", "data_sha256",
)  # fmt: skip


def added_columns() -> set[str]:
    """Return the columns of both tables that older tables lack."""
    ends = ("", "_low", "_high")
    later = {f"{name}{end}" for name in DIAGNOSTICS for end in ends}
    later |= {BOUND_RISE_STDERR.name, POPULATION_STDERR.name}
    later |= {"rank_low", "rank_high", "survivors_only", "diagnosed_seeds"}
    return later | {"payload_sha256", "device", "dirty", "plugin"}


def added_to_leaderboard() -> set[str]:
    """Return the columns that older tables have in runs.csv, but not in leaderboard.csv."""
    return {"importance_data", "commit", "data_sha256"}


def runs_columns() -> list[Column]:
    """Return the columns of runs.csv, in order."""
    bits, *others = ESTIMATES
    return [*RUN, IMPORTANCE_SAMPLES, bits, BITS_STDERR, *others, *ERRORS, *PROVENANCE]


def leaderboard_columns() -> list[Column]:
    """Return the columns of leaderboard.csv, in order: means over seeds, with their intervals."""
    columns = list(ROW)
    for column in ESTIMATES:
        columns.append(
            Column(
                column.name,
                "number",
                column.unit,
                f"Mean over seeds, test split. {column.meaning}",
                column.bound,
                column.source,
            )  # fmt: skip
        )
        for end, side in (("low", "Lower"), ("high", "Upper")):
            meaning = f"{side} end of the 95 % interval over seeds (Student t)"
            columns.append(Column(f"{column.name}_{end}", "number", column.unit, meaning))
        if column.name == "bits_per_dim":
            columns += [STDERR_OF_ROW, DIAGNOSED_SEEDS, SAMPLES_OF_ROW, DATA_OF_ROW]
        if column.name == "log_likelihood":
            columns.append(POPULATION_OF_ROW)
    return [*columns, *COMPARISON, *PROVENANCE_OF_ROW]


def timings_columns(table: pd.DataFrame) -> list[Column]:
    """Return the columns of timings.csv: what identifies a run, a time of each phase, and costs."""
    known = {column.name: column for column in (*RUN, *COST_COLUMNS)}
    seconds = lambda name: Column(name, "number", "s", "Wall time, which differs from run to run")
    return [known.get(name) or seconds(name) for name in table.columns]
