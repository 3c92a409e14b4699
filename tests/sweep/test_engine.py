"""The engine on pretended hardware: logical GPUs, and a cluster of several nodes on loopback."""

import filecmp
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest
import yaml

from bench.claims.driver import execute
from bench.claims.measure import TrainedItem
from bench.configuration.job import Job
from bench.configuration.load_plugin import load_plugin
from bench.configuration.plugins import LOADED
from bench.errors import InputError
from bench.instruments.perf.idle import do_nothing, made_up
from bench.records.record import read_records
from bench.sweep.apart import EngineApart
from bench.sweep.driver import Plan, SweepOptions, run_pending
from bench.sweep.engine import Engine, EngineLost, EngineNotStarted, Finished, machine
from bench.sweep.resources import Request, Resources
from bench.system.machine import GIB
from bench.training.checkpoints import LAST
from tests.conftest import ThisProcess, patience, small_config
from tests.engine_work import Named, break_down, trouble, where
from tests.listening import Watch
from tests.made_up import record
from tests.own_parts import WIDE


@pytest.fixture(scope="module")
def engine():
    engine = EngineApart(logical={"num_cpus": 4, "num_gpus": 2})
    yield engine
    engine.close()


def results(engine, keys, request, work):
    jobs = [Named(key) if isinstance(key, str) else key for key in keys]
    finished = engine.map(jobs, {job.key: request for job in jobs}, work)
    return {f.key: f for f in finished if f is not None}


def test_runs_share_a_gpu_and_are_told_which(engine):
    assert engine.has_gpus
    found = results(engine, "abcdefgh", Request(0.5, 0.5), where)
    used = [f.record["gpus"] for f in found.values()]
    assert {name for gpus in used for name in gpus} == {"0", "1"}
    assert all(len(gpus) == 1 for gpus in used)
    assert {f.record["share"] for f in found.values()} == {0.5}
    # Warm workers: no more processes than fit at once.
    assert len({f.record["process"] for f in found.values()}) <= 4
    both = results(engine, "ij", Request(1, 2), where)
    assert all(sorted(f.record["gpus"]) == ["0", "1"] for f in both.values())
    assert {f.record["share"] for f in both.values()} == {1.0}


def test_what_no_node_has_is_refused_at_once(engine):
    for request in (Request(5, 0), Request(1, 3), Request(1, 0, 1e6)):
        with pytest.raises(InputError, match="no machine has them"):
            results(engine, "a", request, where)


def test_an_engine_is_given_what_this_process_may_use(monkeypatch):
    given = {}

    def note(**options):
        given.update(options)
        raise Exception("enough")  # as Ray does where a node ends while it starts

    import ray

    monkeypatch.setattr(ray, "init", note)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # the other tests' engine
    monkeypatch.setattr("bench.sweep.engine.usable_cores", lambda: 3)
    monkeypatch.setattr("bench.sweep.engine.usable_memory", lambda: 2.0)
    with pytest.raises(InputError, match="enough"):
        Engine()
    assert given["num_cpus"] == 3 and given["_memory"] == 2 * GIB
    assert machine()[::2] == (3, 2.0)
    monkeypatch.setattr("bench.sweep.engine.refuse_no_cluster", lambda address: None)
    for value, passed in ((":4096:8", None), (":16:8", ":16:8")):
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", value)
        with pytest.raises(InputError, match="enough"):
            Engine("192.0.2.1:6379")
        variables = given["runtime_env"]["env_vars"]
        assert variables.get("CUBLAS_WORKSPACE_CONFIG") == passed
        assert variables["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.long
def test_nothing_of_an_engine_listens_beyond_this_machine(engine, tmp_path):
    """Of any process, at any time of a run on one device and of one on two ranks, by one worker."""
    configs = {
        name: small_config("gaussian_vae", "digits-17", "--trainer.max_epochs=2", *more)
        for name, more in {"one": [], "two": ["--trainer.devices=2"]}.items()
    }
    jobs = [
        Job(config, "m", "s", str(tmp_path / name), "offline") for name, config in configs.items()
    ]
    with Watch() as watch:
        finished = list(engine.map(jobs, {job.key: Request(4) for job in jobs}))
    done = [f.record["status"] for f in finished if f is not None]
    assert done == ["ok", "ok"]
    assert watch.found and not watch.elsewhere()


def test_claims_are_measured_by_a_worker(engine, tmp_path):
    """Of a run that is to be trained; tests/claims has what is measured, and what becomes of it."""
    options = ("--trainer.max_epochs=1", "--trainer.validate_every=1")
    config = small_config("realnvp", "digits-17", *options)
    item = TrainedItem(Job(config, "realnvp", "s", str(tmp_path), "disabled"), (9,), 10)
    found = results(engine, [item], Request(4), execute)[item.key].record
    assert found["record"]["status"] == "ok"
    assert {row["claim"] for row in found["measurement"]["rows"]} == {9}


def test_a_worker_loads_the_plugin_of_its_run_and_checks_its_source(engine, tmp_path):
    """One that has it already, and one that has not, after the file was changed on the way."""
    path = tmp_path / "my_parts.py"
    path.write_text(WIDE)
    plugin = load_plugin(str(path))
    options = ("--model.prior=Wide", "--trainer.max_epochs=1", "--trainer.validate_every=1")
    try:
        configs = [
            small_config("bernoulli_vae", "digits-binary", *options, f"--seed={seed}")
            for seed in (1, 2)
        ]
        jobs = [Job(config, "m", "s", str(tmp_path / "run"), "disabled") for config in configs]
    finally:
        del LOADED[plugin.place]
    first, second = jobs
    done = results(engine, [first], Request(4), None)[first.key]
    assert done.record["status"] == "ok" and done.record["prior"] == "Wide"
    path.write_text(WIDE.replace("2.0", "2.5"))
    refused = results(engine, [second], Request(4), None)[second.key]
    assert refused.record is None
    # Whether it is the worker of before is for Ray to say.
    assert "has changed since" in refused.reason or "that was given has" in refused.reason


def test_an_engine_that_is_gone_is_lost_and_ends_no_driver():
    """Whichever of Ray's calls is the first to notice, and in whichever of its ways."""
    import ray

    engine = Engine.__new__(Engine)  # without a cluster
    for name in ("cluster_resources", "nodes", "wait"):
        for error in (
            ray.exceptions.RaySystemError("gone"),
            ConnectionError("gone"),
            RuntimeError("gone"),
        ):
            engine.ray = Mock(exceptions=ray.exceptions)
            engine.ray.cluster_resources.return_value = {"CPU": 4}
            engine.ray.nodes.return_value = [{"Alive": True, "Resources": {"CPU": 4}}]
            getattr(engine.ray, name).side_effect = error
            engine.workers, engine.board = None, None
            with pytest.raises(EngineLost, match="gone"):
                results(engine, "a", Request(1), where)


@pytest.mark.parametrize("error", [None, "RaySystemError"])
def test_a_job_whose_worker_was_killed_every_time_says_so(error):
    """Whether the board answers or not."""
    import ray

    engine = Engine.__new__(Engine)  # without a cluster
    engine.ray, engine.board = Mock(exceptions=ray.exceptions), Mock()
    answers = [ray.exceptions.WorkerCrashedError(), error and ray.exceptions.RaySystemError("gone")]
    engine.ray.get.side_effect = answers
    finished = engine._result(Named("a"), None)
    assert finished == Finished("a", None, "its worker was killed 6 times (WorkerCrashedError)")


def on_engines_that_die(monkeypatch, folder, deaths: str) -> None:
    """Sweep two runs on engines of which each dies so: s while it starts, r after a run, n before any."""
    left = iter(deaths)

    class Dying(ThisProcess):
        def __init__(self, *_):
            self.death = next(left)
            if self.death == "s":
                raise EngineNotStarted("engine: Ray does not start here")

        def map(self, jobs, *_):
            if self.death == "r":
                yield Finished(jobs[0].key, None, "did nothing")
            raise EngineLost("killed")

    monkeypatch.setattr("bench.sweep.apart.EngineApart", Dying)
    jobs = [
        Job(small_config("gaussian_vae", "digits-17", f"--seed={seed}"), "m", "s", str(folder))
        for seed in (1, 2)
    ]
    plan = Plan(folder, {j.key: j for j in jobs}, {j.key: Resources() for j in jobs}, set())
    run_pending(plan, jobs, 0, SweepOptions())
    assert not list(left)


def test_an_engine_that_dies_is_started_again_and_given_up(monkeypatch, tmp_path):
    on_engines_that_die(
        monkeypatch, tmp_path, "ss" + "nsns" + 8 * "n" + "r" + "nsns" + 7 * "n" + "r"
    )
    with pytest.raises(InputError, match="^engine: Ray does not start here; what is recorded"):
        on_engines_that_die(monkeypatch, tmp_path, "nsss")
    with pytest.raises(InputError, match="^engine: killed; what is recorded is safe"):
        on_engines_that_die(monkeypatch, tmp_path, "r" + 10 * "n")


def test_one_runs_trouble_is_its_own(engine):
    found = results(engine, ["input", "bug"], Request(1), trouble)
    assert found["input"].record is None and found["input"].reason == "the disk is full"
    assert found["bug"].reason == "RuntimeError: a bug"


@pytest.mark.long
def test_idle_runs_leave_the_records_of_a_sweep(engine, tmp_path):
    records = list(made_up(record("m", 1, 2.0), 25))
    do_nothing(engine, records, Request(2), tmp_path)
    written = read_records(tmp_path / "runs", [one["key"] for one in records])
    assert len({one.pop("checksum") for one in written}) == 25 and written == records


def test_a_job_whose_worker_ends_is_given_to_others_and_given_up(engine, tmp_path):
    """One job on which CUDA always fails, and one on which it fails once."""
    once = str(tmp_path / "once")
    found = results(engine, ["cuda", once], Request(1), break_down)
    assert found["cuda"].record is None and found["cuda"].reason == (
        "device: CUDA error: an illegal memory access was encountered: this is trouble of the "
        "machine, and no result; tried 6 times, not recorded"
    )
    assert found[once].record["first"] != found[once].record["then"]


def test_a_server_of_the_cluster_that_is_killed_is_noticed_at_once_and_nothing_stays(engine):
    """The last test of this engine. Left alone, Ray's client aborts its process a minute later."""
    family = psutil.Process(engine.process.pid).children(recursive=True)
    (server,) = [one for one in family if one.name() == "gcs_server"]
    jobs = [Named(key) for key in "abcdefgh"]
    with pytest.raises(EngineLost, match="one of its processes was killed"):
        for finished in engine.map(jobs, {job.key: Request(1) for job in jobs}, where):
            if finished is not None and server.is_running():
                server.kill()
                killed = time.monotonic()
    engine.close()
    assert time.monotonic() - killed < patience(10)
    _, alive = psutil.wait_procs(family, timeout=patience(10))
    assert not alive


def orphan_and_session() -> tuple[subprocess.Popen, psutil.Process]:
    """Start a session of two processes, the second of which has lost its parent."""
    words = ["sh", "-c", "(sleep 600 & echo $!); exec sleep 600"]
    first = subprocess.Popen(words, start_new_session=True, stdout=subprocess.PIPE, text=True)
    return first, psutil.Process(int(first.stdout.readline()))


def test_ctrl_c_in_a_shutdown_does_not_cut_it_short(monkeypatch):
    """Nor does an engine that hangs: what its session has is killed, whoever started it."""
    monkeypatch.setattr("bench.sweep.apart.CLOSE_SECONDS", 0.1)
    first, orphan = orphan_and_session()

    def ask_to_end():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGINT)
    EngineApart.close(SimpleNamespace(connection=SimpleNamespace(close=ask_to_end), process=first))
    assert first.returncode == -signal.SIGKILL and signal.getsignal(signal.SIGINT) is before
    psutil.wait_procs([orphan], timeout=patience(5))
    assert not orphan.is_running()


def test_an_engine_ends_with_its_driver_however_that_ends():
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        words = ["-m", "bench.sweep.apart", str(theirs.fileno()), "1"]  # whose parent is another
        process = subprocess.Popen([sys.executable, *words], pass_fds=[theirs.fileno()])
        assert process.wait(patience(20)) == 1


SWEEP = {
    "matrix": {"data": ["digits-17"], "model": ["gaussian_vae"], "seed": [1, 2]},
    "trainer": "digits",
    "overrides": [
        {
            "when": {"model": "gaussian_vae"},
            "set": {"trainer.max_epochs": 200, "evaluation.importance_samples": 10},
        }
    ],
}


@pytest.mark.long
def test_a_node_that_dies_hands_its_run_on_at_its_last_epoch(tmp_path):
    """Two nodes on loopback, results with the driver, checkpoints in a storage of their own."""
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(SWEEP))
    words = [sys.executable, "-m", "bench", "sweep", str(path), "--wandb", "disabled", "--results"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    pipes = {"stdout": subprocess.PIPE, "text": True}
    cluster = subprocess.Popen(
        [sys.executable, "-m", "tests.engine_work"],
        env=environment | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"},
        stdin=subprocess.PIPE,
        **pipes,
    )
    try:
        address = cluster.stdout.readline().strip()
        storage = tmp_path / "storage"
        driver = subprocess.Popen(
            [*words, str(tmp_path / "r"), "--storage", str(storage)],
            env=environment | {"RAY_ADDRESS": address},
            stderr=subprocess.STDOUT,
            **pipes,
        )
        deadline = time.monotonic() + patience(60)
        while len(list(storage.rglob(LAST))) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        cluster.stdin.write("kill a node\n")
        cluster.stdin.flush()
        output, _ = driver.communicate(timeout=patience(120))
        assert driver.returncode == 0, output
    finally:
        cluster.stdin.close()
        cluster.wait(patience(60))
    calm = subprocess.run([*words, str(tmp_path / "calm")], env=environment, capture_output=True)
    assert calm.returncode == 0, calm.stdout
    for table in ("runs.csv", "leaderboard.csv"):
        ours, theirs = tmp_path / "r" / "cluster" / table, tmp_path / "calm" / "cluster" / table
        assert filecmp.cmp(ours, theirs, shallow=False)
    logs = [log.read_text() for log in (tmp_path / "r").rglob("log.txt")]
    handed_on = [log for log in logs if log.count("started") == 2]
    assert len(handed_on) == 1 and "from the start" not in handed_on[0]
