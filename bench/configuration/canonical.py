"""Plain data of what jsonargparse parsed, and one line of what it complains about."""

import re
from typing import Any

from bench.errors import InputError
from bench.records.key import bare_name


def plain_dict(value: Any) -> Any:
    """Return nested namespaces as plain data, without the paths of their files."""
    if isinstance(value, dict):
        kept = {k: plain_dict(v) for k, v in value.items() if k not in ("__path__", "config")}
        if isinstance(kept.get("class_path"), str):
            kept["class_path"] = bare_name(kept["class_path"])
        return kept
    if isinstance(value, (list, tuple)):
        return [plain_dict(part) for part in value]
    return value


def one_line(error: Exception) -> str:
    """Return the innermost of jsonargparse's nested messages, after the key that it concerns."""
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())
    keys = re.findall(r'[Kk]ey "([\w.]+)"', text)
    text = re.split(r"\.? Got value: Namespace\(", text)[0]
    text = re.split(r"expects a function or a callable class: |Parser key \"[\w.]+\": ?", text)[-1]
    path = re.search(r"Expected a dot import path string: ([^.\s]+)", text)
    if path:
        hint = "; --plugin gives parts of your own" if nested(keys).startswith("model.") else ""
        text = f"'{path.group(1)}' is unknown{hint}"
    text = text.replace("<class '", "").replace("'>", "").strip(" :")
    return f"{nested(keys)}: {text}" if keys else text


def nested(keys: list[str]) -> str:
    """Return the path to the innermost of nested keys, some of which repeat the outer keys."""
    path = ""
    for key in keys:
        is_whole = not path or f"{key}.".startswith(f"{path}.")
        path = key if is_whole else f"{path}.{key}"
    return path
