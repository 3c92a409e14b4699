"""Commands for instruments and data: ``bench calibrate``, ``perf``, ``peers``, ``codecs``, ``data``."""

from functools import partial
from pathlib import Path
from typing import Literal

from bench.commands.call import call
from bench.errors import InputError
from bench.system.printing import print_table, say


def calibrate(arguments: list[str]) -> int:
    return call(run_calibrate, "calibrate", arguments)


def run_calibrate(results: str = "results") -> int:
    """Compare every estimator with a known truth; write calibration/calibration.csv.

    Args:
        results: Folder of all results.
    """
    from bench.commands.time_left import telling_time_left
    from bench.instruments.calibrate import calibrate as measure_all

    directory = Path(results) / "calibration"
    with telling_time_left() as progress:
        table = measure_all(directory, progress)
    good = int(table["calibrated"].sum())
    say(f"{good} of {len(table)} estimators calibrated: {directory / 'calibration.csv'}")
    return 0 if good == len(table) else 1


def perf(arguments: list[str]) -> int:
    return call(run_perf, "perf", arguments)


def run_perf(
    results: str = "results", peers: str = ".venv-peers/bin/python", page: str | None = None
) -> int:
    """Compare speed with floors, bare loops and peers; write perf/perf.csv and its figure.

    Args:
        results: Folder of all results.
        peers: Python of the peers' environment, which `make perf-peers` makes.
        page: Markdown file; also rewrite its tables, between marks.
    """
    from bench.commands.time_left import telling_time_left
    from bench.instruments.perf.driver import growth_markdown, markdown, print_table
    from bench.instruments.perf.driver import perf as measure_all
    from bench.instruments.perf.sizes import FULL
    from bench.report.pages import rewrite_pages

    if not Path(peers).is_file():
        raise InputError(f"perf: no peers at {peers}; `make perf-peers` installs them")
    with telling_time_left() as progress:
        table, growth = measure_all(Path(results) / "perf", Path(peers), FULL, progress)
    print_table(table)
    if page is not None:
        tables = {("speed", "perf"): markdown(table), ("growth", "perf"): growth_markdown(growth)}
        rewrite_pages([Path(page)], tables)
    return 0


def peers(arguments: list[str]) -> int:
    return call(run_peers, "peers", arguments)


def run_peers(
    results: str = "results", peers: str = ".venv-peers/bin/python", page: str | None = None
) -> int:
    """Train models of other libraries by their own code, score them, and rank them beside ours.

    Args:
        results: Folder of all results; peers/equal-budget in it is the sweep of our own models.
        peers: Python of the peers' environment, which `make perf-peers` makes.
        page: Markdown file; also rewrite its tables, between marks.
    """
    from bench.commands.time_left import telling_time_left
    from bench.instruments.peers.driver import peers as do_all
    from bench.instruments.peers.markdown import rewrite_page
    from bench.submissions.shown import print_board

    directory = Path(results) / "peers"
    with telling_time_left() as progress:
        table, checks, failed = do_all(directory, Path(peers), progress)
    if page is not None:
        rewrite_page(Path(page), table, checks)
    print_board(table)
    say(f"written: {directory}/leaderboard.csv, checks.csv")
    for line in failed:
        say(f"failed, and not in the table: {line}")
    return 1 if failed else 0


def data(arguments: list[str]) -> int:
    return call(run_data, "data", arguments)


def run_data(
    names: list[Literal["mnist", "fashion_mnist", "cifar10", "mnist_larochelle"]] = [
        "mnist",
        "fashion_mnist",
    ],
) -> int:
    """Fetch data sets, print their sources, and check the hashes of their payload.

    Args:
        names: Data sets: mnist, fashion_mnist; of 140 to 170 MB cifar10, and of 110 MB
            mnist_larochelle.
    """
    from bench.data.fetch import fetch

    failures = []
    for name in names:
        try:
            say(fetch(name))
        except InputError as error:
            failures.append(str(error))
    if failures:
        raise InputError("; ".join(failures))
    return 0


def codecs(arguments: list[str]) -> int:
    return call(run_codecs, "codecs", arguments)


# Its parameters are the command's options.
def run_codecs(
    tasks: list[str] = ["mnist-256", "fashion-256", "mnist-dynamic", "fashion-dynamic"],
    checkpoints: list[str] = [],
    latent_bits: int = 16,
    importance_samples: int = 100,
    results: str = "results",
) -> int:
    """Measure lossless codecs, and trained VAEs as codecs, on test images; write codecs/*.csv.

    Rows of these tables that are not measured by this call stay as they are.

    Args:
        tasks: Names under configs/data of 8-bit or binary tasks, for PNG and the like.
        checkpoints: Trained VAEs, for bits-back coding of the test images of their tasks.
        latent_bits: Logarithm of the number of bins of each dimension of z.
        importance_samples: K of the bound L_K beside what a VAE really sends.
        results: Folder of all results.
    """
    from bench.commands.time_left import telling_time_left
    from bench.instruments.bits_back.rows import measure_codec, open_checkpoint
    from bench.instruments.bits_back.stack import coder_library
    from bench.instruments.codec_tables import of_tasks, write_bits_back, write_codecs
    from bench.instruments.codecs import codecs
    from bench.instruments.progress import prefixed, split_progress

    codecs(), coder_library()  # a missing codec ends the command here
    if not tasks and not checkpoints:
        raise InputError("codecs: neither tasks nor checkpoints are given")
    opened = [open_checkpoint(path, latent_bits) for path in checkpoints]
    with telling_time_left() as progress:
        whole = partial(progress, "codecs")
        parts = split_progress(whole, [1] * (len(tasks) + len(checkpoints)))
        tables = of_tasks(tasks, parts[: len(tasks)])
        coded = [
            measure_codec(trained, codec, importance_samples, prefixed(part, trained.name))
            for (trained, codec), part in zip(opened, parts[len(tasks) :])
        ]
    folder = Path(results) / "codecs"
    table = write_codecs(folder / "codecs.csv", tables, coded)
    if coded:
        write_bits_back(folder, coded)
    shown = ["task", "codec", "layout", "headers", "bits_per_dim"]
    rows = [[*row[:-1], f"{float(row[-1]):.6f}"] for row in table[shown].to_numpy().tolist()]
    print_table("lossless codecs", shown, rows, texts=range(4))
    say(f"written: {folder}")
    return 0
