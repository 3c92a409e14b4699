"""The loop that sweeps and claims share, on an engine in this process."""

from dataclasses import dataclass

import pytest

from bench.errors import InputError
from bench.sweep.engine import Finished
from bench.sweep.jobs import Work
from bench.sweep.loop import do_jobs
from bench.sweep.progress import SweepProgress
from bench.sweep.resources import Request


@dataclass(frozen=True)
class Doubling:
    key: str
    number: int


class EngineHere:
    """Does jobs in this process, and counts the engines that are open."""

    has_gpus = False
    open = 0

    def __init__(self, *_):
        EngineHere.open += 1

    def map(self, jobs, requests, work):
        for job in jobs:
            assert requests[job.key] == Request(job.number)
            yield Finished(job.key, work(job, None))
            yield None

    def progress(self):
        return {}

    def slots(self, requests):
        return 1

    def close(self):
        EngineHere.open -= 1


JOBS = [Doubling("a", 1), Doubling("b", 2)]


def double(job, assigned):
    return {"doubled": 2 * job.number}


@pytest.fixture
def progress(monkeypatch):
    monkeypatch.setattr("bench.sweep.apart.EngineApart", EngineHere)
    with SweepProgress({job.key: job.key for job in JOBS}, 0, set()) as progress:
        yield progress


def request_of(job, has_gpus):
    return Request(job.number)


def test_each_job_is_settled_once(progress):
    found = []

    def settle(finished):
        found.append((finished.key, finished.record["doubled"]))
        progress.finish(finished.key, False, "")

    do_jobs(JOBS, Work(request_of, settle, double), progress, None, 1)
    assert found == [("a", 2), ("b", 4)] and EngineHere.open == 0


def test_the_engine_is_closed_where_settling_fails(progress):
    def settle(finished):
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="the disk is full"):
        do_jobs(JOBS, Work(request_of, settle, double), progress, None, 1)
    assert EngineHere.open == 0
