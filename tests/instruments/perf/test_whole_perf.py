"""`bench perf` from its command to its tables, at its smallest, with a clock that counts work."""

import sys
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from math import prod
from multiprocessing import get_context
from operator import mul
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import bench
import bench.instruments.perf.growth
import bench.runs.run
from bench.__main__ import main
from bench.configuration.parsing import parse_run
from bench.instruments.perf.floors import layer_sizes
from bench.instruments.perf.growth import peak_of
from bench.instruments.perf.interleaved import compare, interleave, seconds
from bench.instruments.perf.peers import peer_process
from bench.instruments.perf.separate_process import separate_process, timed
from bench.instruments.perf.sizes import Sizes
from bench.instruments.perf.training import (
    ARCHITECTURES,
    DEEP,
    SHALLOW,
    Architecture,
    HandWrittenVAE,
    dynamic_task,
    hand_written_epoch,
    interleaved_epochs,
    random_images,
    vae_options,
)
from bench.sweep.jobs import Assigned, Finished
from bench.system.devices import Reserved
from bench.training.batches import Grouped
from bench.training.module import GenerativeModel
from bench.training.rare_checkpoints import RareCheckpointIO
from tests.work_clock import WorkClock, work_clock

# An epoch has enough steps for a report of progress within it.
SMALL = Sizes(
    images=400, peer_images=200, batches=(4,), epochs=2, repeats=2, components=(512, 700),
    samples=40, temperatures=2, steps=2, seconds=0.01, aggregates=(300, 3000), latents=(40, 400), bounds=(10, 100),
    widths=(64, 256), surgeries=(600, 1200), peaks=(20, 40), runs=(2, 20),
)  # fmt: skip
PAGE = "<!-- speed:perf -->\n<!-- /speed:perf -->\n<!-- growth:perf -->\n<!-- /growth:perf -->\n"
silent = lambda share, text: None


def peers_answer(name: str, options: dict) -> float:
    """Take a second for each step, or for each pair, as installed peers might."""
    if name == "keops":
        return options["n"] * options["points"]
    return options["count"] if "count" in options else options["images"] / options["batch"]


class Pool:
    """A pool whose processes do two training steps each, and fill ``size`` MiB."""

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
        assigned = Assigned(Reserved(), lambda *_: None)
        for job in jobs:
            self.clock.advance(1.0)
            yield Finished(job.key, work(job, assigned))

    def progress(self) -> dict:
        return {}

    def close(self) -> None:
        pass


@contextmanager
def in_one_process(clock: WorkClock):
    """Start no other process, and let all work without matrix products take a known time."""

    def process(words, **_):
        clock.advance(1.0 if "import torch" in words else 0.25)

    def load_task(*arguments):
        clock.advance(0.05)
        return original_task(*arguments)

    def load_sweep(folder):
        records = original_sweep(folder)
        clock.advance(len(records))
        return records

    original_task, original_sweep = (
        bench.runs.run.load_task,
        bench.instruments.perf.growth.load_sweep,
    )
    context = SimpleNamespace(Pool=Pool)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("annealing", "estimators", "local_optimization", "peers"):
            name = f"bench.instruments.perf.{module}.separate_process"
            patch.setattr(name, lambda: nullcontext(timed))
        for module in ("sweeps", "growth"):
            patch.setattr(f"bench.instruments.perf.{module}.get_context", lambda way: context)
        patch.setattr(
            "bench.instruments.perf.peers.peer_process", lambda python: nullcontext(peers_answer)
        )
        patch.setattr("bench.instruments.perf.growth.EngineApart", lambda: Engine(clock))
        patch.setattr("bench.instruments.perf.sweeps.subprocess", SimpleNamespace(run=process))
        patch.setattr("bench.runs.run.load_task", load_task)
        patch.setattr("bench.instruments.perf.growth.load_sweep", load_sweep)
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Return perf.csv, growth.csv and the page that the command writes."""
    folder = tmp_path_factory.mktemp("perf")
    page = folder / "perf.md"
    page.write_text(PAGE)
    words = ["--results", str(folder), "--peers", sys.executable, "--page", str(page)]
    with work_clock() as clock, in_one_process(clock), pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.instruments.perf.sizes.FULL", SMALL)
        assert main(["perf", *words]) == 0
    assert (folder / "perf" / "perf.png").stat().st_size > 5000
    tables = [pd.read_csv(folder / "perf" / name) for name in ("perf.csv", "growth.csv")]
    return *tables, page.read_text()


def against(table: pd.DataFrame, words: str) -> pd.DataFrame:
    found = table[table["against"].str.startswith(words)]
    assert len(found)
    return found


def forward(architecture: Architecture) -> float:
    """Return the seconds that the clock counts for the forward pass of one image."""
    return sum(2e-6 * prod(sizes) for sizes in layer_sizes(HandWrittenVAE(architecture)))


@pytest.mark.long
def test_every_part_of_perf_is_measured(measured):
    table, growth, page = measured
    assert len(table) == 34 and np.isfinite(table[["ours", "other", "ratio"]]).all(axis=None)
    assert len(growth) == 8 and page.count("\n| ") == 2 + len(table) + len(growth)
    pairs = table["repeats"].groupby(table["unit"]).agg(set)
    assert pairs["ms"] == {SMALL.epochs - 1, SMALL.repeats} and pairs["s"] == {SMALL.repeats}


@pytest.mark.long
def test_a_training_step_is_the_hand_written_one_and_its_share_of_the_validation(measured):
    groups = against(measured[0], "hand").groupby("what")
    for architecture, (_, rows) in zip(ARCHITECTURES, groups):
        steps, validated = SMALL.images / 4, SMALL.images / 5
        validation = 1e3 * validated * forward(architecture) / steps
        assert rows["ours"].item() == pytest.approx(rows["other"].item() + validation, rel=1e-9)


@pytest.mark.long
def test_floors_have_the_matrix_products_of_what_they_are_compared_with(measured):
    table = measured[0]
    products, loops = against(table, "its matrix products"), against(table, "hand-written")
    assert list(products["other"]) == pytest.approx(list(loops["other"]), rel=1e-9)
    # An encoder for each image beside the decoder for each sample; one of 81 columns is a constant.
    assert against(table, "the decoder's")["ratio"].item() == pytest.approx(0.974, abs=1e-3)
    # A value and its gradient where the chains start; the encoder; a loop takes a value more each time.
    steps = 3 * SMALL.temperatures
    annealing = against(table, "products of values")["ratio"].item()
    assert annealing == pytest.approx(steps / (steps + 1), rel=2e-2)
    floors = against(table, "product of depth")
    assert set(floors["ratio"].round(4)) == {81 / 80, 2.025}  # points need half of the products
    assert list(floors["other"]) == pytest.approx([2e3 * 81] * len(floors))


@pytest.mark.long
def test_alternatives_with_the_same_work_take_as_long(measured):
    """Whatever the number of images, points and steps of each."""
    table = measured[0]
    own = 1e3 * 100 * forward(SHALLOW) * SMALL.images / 5 / SMALL.images
    for name in ("a DataLoader", "lightning-bolts"):
        row = against(table, name)
        assert row["ours"].item() == pytest.approx(row["other"].item() + own, rel=1e-9)
    assert against(table, "one image at a time")["ratio"].item() == pytest.approx(2, abs=0.01)
    assert against(table, "the way of its authors")["ratio"].item() == pytest.approx(1.1, abs=0.1)
    for name in ("pythae", "zuko", "nflows", "normflows"):
        assert against(table, name)["other"].item() == pytest.approx(1e3)
    assert against(table, "KeOps")["other"].item() == pytest.approx(1e9)


@pytest.mark.long
def test_the_start_of_a_run_is_timed_up_to_its_first_step(measured):
    table = measured[0]
    assert against(table, "0.1 s")["ours"].item() == pytest.approx(0.05)
    assert list(against(table, "importing PyTorch")[["ours", "other"]].iloc[0]) == [0.25, 1.0]
    side_by_side = against(table, "one run alone")
    assert side_by_side["ratio"].item() == 2.0 and side_by_side["ours"].item() == 2.5


@pytest.mark.long
def test_work_that_grows_tenfold_has_the_exponent_1_and_all_pairs_the_exponent_2(measured):
    growth = measured[1].set_index("what")["exponent"]
    assert growth["exact q_agg at all points"] == pytest.approx(2, abs=1e-3)
    for name in ("exact q_agg, n = 512", "a sweep of idle runs", "tables of a sweep"):
        assert growth[name] == pytest.approx(1, abs=1e-3)
    assert growth["peak memory of surgery"] == pytest.approx(1)
    assert 0.9 < growth["L_K of 100 images"] < 1 < growth["L_20 of 100 images"] < 2


def test_a_loop_compared_with_itself_is_1_and_with_twice_the_work_2():
    loop = hand_written_epoch(HandWrittenVAE(DEEP), random_images(40), 10)
    twice = lambda: (loop(), loop())
    with work_clock():
        for other, ratio in ((loop, 1.0), (twice, 2.0)):
            times = interleave(loop, lambda other=other: seconds(other), 2, silent, "")
            assert compare("", "", "s", *times).ratio == pytest.approx(ratio, rel=1e-9)


def test_time_is_time():
    """One of two functions sleeps twice as long as the other."""
    sleep = lambda span: lambda: time.sleep(span)
    times = interleave(sleep(0.02), lambda: seconds(sleep(0.04)), 5, silent, "")
    assert 1.4 < compare("", "", "s", *times).ratio < 2.9


def test_all_that_an_epoch_does_is_in_its_time_and_nothing_else(monkeypatch):
    """100 mini-batches in two reports of progress, a validation, two checkpoints."""
    with work_clock() as clock:
        clock_in = lambda original, seconds: (
            lambda *given, **options: (
                clock.advance(seconds),
                original(*given, **options),
            )[1]
        )
        for owner, name, taken in (
            (Grouped, "__iter__", 1e6),
            (GenerativeModel, "validation_step", 1e7),
            (GenerativeModel, "on_train_epoch_start", 1e8),
            (GenerativeModel, "on_train_epoch_end", 1e9),
            (RareCheckpointIO, "save_checkpoint", 1e10),
        ):
            monkeypatch.setattr(owner, name, clock_in(getattr(owner, name), taken))
        config = parse_run(vae_options(Architecture("", (3,), "relu", 2), 4, 3))
        other = lambda: seconds(lambda: clock.advance(1e12))
        shares = []
        progress = lambda share, text: shares.append(share)
        data = dynamic_task(random_images(400))
        ours, others = interleaved_epochs(config, data, [other], progress)
    assert [round(value / 1e6) for value in ours] == [1 + 10 + 100 + 1000 + 20_000] * 2
    assert others == pytest.approx([1e12] * 2) and len(shares) > 2 * 3


def test_work_in_a_separate_process_returns_its_own_seconds():
    with separate_process() as time_apart:
        short, long = (time_apart(partial, time.sleep, span) for span in (0.05, 0.4))
    assert 0.05 <= short < long and 0.4 <= long


@pytest.mark.long
def test_peak_memory_is_that_of_the_work_alone():
    with get_context("spawn").Pool(1) as pool:
        filled = pool.apply(peak_of, (partial(mul, b"x"), 300 << 20))
    assert filled == pytest.approx(300, rel=0.02)


PEERS = Path(bench.__file__).parents[1] / ".venv-peers" / "bin" / "python"


@pytest.mark.skipif(not PEERS.is_file(), reason="no peers: `make perf-peers` installs them")
def test_installed_peers_do_their_work():
    flow = {"dimensions": 16, "couplings": 2, "batch": 10}
    with peer_process(PEERS) as time_peer:
        for name in ("zuko", "nflows", "normflows"):
            few, many = (
                min(time_peer(name, flow | {"count": count}) for _ in range(3)) for count in (3, 60)
            )
            assert many > 4 * few, name
        assert time_peer("pythae", {"images": 20, "batch": 10, "latent": 2, "hidden": 4}) > 0
        with pytest.raises(RuntimeError, match="none: KeyError"):
            time_peer("none", {})
