"""A reproducible benchmark of likelihood-based deep generative models.

What is meant to be used from other code is imported from here, each name when it is first asked
for, so that the command line does not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.errors import InputError
from bench.system.cublas import set_workspace
from bench.version import __version__ as __version__

# Every process that computes imports this package first: commands, workers, ranks, notebooks.
set_workspace()

if TYPE_CHECKING:
    from bench import densities
    from bench.configuration.load_plugin import load_plugin
    from bench.data.arrays import task_from_arrays
    from bench.data.tasks import Task, TaskData, load_task
    from bench.densities.normal import DiagonalNormal
    from bench.estimators.estimate import Estimate
    from bench.estimators.evidence import diagnosed_bound, importance_weighted_bound
    from bench.estimators.surgery import ELBOSurgery
    from bench.library.evaluate import evaluate
    from bench.library.external import ExternalVAE
    from bench.models.terms import Terms
    from bench.noise import Noise
    from bench.runs.trained import load_trained
    from bench.settings import EvaluationConfig, Optimization
    from bench.sweep.train import train
    from bench.training.batches import TaskDataModule
    from bench.training.module import GenerativeModel
    from bench.training.named_models import (
        AggregatePosteriorVAE,
        BernoulliVAE,
        GaussianVAE,
        NamedModel,
        RealNVP,
    )

__all__ = [
    "AggregatePosteriorVAE",
    "BernoulliVAE",
    "DiagonalNormal",
    "ELBOSurgery",
    "Estimate",
    "EvaluationConfig",
    "ExternalVAE",
    "GaussianVAE",
    "GenerativeModel",
    "InputError",
    "NamedModel",
    "Noise",
    "Optimization",
    "RealNVP",
    "Task",
    "TaskData",
    "TaskDataModule",
    "Terms",
    "densities",
    "diagnosed_bound",
    "evaluate",
    "importance_weighted_bound",
    "load_plugin",
    "load_task",
    "load_trained",
    "task_from_arrays",
    "train",
]

_MODULES = {
    "AggregatePosteriorVAE": "bench.training.named_models",
    "BernoulliVAE": "bench.training.named_models",
    "GaussianVAE": "bench.training.named_models",
    "GenerativeModel": "bench.training.module",
    "NamedModel": "bench.training.named_models",
    "Optimization": "bench.settings",
    "RealNVP": "bench.training.named_models",
    "TaskDataModule": "bench.training.batches",
    "DiagonalNormal": "bench.densities.normal",
    "ELBOSurgery": "bench.estimators.surgery",
    "Estimate": "bench.estimators.estimate",
    "EvaluationConfig": "bench.settings",
    "ExternalVAE": "bench.library.external",
    "Noise": "bench.noise",
    "Task": "bench.data.tasks",
    "TaskData": "bench.data.tasks",
    "Terms": "bench.models.terms",
    "diagnosed_bound": "bench.estimators.evidence",
    "evaluate": "bench.library.evaluate",
    "importance_weighted_bound": "bench.estimators.evidence",
    "load_plugin": "bench.configuration.load_plugin",
    "load_task": "bench.data.tasks",
    "load_trained": "bench.runs.trained",
    "task_from_arrays": "bench.data.arrays",
    "train": "bench.sweep.train",
}


def __getattr__(name: str) -> Any:
    if name == "densities":
        return import_module("bench.densities")
    if name not in _MODULES:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
