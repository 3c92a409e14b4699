"""Types of records: a run writes a record, and everything that makes tables reads it.

``read_record`` checks what tables, figures and the page need. A record may hold more than is named
here, and an older one lacks what came later.
"""

from typing import Any, Literal, NotRequired, TypedDict, get_args

from bench.settings import Bound, Split

SPLITS: tuple[Split, ...] = get_args(Split)
BOUNDS: tuple[Bound, ...] = get_args(Bound)
# Reference models of every task. They are fitted in closed form, so one seed is enough.
REFERENCES = ("uniform", "independent_pixels")

# A run's canonical configuration: sections data, model, trainer and evaluation, the seed, and the
# plugins that the model's parts come from, if there are any.
Config = dict[str, Any]


class PluginRecord(TypedDict):
    """Code from outside that parts of a run's model come from, in the configuration's ``plugins``.

    Attributes:
        name: The file's name, or the module's.
        version: Its version; None if it has none.
        sha256: Hash of its source without docstrings, comments and blank lines.
    """

    name: str
    version: str | None
    sha256: str


class EstimateRecord(TypedDict):
    """One number of a run.

    A record has ``stderr``, ``n`` and ``samples`` of every estimate; what tables keep of a record in
    memory has them of bits/dim and of the log-likelihood alone.

    Attributes:
        value: The estimate.
        stderr: Its Monte-Carlo standard error; None where it is not known.
        stderr_data: Its standard error as a mean over the data; None where it is not known.
        stderr_untrusted: What was computed for ``stderr``, where that is None because it cannot be trusted.
        n: Number of data that it is a mean over.
        samples: Draws per datum.
    """

    value: float
    stderr: NotRequired[float | None]
    stderr_data: NotRequired[float | None]
    stderr_untrusted: NotRequired[float | None]
    n: NotRequired[int]
    samples: NotRequired[int]


# {name of the estimate: the estimate}, for each split.
Metrics = dict[Split, dict[str, EstimateRecord]]


class EpochRecord(TypedDict):
    """One validated epoch of a training; bounds in nats per datum."""

    epoch: int
    train_elbo: float
    validation_elbo: float


class DataRecord(TypedDict):
    """The data that a run was made with.

    Attributes:
        payload_sha256: Hash of each file's payload.
        split_sha256: Hash of the splits' indices.
        images_sha256: Hash of the images of all splits as the model sees them, binarization
            included. The first records have none.
        dimensions: D.
        levels: L.
        sizes: Number of images of each split.
    """

    payload_sha256: dict[str, str]
    split_sha256: str
    images_sha256: NotRequired[str]
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


class Environment(TypedDict, total=False):
    """What else may decide a number. ``commit_unknown`` says why there is no commit.

    A run writes all of it; of a record that is read, only the commit and the GPU are checked. What is
    about a GPU is None for a run on the CPU. Older records lack the fields after ``blas``.

    Attributes:
        gpu: The GPU's name.
        torch_build: PyTorch's version with its build, such as 2.13.0+cu130.
        float32_matmul_precision: That of matrix products: highest, high or medium.
        gpu_memory_gib: The GPU's memory in GiB.
        cuda: The version of CUDA that PyTorch was built with.
        cuda_driver: The version of NVIDIA's driver; None if the kernel does not tell.
        cudnn: The version of cuDNN.
        tf32_matmul: Whether cuBLAS may shorten float32 to TF32; None if PyTorch does not tell.
        tf32_cudnn: The same of cuDNN.
    """

    version: str
    code_sha256: str
    commit: str | None
    dirty: bool | None
    commit_unknown: str
    python: str
    platform: str
    machine: str
    packages: dict[str, str | None]
    cpu: str
    cpu_capability: str
    gpu: str | None
    threads: int
    blas: str
    # Number of runs that trained as one network, if there were others.
    stacked: int
    torch_build: str
    float32_matmul_precision: str
    gpu_memory_gib: float | None
    cuda: str | None
    cuda_driver: str | None
    cudnn: int | None
    tf32_matmul: bool | None
    tf32_cudnn: bool | None


# What else a record's ``timing`` holds: when the run started, or resumed, and ended in seconds since
# 1970, and the energy of the machine's processors meanwhile, where it could be read.
COSTS = ("started_at", "ended_at", "cpu_energy_joules", "gpu_energy_joules")


class ScoredRecord(TypedDict):
    """What `bench score` measured: a model from outside.

    Attributes:
        source: Its name: my_model.py:build, or a folder.
        sources_sha256: {file: SHA-256} of its code: the file, and those beside it that it imports.
        weights_sha256: Hash of all its tensors.
        checkpoint_sha256: Hash of the file that they were read from; None if there was none.
        adapter: What made it answer ``terms``.
        libraries: {package: version} that it is made with.
        counted: What its log-likelihood consists of, preprocessing included.
        checks: {check, outcome, says} of each check: passed, warning or not done.
        scoring_code_sha256: Hash of the code that adapts, checks and measures.
    """

    source: str
    sources_sha256: dict[str, str]
    weights_sha256: str
    checkpoint_sha256: str | None
    adapter: str
    libraries: dict[str, str]
    counted: list[str]
    checks: list[dict[str, str]]
    scoring_code_sha256: str


class TableRecord(TypedDict):
    """The part of a record that rows of runs.csv and leaderboard.csv are made of."""

    key: str
    config: Config
    task: str
    model: str
    seed: int
    status: Literal["ok", "failed"]
    data: DataRecord
    environment: Environment
    # Seconds of each phase, and COSTS, which older records lack.
    timing: dict[str, float]
    reason: NotRequired[str]
    decoder: NotRequired[str | None]
    prior: NotRequired[str | None]
    parameters: NotRequired[int | None]
    bound: NotRequired[Bound]
    epochs: NotRequired[int | None]
    best_epoch: NotRequired[int | None]
    metrics: NotRequired[Metrics]
    # What evaluated the checkpoint again, if the metrics are later than the training.
    evaluated_with: NotRequired[Environment]


class SlimRecord(TableRecord):
    """The part of a record that stays in memory for the tables and the page of its sweep.

    Attributes:
        config_text: The configuration without its seed, as JSON.
        environment_text: The environment, as JSON.
    """

    config_text: str
    environment_text: str


class Record(TableRecord):
    """A run: its configuration, and either its numbers or the reason why there are none."""

    history: NotRequired[list[EpochRecord]]
    images: NotRequired[dict[str, str]]
    latent: NotRequired[LatentMap | None]
    scored: NotRequired[ScoredRecord]
    # What the user of this run should see; it leaves the record before that is written.
    notes: NotRequired[list[str]]
    checksum: NotRequired[str]
