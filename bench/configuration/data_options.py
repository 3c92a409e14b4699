"""The options --data.…: a data set of the benchmark, or images of the user's own."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from bench.configuration.files import names, with_path_beside
from bench.data.levels import Binarization
from bench.data.own_task import OwnTask, check_levels, give_images
from bench.data.pixels import MOST_LEVELS, checked_levels
from bench.data.tasks import SHORT_NAMES, Dataset, Task, task_of
from bench.errors import InputError
from bench.system.printing import say
from bench.system.yaml_text import read_yaml

# Options of images of the user's own alone.
OWN = ("path", "name", "levels", "pixels_sha256")
SHARED = ("binarization", "leave_out_every")
TEXTS = ("path", "name", "pixels_sha256")


@dataclass(frozen=True)
class DataOptions:
    """The images that are modelled: a ``dataset``, or images of your own, with a ``path`` and a ``name``.

    Args:
        dataset: The dataset of the images, if they are not your own.
        binarization: none keeps the dataset's own levels (17 for digits, else 256). The others
            give binary images: static by one Bernoulli draw per pixel, the same in every run;
            dynamic by a new draw of the training images in every epoch, with validation and test
            images drawn once; threshold by y > half of the largest value. mnist_larochelle is
            MNIST in the published binary draw of Larochelle & Murray 2011 (The neural
            autoregressive distribution estimator), and takes none.
        leave_out_every: Remove every k-th level, except the darkest and the brightest, from the
            training and validation images: such a pixel moves one level up or down, with equal
            probability. Test images keep all levels. 0 removes none.
        path: Images of your own: a folder of PNG or JPEG files, or of subfolders train, valid and test;
            an .npy file; an .npz file of one array, or of train, valid and test; or an IDX file.
        name: Their name in tables: letters, digits and hyphens.
        levels: Number of values that a pixel takes in them; 256 if 0.
        pixels_sha256: Hash that their pixels must have, as a record holds it.
    """

    dataset: Dataset | None = None
    binarization: Binarization = "none"
    leave_out_every: int = 0
    path: str = ""
    name: str = ""
    levels: int = 0
    pixels_sha256: str = ""


def canonical_data(given: dict[str, Any]) -> dict[str, Any]:
    """Return the section ``data`` of a configuration: what identifies the images, without their place.

    Args:
        given: The values of all of ``DataOptions``.

    Raises:
        InputError: They contradict each other, or the images cannot be read.
    """
    shared = {name: given[name] for name in SHARED}
    if not any(given[name] for name in OWN):
        if given["dataset"] is None:
            raise InputError(
                f"data: no images; give --data NAME, one of {', '.join(names('data'))}, or --data.path and "
                "--data.name"
            )
        data = {"dataset": given["dataset"], **shared}
        Task(**data)
        return data
    if given["dataset"] is not None:
        own = next(name for name in OWN if given[name])
        raise InputError(
            f"data.{own}: is for images of your own, and {given['dataset']} is a dataset of the benchmark; "
            "leave one of the two out"
        )
    if not given["name"]:
        raise InputError("data.name: give your images a name, of letters, digits and hyphens")
    levels = checked_levels(given["levels"] or MOST_LEVELS, "data.levels")
    own_data = {
        "name": given["name"],
        "levels": levels,
        "pixels_sha256": found_pixels(given, levels) if given["path"] else given["pixels_sha256"],
        **shared,
    }
    if not own_data["pixels_sha256"]:
        raise InputError("data.path: give the place of your images")
    refuse_taken(task_of({"data": own_data}))
    return own_data


def found_pixels(given: dict[str, Any], levels: int) -> str:
    """Return the hash of the images at a path, and show what there is to know of them."""
    images = give_images(given["path"])
    check_levels(images, levels)
    if given["pixels_sha256"] not in ("", images.sha256):
        raise InputError(
            f"data: {given['path']}: its pixels have SHA-256 {images.sha256}, and "
            f"{given['pixels_sha256']} is needed"
        )
    tell(images.notes)
    return images.sha256


TOLD: set[str] = set()


def tell(notes: tuple[str, ...]) -> None:
    """Print lines for the user, each once: every run of a sweep names the same images."""
    for note in notes:
        if note not in TOLD:
            say(note)
    TOLD.update(notes)


def refuse_taken(task: Task | OwnTask) -> None:
    """Raise InputError if images of the user's have the name of a dataset or a task of ours."""
    own, known = task.dataset, {*get_args(Dataset), *SHORT_NAMES.values(), *names("data")}
    if own in known or task.name in known:
        raise InputError(
            f"data.name: '{own}' is the name of images of the benchmark, and those are not yours; take "
            "another"
        )


def section_of(options: Any, where: str) -> dict[str, Any]:
    """Return the section ``data`` of some of the options. Raises InputError if they are others."""
    known = {field.name: field.default for field in fields(DataOptions)}
    if not isinstance(options, dict):
        raise InputError(f"{where}: is not a mapping of options to values")
    if wrong := next((name for name in options if name not in known), None):
        raise InputError(f"{where}: '{wrong}' is not an option; options: {', '.join(known)}")
    for name, value in options.items():
        if name in TEXTS and not isinstance(value, str):
            raise InputError(f"{where}: {name}: {value!r:.100} is not a text")
    return canonical_data(known | options)


def options_of_task(task: Task | OwnTask) -> dict[str, Any]:
    """Return the section ``data`` of a task."""
    shared = {"binarization": task.binarization, "leave_out_every": task.leave_out_every}
    if isinstance(task, Task):
        return {"dataset": task.dataset, **shared}
    own = {"levels": task.native_levels, "pixels_sha256": task.pixels_sha256}
    return {"name": task.dataset, **own, **shared}


def task_in(path: Path, name: str) -> Task | OwnTask:
    """Return the task of a YAML file of --data. Raises InputError if it describes none."""
    content = with_path_beside(read_yaml(path), path)
    return task_of({"data": section_of(content, f"data: '{name}' describes no task")})
