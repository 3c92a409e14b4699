"""Which code decides numbers, and its hash: what a checkpoint, a record and a claim were made by."""

import ast
import hashlib
import io
import tokenize
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

from bench.system.checkout import REPOSITORY, python_files_at

Part = Literal["training", "numbers", "claims"]
# Files and folders of the package. Each part depends on those before it too: a checkpoint on what
# trains, a record's numbers also on what evaluates, a claim also on what measures it. What shows
# numbers, and what hands work to processes, decides none.
PARTS: dict[Part, tuple[str, ...]] = {
    "training": (
        "noise.py",
        "settings.py",
        "system/determinism.py",
        "networks",
        "data",
        "densities",
        "models",
        "estimators/estimate.py",
        "configuration",
        "training",
        "runs/plan.py",
        "runs/ranks.py",
    ),
    "numbers": ("estimators", "runs/divergence.py", "runs/run.py"),
    "claims": (
        "claims/across_runs.py",
        "claims/closed_form.py",
        "claims/curves.py",
        "claims/evidence.py",
        "claims/flow.py",
        "claims/items.py",
        "claims/levels.py",
        "claims/measure.py",
        "claims/measurements.py",
        "claims/optimal_prior.py",
        "claims/over_seeds.py",
        "claims/posterior_gaps.py",
        "claims/richer_posteriors.py",
        "claims/prior_gain.py",
        "claims/rows.py",
        "inspection/gap_samples.py",
        "inspection/gaps.py",
        "inspection/joint_density.py",
        "inspection/local_posteriors.py",
    ),
}
OWN_PATH = "bench/records/code.py"


def code_hash(files: Mapping[str, bytes], part: Part) -> str:
    """Return the SHA-256 of a part's code, without docstrings, comments and blank lines.

    Args:
        files: {path from the repository's root: content} of the package's Python files.
        part: The part; the list of what belongs to it is that of the files themselves.
    """
    digest = hashlib.sha256()
    parts = parts_of(files)
    known = list(parts)
    folders = [name for own in known[: known.index(part) + 1] for name in parts[own]]
    for path in sorted(files):
        inside = path.removeprefix("bench/")
        if any(inside == name or inside.startswith(f"{name}/") for name in folders):
            digest.update(path.encode() + b"\0" + without_prose(files[path]))
    return digest.hexdigest()


def parts_of(files: Mapping[str, bytes]) -> dict[Part, tuple[str, ...]]:
    """Return ``PARTS`` as the code in ``files`` has it, which may be of another time than this."""
    for node in ast.parse(files.get(OWN_PATH, b"")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "PARTS" and node.value:
            parts: dict[Part, tuple[str, ...]] = ast.literal_eval(node.value)
            return parts
    return PARTS


def source_hash(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of code, without docstrings, comments and blank lines.

    Args:
        files: {path inside its package: content}; of a single file {"": content}.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.encode() + b"\0" * bool(path))
        try:
            digest.update(without_prose(files[path]))
        except (SyntaxError, ValueError):  # a template, or of another version of Python
            digest.update(files[path])
    return digest.hexdigest()


@lru_cache
def without_prose(source: bytes) -> bytes:
    """Return Python source without docstrings, comments and blank lines."""
    lines = source.splitlines(keepends=True)
    cuts = [*docstrings(source), *comments(source, lines)]
    for (first, start), (last, end) in sorted(cuts, reverse=True):
        lines[first] = lines[first][:start] + lines[last][end:]
        del lines[first + 1 : last + 1]
    return b"\n".join(line.rstrip() for line in lines if line.strip())


Place = tuple[int, int]  # line and byte, counted from 0


def docstrings(source: bytes) -> list[tuple[Place, Place]]:
    """Return where each docstring starts and ends."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    end = (first.end_lineno or first.lineno) - 1, first.end_col_offset or 0
                    found.append(((first.lineno - 1, first.col_offset), end))
    return found


def comments(source: bytes, lines: list[bytes]) -> list[tuple[Place, Place]]:
    """Return where each comment starts and ends."""
    found = []
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start[0] - 1, token.start[1]
            start = len(lines[line].decode()[:column].encode())
            found.append(((line, start), (line, start + len(token.string.encode()))))
    return found


def whole_code_hash(files: Mapping[str, bytes]) -> str:
    """Return what records held before parts were told apart: the hash of all code and prose."""
    digest = hashlib.sha256()
    for path in sorted(map(Path, files)):
        digest.update(path.name.encode() + b"\0" + files[str(path)])
    return digest.hexdigest()


@lru_cache(maxsize=1)
def running_code(package: Path = REPOSITORY / "bench") -> dict[str, bytes]:
    """Return the package's Python files as ``code_hash`` takes them.

    Read once a process: what a process runs is what it imported, whatever the tree becomes.
    """
    paths = sorted(package.rglob("*.py"))
    return {str(path.relative_to(package.parent)): path.read_bytes() for path in paths}


@lru_cache(maxsize=len(PARTS))
def running_code_hash(part: Part) -> str:
    """Return the hash of the running code's part."""
    return code_hash(running_code(), part)


def hashes_at(commit: str, repository: Path = REPOSITORY) -> set[str]:
    """Return the hashes that a record of a commit's code may hold; none of an unknown commit."""
    files = python_files_at(commit, repository)
    return {code_hash(files, "numbers"), whole_code_hash(files)} if files else set()
