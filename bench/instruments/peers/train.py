"""A peer is trained in the peers' environment, by the library's own code, in a process of its own."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.files import sha256
from bench.data.tasks import TaskData
from bench.errors import InputError
from bench.instruments.peers.settings import OUTSIDE, Peer
from bench.instruments.progress import PartProgress
from bench.records.code import source_hash
from bench.system.files import write_atomically

SCRIPT = OUTSIDE / "work.py"


@dataclass(frozen=True)
class Trained:
    """A training of a peer that has ended well.

    Attributes:
        weights: The file of its weights, which need not be here any more.
        sha256: Its SHA-256.
        numbers: What the library says of the test images, nats.
    """

    weights: Path
    sha256: str
    numbers: dict[str, float]


def write_arrays(data: TaskData, path: Path) -> None:
    """Write a task's arrays for the peers: grey images where the task is binarized dynamically."""
    grey = data.intensities
    train = data.train if grey is None else grey
    native = getattr(data.task, "native_levels", data.task.levels)
    np.savez(
        path,
        train=train.numpy(),
        validation=data.validation.numpy(),
        test=data.test.numpy(),
        shape=np.array(data.shape),
        largest=np.array(native - 1),
    )


def made_of(peer: Peer, seed: int, data: TaskData) -> dict[str, Any]:
    """Return all that decides a training but the library's version: settings, images and code."""
    code = {path.name: path.read_bytes() for path in (SCRIPT, peer.source)}
    return {
        "name": peer.name,
        "task": peer.task,
        "library": peer.library,
        "images": peer.images,
        "model": peer.model,
        "training": peer.training,
        "seed": seed,
        "data_sha256": data.images_sha256,
        "code_sha256": source_hash(code),
    }


def read_trained(peer: Peer, seed: int, data: TaskData, folder: Path) -> Trained | None:
    """Return the training of a seed that is in a folder already; None if there is none.

    Raises:
        InputError: Its settings, images or code were others.
    """
    weights, description = files_of(peer, seed, folder)
    if not description.is_file():
        return None
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
        found = Trained(weights, str(content["weights_sha256"]), dict(content["numbers"]))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"peers: {description} cannot be read: {error}") from None
    if content.get("made_of") != made_of(peer, seed, data):
        raise InputError(
            f"{peer.name}: its settings, images or code have changed since seed {seed} was trained; "
            f"remove {folder.parent} to begin anew"
        )
    return found


def files_of(peer: Peer, seed: int, folder: Path) -> tuple[Path, Path]:
    """Return the files of a seed's weights and of its description."""
    stem = folder / f"{peer.path.stem}-{seed}"
    return stem.with_suffix(".pt"), stem.with_suffix(".json")


# Its parameters are the parts of a training.
def train(
    peer: Peer, seed: int, data: TaskData, arrays: Path, python: Path, folder: Path,
    progress: PartProgress,
) -> Trained:  # fmt: skip
    """Train a seed of a peer, and write its weights and their description.

    Raises:
        InputError: The library fails, or ends without an answer.
    """
    weights, description = files_of(peer, seed, folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = made_of(peer, seed, data)
    work = {
        **made,
        "data": str(arrays.absolute()),
        "out": str(weights.absolute()),
        # The library's own estimate of log p(y) takes longer than its training.
        "with_likelihood": seed == peer.seeds[0],
    }
    what = f"{peer.name}, seed {seed}"
    answer = answer_of(python, work, peer.training["epochs"], what, progress)
    if "numbers" not in answer:
        raise InputError(f"{what}: {answer['error']}")
    digest = sha256(weights.read_bytes())
    content = {"made_of": made, "numbers": answer["numbers"], "weights_sha256": digest}
    write_atomically(description, json.dumps(content, indent=1) + "\n")
    return Trained(weights, digest, answer["numbers"])


def answer_of(
    python: Path, work: dict[str, Any], epochs: int, what: str, progress: PartProgress
) -> dict[str, Any]:
    """Return the last line of the process: the numbers, or the error."""
    progress(0.0, f"{what}: trains")
    answer: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [str(python), str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None  # both are pipes
        try:
            process.stdin.write(json.dumps(work))
            process.stdin.close()
            for line in process.stdout:
                answer = json.loads(line)
                if "epochs" in answer:
                    done = answer["epochs"]
                    progress(done / epochs, f"{what}: epoch {done} of {epochs}")
        except BrokenPipeError:
            pass  # it has ended, and what it said is the reason
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        said.seek(0)
        lines = said.read().strip().splitlines() or ["nothing"]
    if "numbers" in answer or "error" in answer:
        return answer
    return {"error": f"{python} ended with {code}; it said: {lines[-1][:300]}"}
