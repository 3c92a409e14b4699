"""The record of a scored model: of the same form as that of a run."""

from dataclasses import asdict
from typing import Any, cast

from bench.adapters.adapted import Adapted
from bench.data.tasks import TaskData
from bench.estimators.evaluate import bound_of
from bench.records.code import running_code, source_hash
from bench.records.key import key_of
from bench.records.provenance import describe_data, environment
from bench.records.types import Config, Metrics, Record, ScoredRecord
from bench.settings import EvaluationConfig

# What decides the numbers of a scored model, beside what decides those of a run.
ROOMS = ("bench/library/", "bench/adapters/", "bench/scoring/")


def scoring_code_hash() -> str:
    """Return the SHA-256 of the code that adapts, checks and measures, without prose."""
    code = running_code().items()
    return source_hash({path: content for path, content in code if path.startswith(ROOMS)})


def config_of(
    adapted: Adapted,
    sources: dict[str, str],
    weights: str,
    data: TaskData,
    evaluation: EvaluationConfig,
    seed: int,
) -> Config:
    """Return the configuration that the key is a hash of.

    Args:
        adapted: The model.
        sources: {file: SHA-256} of the code, the main file first.
        weights: SHA-256 of the weights.
        data: The images.
        evaluation: How it is measured.
        seed: The seed.
    """
    return {
        "data": asdict(data.task),
        "model": {"adapter": adapted.adapter, "sources": sources, **adapted.said},
        "weights_sha256": weights,
        "evaluation": asdict(evaluation),
        # Nobody knows how it was trained.
        "trainer": {"beta": None},
        "seed": seed,
    }


def scored_record(
    name: str,
    adapted: Adapted,
    config: Config,
    data: TaskData,
    metrics: Metrics,
    more: dict[str, Any],
) -> Record:
    """Return the record; ``more`` has its parameters, timing, findings and the checkpoint's hash."""
    scored: ScoredRecord = {
        "source": more["source"],
        "sources_sha256": config["model"]["sources"],
        "weights_sha256": config["weights_sha256"],
        "checkpoint_sha256": more["checkpoint_sha256"],
        "adapter": adapted.adapter,
        "libraries": adapted.libraries,
        "counted": list(adapted.counted),
        "checks": [vars(finding) for finding in more["findings"]],
        "scoring_code_sha256": scoring_code_hash(),
    }
    model = adapted.model
    record = {
        "key": key_of(config),
        "config": config,
        "task": data.task.name,
        "model": name,
        "seed": config["seed"],
        "status": "ok",
        "decoder": getattr(model, "decoder_name", "") or "",
        "prior": getattr(model, "prior_name", "") or "",
        "parameters": more["parameters"],
        "bound": bound_of(model),
        "epochs": None,
        "best_epoch": None,
        "history": [],
        "images": {},
        "latent": None,
        "metrics": metrics,
        "timing": more["timing"],
        "environment": environment(more["device"]),
        "data": describe_data(data),
        "scored": scored,
    }
    return cast(Record, record)
