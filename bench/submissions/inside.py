"""What is done in the closed process: ``python -m bench.submissions.inside GUARANTEES RESULT``.

It reads what to do from stdin, as JSON, and writes to the two open files of these numbers. Nothing
that is heavy is imported before the process is closed.
"""

import json
import os
import sys
from typing import Any

from bench.submissions.sealed import seal

# Exit codes for the process that waits.
NOT_CLOSED, WRONG = 3, 2


def main() -> int:
    """Close this process, do the work, and return the exit code."""
    guarantees, result = int(sys.argv[1]), int(sys.argv[2])
    work = json.load(sys.stdin)
    found = seal(work["readable"], work["writable"], work["probe"])
    # Written and closed before any code of the submission runs, which could write otherwise.
    with os.fdopen(guarantees, "w") as file:
        json.dump(vars(found), file)
    if work["must_be_closed"] and not found.is_enough:
        return NOT_CLOSED
    from bench.errors import InputError

    # Libraries of the submission's code that the process which waits can import; last, as there.
    sys.path += [path for path in work["path"] if path not in sys.path]
    try:
        answer: dict[str, Any] = {"records": [record_of(seed | work) for seed in work["seeds"]]}
        code = 0
    except InputError as error:
        answer, code = {"error": str(error)}, WRONG
    with os.fdopen(result, "w") as file:
        json.dump(answer, file, allow_nan=False)
    return code


def record_of(work: dict[str, Any]) -> Any:
    """Return the record of a seed: evaluated from its weights, or trained again."""
    import torch

    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    if work["kind"] == "score":
        return scored(work)
    from bench.configuration.load_plugin import load_plugins

    load_plugins(work["plugins"])
    return checkpoint(work) if work["kind"] == "checkpoint" else trained(work)


def scored(work: dict[str, Any]) -> Any:
    """Score the model of the submission's own file, after training it if there is a recipe."""
    from dataclasses import replace
    from pathlib import Path

    import torch

    from bench.adapters.adapted import Wanted
    from bench.configuration.files import named_task
    from bench.data.tasks import load_task
    from bench.scoring.score import read_given, score
    from bench.scoring.source import load_source, users_code
    from bench.settings import EvaluationConfig

    data = load_task(named_task(work["data"]))
    weights = work["weights"]
    if work["recipe"]:
        source = load_source(work["recipe"])
        weights = str(Path(work["writable"][0]) / "weights.pt")
        with users_code(source.label, source.folder):
            source.make(seed=work["seed"], path=weights)
    wanted = Wanted(data.shape, data.task.levels, work["images"], work["likelihood"])
    given = replace(read_given(work["model"], weights, wanted), name=work["name"])
    evaluation = EvaluationConfig(**work["evaluation"])
    empty = Path(work["probe"]) / "none"
    return score(given, wanted, data, evaluation, work["seed"], empty, torch.device("cpu"))


def checkpoint(work: dict[str, Any]) -> Any:
    """Evaluate a checkpoint of `bench train`: of the benchmark's classes, but for plugins."""
    from pathlib import Path

    from bench.runs.evaluated import evaluated_again
    from bench.runs.trained import load_trained

    return evaluated_again(load_trained(Path(work["weights"])), lambda *_: None)


def trained(work: dict[str, Any]) -> Any:
    """Do a run of `bench train` again, from its configuration."""
    from bench.configuration.job import Job
    from bench.runs.run import run

    job = Job(work["config"], work["name"], "submission", work["writable"][0], "disabled")
    return run(job, lambda *_: None)


if __name__ == "__main__":
    sys.exit(main())
