"""Ten minutes of one GPU: what only a card can show, cheap and decisive parts first.

Every part has its time, is caught, and writes each result at once as a line of $OUT/gpu.jsonl
($OUT is gpu-out/ if it is not set). See docs/gpu.md.
"""

import argparse
import importlib.util
import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

STARTED = time.monotonic()
# So that it can be run as a file, from any folder.
sys.path.insert(0, str(Path(__file__).parents[1]))
# cuBLAS reads it once, when it starts, and needs it for the same bytes.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch  # noqa: E402

from tests.gpu.correctness import correctness  # noqa: E402
from tests.gpu.environment import environment  # noqa: E402
from tests.gpu.estimators import bound, q_agg  # noqa: E402
from tests.gpu.lines import Check, OutOfTime, at_most  # noqa: E402
from tests.gpu.many_runs import captured, stacked  # noqa: E402
from tests.gpu.packing import packing  # noqa: E402
from tests.gpu.peers import peers  # noqa: E402
from tests.gpu.same_bytes import same_bytes  # noqa: E402
from tests.gpu.steps import steps  # noqa: E402
from tests.gpu.sweep import sweep  # noqa: E402

Part = Callable[[Check], None]
# What reading a configuration needs, beside PyTorch and Lightning.
NEEDED = ("jsonargparse", "typeshed_client", "yaml", "pandas", "sklearn")
# Seconds that are kept for ending a part.
SPARE = 10


def parts(name_of_sweep: str, at_once: int) -> dict[str, tuple[Part, float]]:
    """Return {name: (part, its seconds at most)} in their order; the last has all that is left."""
    return {
        "environment": (environment, 40),
        "correctness": (correctness, 80),
        "same_bytes": (same_bytes, 60),
        "steps": (steps, 60),
        "captured": (captured, 45),
        "stacked": (stacked, 60),
        "q_agg": (q_agg, 30),
        "bound": (bound, 25),
        "peers": (peers, 30),
        "packing": (packing, 75),
        "sweep": (partial(sweep, name=name_of_sweep, at_once=at_once), float("inf")),
    }


def main(arguments: list[str], started: float | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__)
    parser.add_argument("--seconds", type=float, default=560, help="the time of all parts")
    parser.add_argument("--only", default="", help="parts to do, joined by commas")
    parser.add_argument("--sweep", default="surgery", help="the sweep of the last part")
    parser.add_argument("--at-once", type=int, default=6, help="runs of the sweep at once")
    parser.add_argument("--dry", action="store_true", help="small, on the CPU: tests the check")
    options = parser.parse_args(arguments)
    chosen = parts(options.sweep, options.at_once if not options.dry else 1)
    wanted = options.only.split(",") if options.only else list(chosen)
    if unknown := set(wanted) - set(chosen):
        parser.error(f"no part is called {', '.join(sorted(unknown))}; parts: {', '.join(chosen)}")
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        parser.error(f"not installed: {', '.join(missing)}; see docs/gpu.md")
    if not options.dry and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU; --dry tests the check on the CPU")
    out = Path(os.environ.get("OUT", "gpu-out"))
    out.mkdir(parents=True, exist_ok=True)
    check = Check(out, options.seconds, options.dry, started or time.monotonic())
    # Networks are built on the CPU, and a part that counts waits shows its own warnings.
    warnings.filterwarnings("ignore")
    for name in wanted:
        part, seconds = chosen[name]
        do(check, name, part, min(seconds, check.left() - SPARE))
    return 0


def do(check: Check, name: str, part: Part, seconds: float) -> None:
    """Do a part for at most ``seconds``; whatever ends it is a line."""
    if seconds <= 0:
        check.say(name, stopped="no time was left")
        return
    begun = check.left()
    try:
        with check.caught(name), at_most(seconds):
            part(check)
    except OutOfTime:
        check.say(name, stopped=f"its {seconds:.3g} seconds were over")
    check.say("time", of=name, seconds=round(begun - check.left(), 1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], STARTED))
