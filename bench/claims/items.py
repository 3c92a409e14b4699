"""The items that `bench claims` measures: models in closed form, and trained runs."""

from dataclasses import dataclass
from typing import Any

from bench.configuration.job import Job
from bench.records.key import key_of


@dataclass(frozen=True)
class ClosedFormItem:
    """Models whose evidence has a closed form, measured for claims 1, 3 and 4 without training.

    Attributes:
        task: Options of the task that they are fitted to, as in a run's section ``data``.
        seed: The seed from which all their noise derives.
    """

    task: dict[str, Any]
    seed: int

    @property
    def key(self) -> str:
        return f"closed-form-{key_of(self.task)[:8]}-{self.seed}"

    @property
    def label(self) -> str:
        return f"{'models in closed form':44} seed {self.seed}"


@dataclass(frozen=True)
class TrainedItem:
    """A run to measure.

    Attributes:
        job: The run; trained into ``job.directory`` unless that holds its record and checkpoint.
        claims: Numbers of the claims that it is measured for.
        images: Number of images of a split on which bounds are estimated.
    """

    job: Job
    claims: tuple[int, ...]
    images: int

    @property
    def key(self) -> str:
        return self.job.key

    @property
    def label(self) -> str:
        return f"{self.job.model:44} seed {self.job.config['seed']}"


Item = ClosedFormItem | TrainedItem
