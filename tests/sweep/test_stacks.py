"""Which runs of a sweep are put together."""

import pytest

from bench.configuration.job import Job
from bench.errors import InputError
from bench.sweep.jobs import Stack, Work
from bench.sweep.loop import do_jobs
from bench.sweep.progress import SweepProgress
from bench.sweep.resources import Request, Resources, checked_resources
from bench.sweep.stacks import MOST, stacks_of
from tests.conftest import small_config


def job_of(model="gaussian_vae", *options):
    return Job(small_config(model, "digits-17", *options), model, "t", "", "disabled")


def stacks(jobs, asked=Resources(), has_gpus=True, slots=1):
    found = stacks_of(jobs, {job.key: asked for job in jobs}, has_gpus, slots)
    numbers = {id(job): number for number, job in enumerate(jobs)}
    return [
        [numbers[id(job)] for job in (one.jobs if isinstance(one, Stack) else [one])]
        for one in found
    ]


def test_seeds_learning_rates_and_weights_of_the_kl_are_put_together():
    jobs = [
        job_of("gaussian_vae", "--seed=1"),
        job_of("realnvp", "--seed=1"),
        job_of("gaussian_vae", "--seed=2", "--trainer.learning_rate=0.1"),
        job_of("realnvp", "--seed=2"),
        job_of("gaussian_vae", "--seed=2", "--trainer.beta=2"),
        job_of("gaussian_vae", "--seed=1", "--model.latent_dimensions=4"),
        job_of("gaussian_vae", "--seed=1", "--trainer.batch_size=50"),
    ]
    assert stacks(jobs) == [[0, 2, 4], [1, 3], [5], [6]]


def test_models_that_do_not_stack_are_left_alone():
    jobs = [job_of("linear_gaussian", f"--seed={seed}") for seed in (1, 2)]
    assert stacks(jobs) == [[0], [1]]


def test_stacks_are_for_gpus_unless_asked_for():
    jobs = [job_of("gaussian_vae", f"--seed={seed}") for seed in (1, 2)]
    assert stacks(jobs, has_gpus=False) == [[0], [1]]
    assert stacks(jobs, Resources(stack=True), has_gpus=False) == [[0, 1]]
    assert stacks(jobs, Resources(stack=False)) == [[0], [1]]
    assert stacks(jobs, Resources(gpus=0)) == [[0], [1]]


def test_a_stack_has_a_largest_size():
    jobs = [job_of("gaussian_vae", f"--seed={seed}") for seed in range(MOST + 2)]
    assert [len(one) for one in stacks(jobs)] == [MOST, 2]
    assert [len(one) for one in stacks(jobs, slots=4)] == [5, 5, 5, 3]
    assert [len(one) for one in stacks(jobs, slots=100)] == [1] * len(jobs)


def test_what_stack_takes():
    assert checked_resources({"stack": True}, "here").stack is True
    with pytest.raises(InputError, match="resources.stack: 5 is neither true nor false"):
        checked_resources({"stack": 5}, "here")


def test_each_job_of_a_stack_is_settled(without_engine, monkeypatch):
    jobs = [job_of("gaussian_vae", f"--seed={seed}") for seed in (1, 2, 3)]
    labels = {job.key: job.key for job in jobs}
    monkeypatch.setattr("bench.sweep.apart.EngineApart.has_gpus", True)
    found = []

    def work(unit, board):
        return [job.config["seed"] for job in unit.jobs] if isinstance(unit, Stack) else None

    with SweepProgress(labels, 0, set()) as progress:

        def settle(finished):
            found.append((finished.key, finished.record))
            progress.finish(finished.key, False, "")

        def grouped(pending, has_gpus, slots):
            assert has_gpus and slots == 1
            return [Stack(tuple(pending[:2])), *pending[2:]]

        do_jobs(jobs, Work(lambda *_: Request(), settle, work, grouped), progress, None, 1)
    assert found == [(jobs[0].key, 1), (jobs[1].key, 2), (jobs[2].key, None)]
