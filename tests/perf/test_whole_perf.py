"""`bench perf` from its command to its tables, at its smallest, by a clock that counts work."""

import sys
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import bench.perf.growth
import bench.run
from bench.__main__ import main
from bench.checkpoints import CheckedCheckpointIO
from bench.models.generative import GenerativeModel
from bench.parsing import parse_run
from bench.perf.elsewhere import timed
from bench.perf.interleaved import by_turns, compare, seconds
from bench.perf.sizes import Sizes
from bench.perf.training import (
    NETWORKS,
    HandWrittenVAE,
    epochs_beside,
    hand_written_epoch,
    made_up_images,
    vae_options,
)
from bench.sweep.engine import Finished
from tests.work_clock import WorkClock, work_clock

# An epoch has so many steps that a run tells its progress within it, too.
SMALL = Sizes(
    images=400, peer_images=200, batches=(4,), epochs=2, repeats=2, components=(512, 700),
    samples=40, steps=2, seconds=0.01, aggregates=(300, 3000), latents=(40, 400), bounds=(10, 100),
    widths=(64, 256), surgeries=(600, 1200), peaks=(20, 40), runs=(2, 20),
)  # fmt: skip
PAGE = "<!-- speed:perf -->\n<!-- /speed:perf -->\n<!-- growth:perf -->\n<!-- /growth:perf -->\n"
silent = lambda share, text: None


def peers_answer(name: str, options: dict) -> float:
    """Take a second for each step, or for each pair, as peers that are there might."""
    if name == "keops":
        return options["n"] * options["points"]
    return options["count"] if "count" in options else options["images"] / options["batch"]


class Pool:
    """A pool whose processes do two training steps each, and fill as many MiB as they are told."""

    def __init__(self, number: int):
        pass

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_) -> None:
        pass

    def map(self, work, arguments, chunksize):
        return [2] * len(arguments)

    def apply(self, peak_of, arguments):
        work, size = arguments
        work(size)
        return size


class Engine:
    """Does every run in this process, in a second."""

    def __init__(self, clock: WorkClock):
        self.clock = clock

    def map(self, jobs, requests, work):
        board = SimpleNamespace(write=SimpleNamespace(remote=lambda *_: None))
        for job in jobs:
            self.clock.advance(1.0)
            yield Finished(job.key, work(job, board))

    def progress(self) -> dict:
        return {}

    def close(self) -> None:
        pass


@contextmanager
def in_one_process(clock: WorkClock):
    """Let no other process be started, and everything that multiplies nothing take a known time."""

    def process(words, **_):
        clock.advance(1.0 if "import torch" in words else 0.25)

    def load_task(*arguments):
        clock.advance(0.05)
        return original_task(*arguments)

    def load_sweep(folder):
        records = original_sweep(folder)
        clock.advance(len(records))
        return records

    original_task, original_sweep = bench.run.load_task, bench.perf.growth.load_sweep
    context = SimpleNamespace(Pool=Pool)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("estimators", "peers"):
            patch.setattr(f"bench.perf.{module}.elsewhere", lambda: nullcontext(timed))
        for module in ("sweeps", "growth"):
            patch.setattr(f"bench.perf.{module}.get_context", lambda way: context)
        patch.setattr("bench.perf.peers.peer_process", lambda python: nullcontext(peers_answer))
        patch.setattr("bench.perf.growth.Engine", lambda: Engine(clock))
        patch.setattr("bench.perf.sweeps.subprocess", SimpleNamespace(run=process))
        patch.setattr("bench.run.load_task", load_task)
        patch.setattr("bench.perf.growth.load_sweep", load_sweep)
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return perf.csv, growth.csv and the page that the command writes."""
    folder = tmp_path_factory.mktemp("perf")
    page = folder / "perf.md"
    page.write_text(PAGE)
    words = ["--results", str(folder), "--peers", sys.executable, "--page", str(page)]
    with work_clock() as clock, in_one_process(clock), pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.perf.sizes.FULL", SMALL)
        assert main(["perf", *words]) == 0
    assert (folder / "perf" / "perf.png").stat().st_size > 5000
    tables = [pd.read_csv(folder / "perf" / name) for name in ("perf.csv", "growth.csv")]
    return *tables, page.read_text()


def rows(table: pd.DataFrame, what: str, against: str = "") -> pd.DataFrame:
    found = table[table["what"].str.startswith(what)]
    if against:
        found = found[found["against"].str.startswith(against)]
    assert len(found)
    return found


def test_show(measured):
    pd.set_option("display.width", 250, "display.max_rows", 100, "display.max_columns", 20)
    print(measured[0][["what", "against", "unit", "ours", "other", "ratio", "repeats"]].to_string())
    print(measured[1].to_string())
    print(measured[2])
    assert 0
