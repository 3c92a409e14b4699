"""From a job to how and where it trains."""

import torch

from bench.configuration.job import Job
from bench.records.code import running_code_hash
from bench.settings import trainer_config
from bench.system.devices import device_kind
from bench.training.fit import TrainingPlan


def plan_of(job: Job, device: torch.device) -> TrainingPlan:
    return TrainingPlan(
        settings=trainer_config(job.config),
        seed=job.config["seed"],
        directory=job.directory,
        checkpoints=job.checkpoints,
        description={
            "config": job.config,
            "model": job.model,
            "code_sha256": running_code_hash("training"),
            # Two devices round differently: a training that changed between them would be neither's.
            "device": device_kind(device),
        },
    )
