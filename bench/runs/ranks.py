"""Training on several devices, in a process for each, none of which is the worker itself.

Lightning starts a rank by running the command of its process again, which must not start a second
worker. So the worker runs ``python -m bench.runs.ranks JOB`` and listens to the lines that rank 0
prints. Ranks end when the worker ends, because their standard input closes.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch

from bench.configuration.job import Job
from bench.data.tasks import task_of
from bench.errors import InputError
from bench.runs.plan import plan_of
from bench.system.device_trouble import DeviceTrouble, device_trouble, is_out_of_gpu_memory
from bench.system.devices import visible_gpus
from bench.system.memory import keep_freed_memory
from bench.training.epoch import TrainingDiverged
from bench.training.fit import Fitted, Listeners, fit, silence_lightning
from bench.training.rendezvous import rendezvous

MARK = "\x1ebench "


def fit_on_ranks(job: Job, devices: list[torch.device], listeners: Listeners) -> Fitted:
    """Do what ``fit`` does on several devices, in processes of their own.

    Raises:
        TrainingDiverged: The training objective is no longer finite.
        InputError: What ``fit`` raised, or trouble of a GPU.
        MemoryError: A GPU has too little memory.
        RuntimeError: A rank ended without a result.
    """
    request = Path(job.directory) / "ranks.json"
    request.write_text(json.dumps({"job": asdict(job), "devices": [d.type for d in devices]}))
    with (
        rendezvous() as meeting,
        subprocess.Popen(
            [sys.executable, "-m", "bench.runs.ranks", str(request)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment_of_ranks(job, devices) | meeting,
        ) as process,
    ):
        # Popen makes both, as pipes.
        assert process.stdout is not None and process.stdin is not None
        try:
            return listen(process.stdout, listeners)
        finally:
            process.stdin.close()
            request.unlink(missing_ok=True)


def environment_of_ranks(job: Job, devices: list[torch.device]) -> dict[str, str]:
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "OMP_NUM_THREADS": str(job.config["trainer"]["threads"]),
    }
    if devices[0].type == "cuda":
        names = visible_gpus()
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(names[d.index] for d in devices)
    return environment


def listen(lines: Iterable[str], listeners: Listeners) -> Fitted:
    """Call the listeners with the messages of rank 0, until it prints its result or a rank fails."""
    others: list[str] = []
    for line in lines:
        if not line.startswith(MARK):
            others.append(line)
            continue
        kind, content = json.loads(line.removeprefix(MARK))
        if kind == "progress":
            listeners.progress(*content)
        elif kind == "curve":
            listeners.curve(content)
        elif kind == "note":
            listeners.note(content)
        elif kind == "fitted":
            fitted: Fitted = content
            return fitted
        elif kind == "diverged":
            raise TrainingDiverged(content)
        elif kind == "input":
            raise InputError(content)
        elif kind == "trouble":
            raise DeviceTrouble(content)
        elif kind == "memory":
            raise MemoryError(content)
    raise RuntimeError(f"a rank ended without a result: {' '.join(others[-3:])[-300:]}")


def end_with_the_worker() -> None:
    """End this process when its standard input closes, which it does when the worker ends."""

    def watch() -> None:
        while sys.stdin.buffer.read(1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(path: str) -> int:
    """Run one rank: rank 0 in the first process, otherwise the rank that Lightning assigns."""
    from bench.configuration.models import build_model
    from bench.data.tasks import load_task

    silence_lightning()
    keep_freed_memory()
    end_with_the_worker()
    is_first = os.environ.get("LOCAL_RANK", "0") == "0"

    def message(kind: str, content: object) -> None:
        print(f"{MARK}{json.dumps([kind, content])}", flush=True)

    def tell(kind: str, content: object) -> None:
        if is_first:
            message(kind, content)

    request = json.loads(Path(path).read_text())
    job = Job(**request["job"])
    try:
        job.load_outside()
    except InputError as error:
        tell("input", str(error))
        return 1
    torch.set_num_threads(job.config["trainer"]["threads"])
    data = load_task(task_of(job.config))
    model = build_model(job.config, data.shape, data.task.levels)
    devices = [torch.device(kind, index) for index, kind in enumerate(request["devices"])]
    try:
        listeners = Listeners(
            progress=lambda *progress: tell("progress", progress),
            note=lambda text: tell("note", text),
            curve=lambda point: tell("curve", point),
        )
        fitted = fit(model, data, plan_of(job, devices[0]), devices, listeners)
    except TrainingDiverged as error:
        tell("diverged", str(error))
        return 1
    except InputError as error:
        tell("input", str(error))
        return 1
    except Exception as error:
        # Whichever rank it is: the others wait for it, and know no reason.
        if trouble := device_trouble(error):
            message("trouble", str(trouble))
        elif is_out_of_gpu_memory(error):
            message("memory", "out of memory")
        raise
    tell("fitted", fitted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
