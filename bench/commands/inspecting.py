"""The command ``bench inspect``."""

from pathlib import Path

from bench.commands.call import call
from bench.errors import InputError
from bench.system.printing import print_table, say


def inspect(arguments: list[str]) -> int:
    return call(run_inspect, "inspect", arguments)


def run_inspect(
    checkpoint: str,
    images: int = 200,
    out: str | None = None,
    beside: list[str] = [],
    plugin: list[str] = [],
    data_path: str = "",
) -> int:
    """Show all that can be known of one trained VAE on one page.

    Bounds of log p(y) from both sides, the inference gap taken apart, the rate–distortion curve, the
    worst and best images, a map of the latent space and traversals.

    Args:
        checkpoint: A best.ckpt or last.ckpt that a run wrote, or a released one.
        images: Number of test images for bounds and gaps, up to the whole split; 200 of MNIST take five to
            seven minutes on one core.
        out: Folder to write inspection.html, inspection.csv, rate-distortion.csv and figures/ to;
            results/inspected/KEY if not given.
        beside: Folder that holds runs/KEY/record.json, or a single run's. The rate and the distortion of
            its trained VAEs on the same task are shown beside the curve. May be given several times.
        plugin: Python file, entry point or module with parts that the model was made of. May be given
            several times.
        data_path: Images of your own that the model was trained on, as for `bench train`.
    """
    from bench.commands.outside import take
    from bench.commands.time_left import telling_time_left
    from bench.inspection.inspected import inspect_model
    from bench.inspection.page import write_inspection
    from bench.inspection.sections import BOUNDS, GAPS, OF_NUMBERS, rows_of
    from bench.inspection.trained_points import trained_points
    from bench.records.key import key_of
    from bench.runs.trained import load_trained
    from bench.submissions.submit import found_records
    from bench.system.files import refuse_unwritable

    take(plugin, data_path)
    trained = load_trained(Path(checkpoint))
    if not 1 < images <= len(trained.data.test):
        raise InputError(
            f"images: {images} is not from 2 to the {len(trained.data.test)} of the test split"
        )
    others = trained_points(found_records(beside, ""), trained.data) if beside else []
    folder = Path(out) if out else Path("results/inspected") / key_of(trained.config)
    refuse_unwritable([folder / "inspection.html"], "inspect")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"inspect: {folder} cannot be written: {error.strerror}") from None
    with telling_time_left() as progress:
        found = inspect_model(trained, images, lambda share, text: progress("inspect", share, text))
    words = [
        f"bench inspect {checkpoint} --images {images}",
        *(f"--beside {one}" for one in beside),
    ]
    write_inspection(folder, trained, found, others, " ".join(words))
    rows = rows_of(found, BOUNDS | GAPS)
    title = f"{trained.name} on {trained.data.task.name}"
    print_table(title, ["", *OF_NUMBERS[1:]], rows, texts={0})
    say("± two Monte-Carlo standard errors, for these images")
    say(f"written: {folder}/inspection.html, inspection.csv, rate-distortion.csv, figures/")
    return 0
