"""Part `peers`: training steps of other libraries, and of a loop written by hand, on the same card."""

import contextlib
import io
import logging
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib.util import find_spec
from statistics import median

import torch

from bench.configuration.parsing import parse_run
from bench.densities.flows import CouplingFlow
from bench.densities.normal import standard_normal_log_prob
from bench.instruments.perf.interleaved import Work
from bench.instruments.perf.peer_work import WORK
from bench.instruments.perf.peers import BATCH, COUPLINGS
from bench.instruments.perf.training import (
    DEEP,
    SHALLOW,
    SIDE,
    Architecture,
    HandWrittenVAE,
    hand_written_epoch,
    random_images,
    vae_options,
)
from bench.training.adam import Adam
from tests.gpu.lines import Check
from tests.gpu.steps import clocked
from tests.gpu.training import train


def peers(check: Check) -> None:
    count = 5 if check.dry else 500
    with check.caught("peers", against="hand-written loop"):
        images = random_images(count * BATCH).to(check.device)
        with torch.device(check.device):
            loop = hand_written_epoch(HandWrittenVAE(DEEP), images, BATCH)
        report(check, "hand-written loop", our_vae(check, DEEP), loop, count)
    with_vae = {"images": count * BATCH, "batch": BATCH, "latent": SHALLOW.latent}
    with_flow = {"dimensions": SIDE**2, "couplings": COUPLINGS, "batch": BATCH, "count": count}
    for name, options in (
        ("pythae", with_vae | {"hidden": SHALLOW.widths[0], "device": check.device.type}),
        ("zuko", with_flow),
        ("nflows", with_flow),
    ):
        with check.caught("peers", against=name):
            if find_spec(name) is None:
                check.say("peers", against=name, missing=True)
                continue
            with place(check, name):
                theirs = WORK[name](**options)
            ours = our_vae(check, SHALLOW) if name == "pythae" else our_flow(check, count)
            report(check, name, ours, theirs, count)


def place(check: Check, name: str) -> AbstractContextManager[object]:
    """Return where a peer's tensors are made. pythae moves its own, from loaders on the CPU."""
    return nullcontext() if name == "pythae" else torch.device(check.device)


def report(check: Check, against: str, ours: float, theirs: Work, count: int) -> None:
    """Time ``count`` steps of theirs, without the deterministic algorithms that are our custom."""
    torch.use_deterministic_algorithms(False)
    silent = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    logging.disable(logging.CRITICAL)
    with place(check, against), silent[0], silent[1]:
        other = 1e3 * check.seconds_of(theirs) / count
    logging.disable(logging.NOTSET)
    check.say("peers", against=against, ours_ms=ours, theirs_ms=other, ratio=other / ours)


def our_vae(check: Check, architecture: Architecture) -> float:
    """Return the milliseconds of a step of our training, median over groups."""
    options = vae_options(architecture, BATCH, 100)
    if check.dry:
        options = ["--data=digits-binary", *options[1:]]
    times: list[float] = []
    visits = [lambda number: nullcontext()] * 2
    visits += [lambda number: clocked(check, number, times)] * 5
    train(parse_run(options), check.device, visits)
    return median(times)


def our_flow(check: Check, count: int) -> float:
    """Return the milliseconds of a step of our couplings, in a loop like the peers'."""
    torch.use_deterministic_algorithms(True)
    flow = CouplingFlow((1, SIDE, SIDE), COUPLINGS, [256, 256], "checkerboard").to(check.device)
    optimizer = Adam(flow.parameters(), 1e-3)
    x = torch.randn(BATCH, SIDE**2, device=check.device)

    def step() -> None:
        optimizer.zero_grad()
        z, log_determinant = flow(x)
        (-(standard_normal_log_prob(z) + log_determinant).mean()).backward()
        optimizer.step()

    return 1e3 * check.seconds_of(partial(repeat, step, count)) / count


def repeat(step: Work, count: int) -> None:
    for _ in range(count):
        step()
