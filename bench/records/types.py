"""What a record holds, as types: written by a run, read by everything that makes tables."""

from typing import Any, Literal, NotRequired, TypedDict

from bench.settings import Bound, Split

# A run's canonical configuration: sections data, model, trainer and evaluation, and the seed.
Config = dict[str, Any]


class EstimateRecord(TypedDict):
    """One number of a run.

    Attributes:
        value: The estimate.
        stderr: Its Monte-Carlo standard error; None where it is not known.
        n: Data that it is a mean over.
        samples: Draws per datum.
        stderr_data: Standard error of the mean as an estimate for the population of the data.
    """

    value: float
    stderr: float | None
    n: int
    samples: int
    stderr_data: NotRequired[float | None]


# {name of the estimate: the estimate}, for each split.
Metrics = dict[Split, dict[str, EstimateRecord]]


class EpochRecord(TypedDict):
    """One validated epoch of a training; bounds in nats per datum."""

    epoch: int
    train_elbo: float
    validation_elbo: float


class DataRecord(TypedDict):
    """Which data a run was made with."""

    payload_sha256: dict[str, str]
    split_sha256: str
    dimensions: int
    levels: int
    sizes: dict[Split, int]


class LatentMap(TypedDict):
    """Densities of the prior and of the aggregated posterior over two latent dimensions.

    Attributes:
        low: Lower end of each axis.
        high: Upper end of each axis.
        share: Share of the variance of the posterior means along each axis.
        prior: 32 × 32 bytes in base64.
        aggregate: The same.
    """

    low: list[float]
    high: list[float]
    share: list[float]
    prior: str
    aggregate: str


class Environment(TypedDict):
    """What else may decide a number. ``commit_unknown`` says why there is no commit."""

    version: str
    code_sha256: str
    commit: str | None
    dirty: bool | None
    commit_unknown: NotRequired[str]
    python: str
    platform: str
    machine: str
    packages: dict[str, str | None]
    cpu: str
    cpu_capability: str
    gpu: str | None
    threads: int
    blas: str


class Record(TypedDict):
    """A run: its configuration, and either its numbers or the reason why there are none."""

    key: str
    config: Config
    task: str
    model: str
    seed: int
    status: Literal["ok", "failed"]
    data: DataRecord
    environment: Environment
    timing: dict[str, float]
    reason: NotRequired[str]
    decoder: NotRequired[str]
    prior: NotRequired[str]
    parameters: NotRequired[int]
    bound: NotRequired[Bound]
    epochs: NotRequired[int]
    best_epoch: NotRequired[int | None]
    history: NotRequired[list[EpochRecord]]
    metrics: NotRequired[Metrics]
    images: NotRequired[dict[str, str]]
    latent: NotRequired[LatentMap | None]
    # What the user of this run should see; leaves the record before it is written.
    notes: NotRequired[list[str]]
    checksum: NotRequired[str]
