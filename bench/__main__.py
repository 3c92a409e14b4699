"""The command line: ``bench COMMAND``, see ``COMMANDS``.

Each command imports its modules when it is called, so that help appears at once.
"""

import atexit
import gc
import signal
import sys
import threading
from importlib import import_module

from bench.commands.plain import in_plain_words
from bench.errors import InputError
from bench.system.closed_output import lenient_output
from bench.system.device_trouble import device_trouble, is_out_of_gpu_memory
from bench.system.launchers import hidden, is_a_launchers
from bench.system.memory import keep_freed_memory
from bench.system.printing import take_every_character

# {command: (its module in bench.commands, its description)}, those first that most users need.
COMMANDS = {
    "sweep": ("sweeps", "Run a matrix of trainings, print its leaderboard: bench sweep default."),
    "train": ("runs", "Train and measure one model: bench train --data … --model …"),
    "score": ("scoring", "Check and measure a model of your own: bench score FILE.py:NAME."),
    "claims": ("sweeps", "Test the lecture's claims: bench claims default."),
    "cite": ("citing", "Print what to cite for a run or a row: bench cite KEY."),
    "status": ("sweeps", "Show the progress of a sweep, from another terminal or afterwards."),
    "report": ("sweeps", "Rebuild tables, figures and the page of a sweep from its records."),
    "compare": ("comparing", "Show two runs side by side: bench compare KEY KEY."),
    "evaluate": ("runs", "Measure a trained model: bench evaluate CHECKPOINT."),
    "inspect": ("inspecting", "Show one trained VAE on a page: bench inspect CHECKPOINT."),
    "release": ("runs", "Write a checkpoint for publication, without the optimizer's state."),
    "data": ("instruments", "Fetch MNIST and Fashion-MNIST, or other data sets."),
    "dashboard": ("dashboards", "Send a sweep to W&B: logs, artifacts, a saved report."),
    "verify": ("citing", "Repeat cited runs and compare the numbers: bench verify TABLE --row …"),
    "export": ("citing", "Write a row's results as a model card for model hubs; nothing is sent."),
    "submit": ("submitting", "Write a submission to a leaderboard: bench submit RECORDS --out …"),
    "leaderboard": (
        "submitting",
        "Add a submission to a board, or freeze it: bench leaderboard add.",
    ),
    "calibrate": ("instruments", "Compare every estimator with a known truth, over many repeats."),
    "codecs": ("instruments", "Measure PNG, WebP, … and trained VAEs as codecs, on test images."),
    "peers": ("instruments", "Train and rank models of other libraries beside ours."),
    "perf": ("instruments", "Compare speed with floors, bare loops and peers."),
}
# {the first command under a heading: the heading}
HEADINGS = {
    "sweep": "most used",
    "status": "runs and sweeps",
    "verify": "rows for others",
    "calibrate": "the benchmark itself",
}


def overview() -> str:
    lines = ["usage: bench COMMAND [options]"]
    for name, (_, words) in COMMANDS.items():
        lines += ["", f"{HEADINGS[name]}:"] if name in HEADINGS else []
        lines.append(f"  {name:13}{words}")
    return "\n".join([*lines, "", "bench COMMAND --help explains a command's options."])


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit code: 0, or 2 where the user's input was wrong."""
    if arguments is None:
        # The process ends with the command: a last garbage collection over PyTorch's objects would
        # take a second or two.
        atexit.register(gc.freeze)
    words = sys.argv[1:] if arguments is None else arguments
    take_every_character()
    with lenient_output() as output:
        try:
            # Lightning reads these variables when it is imported, and fails if one is not a number.
            with hidden(is_a_launchers):
                code = dispatch(words)
            output.flush()
            lost = output.explanation()
            if lost is not None:
                raise InputError(f"output: incomplete: {lost}; the rest of the command is done")
            return code
        except InputError as error:
            print(f"bench: error: {in_plain_words(str(error))}", file=sys.stderr)
            return 2
        except RuntimeError as error:
            if (line := line_about_gpu(error)) is None:
                raise
            print(f"bench: error: {line}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("bench: interrupted", file=sys.stderr)
            return 130


def line_about_gpu(error: RuntimeError) -> str | None:
    """Return a line for the user about trouble of a GPU, or its want of memory; None of a bug."""
    if trouble := device_trouble(error):
        return str(trouble)
    return "device: out of memory on the GPU" if is_out_of_gpu_memory(error) else None


def dispatch(words: list[str]) -> int:
    """Call the command that the first word names, or show help or the version."""
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return 0
    if words[0] == "--version":
        from bench.version import __version__

        print(f"likelihood-bench {__version__}")
        return 0
    if words[0] not in COMMANDS:
        raise InputError(f"'{words[0]}' is not a command; commands: {', '.join(COMMANDS)}")
    # Schedulers such as Slurm end a job by SIGTERM: it stops the command as Ctrl-C does. Lightning
    # keeps an existing handler; its own waits for the end of an epoch.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    keep_freed_memory()
    module = import_module(f"bench.commands.{COMMANDS[words[0]][0]}")
    return getattr(module, words[0])(words[1:])


if __name__ == "__main__":
    sys.exit(main())
