"""The files of configs/, by their names."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError

if TYPE_CHECKING:
    from bench.data.own_task import OwnTask
    from bench.data.tasks import Task

# Beside the package in a checkout, inside it in an installed wheel.
CONFIGS = next(
    path
    for path in (Path(__file__).parents[1] / "configs", Path(__file__).parents[2] / "configs")
    if path.is_dir()
)


def names(group: str) -> list[str]:
    """Return the names that ``configs/<group>/`` defines."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def resolve(group: str, name: str) -> Path:
    """Return the YAML file of a name under ``configs/<group>/``, or of a path to one.

    Raises:
        InputError: There is no such name or file.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONFIGS / group / f"{name}.yaml"
    # Its stem becomes a name in tables.
    is_path = name.endswith((".yaml", ".yml")) and path.stem.isprintable()
    if not re.fullmatch(r"[\w.-]+", name) and not is_path:
        raise InputError(f"{group}: '{name}' is not a name; known: {', '.join(names(group))}")
    try:
        is_there = path.is_file()
    except (OSError, ValueError):  # too long, or not a path
        is_there = False
    if not is_there:
        is_file_name = name.endswith((".yaml", ".yml"))
        problem = f"no such file '{name}'" if is_file_name else f"'{name}' is unknown"
        raise InputError(f"{group}: {problem}; known: {', '.join(names(group))}")
    return path


def with_path_beside(content: Any, file: Path) -> Any:
    """Return a section ``data`` of a file; a path in it starts from the file's folder."""
    if isinstance(content, dict) and isinstance(content.get("path"), str):
        return content | {"path": str(file.parent / content["path"])}
    return content


def named_task(name: str) -> "Task | OwnTask":
    """Return the task of a file under ``configs/data/``, or of a path to one.

    Raises:
        InputError: There is no such file, or it describes no task.
    """
    from bench.configuration.data_options import task_in

    return task_in(resolve("data", name), name)
