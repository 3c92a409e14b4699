"""The hash of code that decides numbers: what changes it, and what does not."""

from pathlib import Path

import pytest

from bench.records.code import PARTS, code_hash, running_code, without_prose
from tests.test_structure import ROOT, imports_of

PROSE = '''"""Module."""
import os  # a comment with 'quotes' and é


# Another.
class A:
    """Class.

    Lines.
    """

    x = "a # b"  # ü

    def f(self):
        "one line"
        return """# no comment

        """ if self else f"{self} # {'#'}"


def only():
    """Nothing else."""
'''
CODE = '''import os
class A:
    x = "a # b"
    def f(self):
        return """# no comment
        """ if self else f"{self} # {'#'}"
def only():'''


def parts_that_differ(path, old, new):
    """Return the parts whose hash changes with a replacement in a file of the package."""
    content = running_code()[path].decode()
    assert content.count(old) == 1, path
    files = running_code() | {path: content.replace(old, new).encode()}
    return {part for part in PARTS if code_hash(files, part) != code_hash(running_code(), part)}


def test_prose_is_cut_and_nothing_else():
    assert without_prose(PROSE.encode()).decode() == CODE


@pytest.mark.parametrize(
    "path, old, new, parts",
    [
        ("densities/decoders.py", "logits - outputs.logsumexp(-2)", "logits", "tnc"),
        ("training/batches.py", "LARGEST_WORD = 2**15 - 1", "LARGEST_WORD = 2**15", "tnc"),
        ("noise.py", "EVALUATION_BLOCK = 100", "EVALUATION_BLOCK = 101", "tnc"),
        ("system/determinism.py", "highest", "high", "tnc"),
        ("estimators/surgery.py", "ACTIVE_VARIANCE = 0.01", "ACTIVE_VARIANCE = 0.1", "nc"),
        ("claims/measure.py", "import torch\n", "import torch\n\nX = 1\n", "c"),
        ("report/style.py", 'GREY = "#8c8c8c"', 'GREY = "#000000"', ""),
        ("sweep/progress.py", "PLAIN_LINE_SECONDS = 10.0", "PLAIN_LINE_SECONDS = 5.0", ""),
        ("commands/time_left.py", "import time\n", "import time\n\nX = 1\n", ""),
        ("densities/decoders.py", "\n\n\nclass Categorical", "\n\n\n# Why.\nclass Categorical", ""),
        ("densities/decoders.py", "a free probability for each", "a probability for each", ""),
    ],
)
def test_each_part_depends_on_what_decides_it(path, old, new, parts):
    """A likelihood restarts everything, an estimator no training, a colour or a docstring nothing."""
    known = {"t": "training", "n": "numbers", "c": "claims"}
    assert parts_that_differ(f"bench/{path}", old, new) == {known[letter] for letter in parts}


def test_code_that_moves_to_another_file_is_other_code():
    files = {"bench/noise.py": b"x = 1\n", "bench/settings.py": b"y = 2\n"}
    swapped = dict(zip(files, reversed(files.values())))
    renamed = {"bench/noise.py": b"x = 1\n", "bench/system/determinism.py": b"y = 2\n"}
    assert len({code_hash(each, "training") for each in (files, swapped, renamed)}) == 3


# What is imported on the way to a number and decides none: reading, writing and checking of files,
# what the user is told, W&B, pictures, and what a training's test and prediction log.
DECIDES_NOTHING = (
    "errors",
    "version",
    "system",
    "records",
    "tracking",
    "runs.log",
    "runs.pictures",
)
DECIDES_NOTHING += ("runs.trained",)
NOT_TRAINING = ("estimators",)


@pytest.mark.parametrize(
    "part, start, others",
    [
        ("training", "training.fit", NOT_TRAINING),
        ("numbers", "runs.run", ()),
        ("claims", "claims.measure", ()),
        ("claims", "claims.closed_form", ()),
    ],
)
def test_whatever_a_part_imports_belongs_to_it(part, start, others):
    names = list(PARTS)
    own = [name for p in names[: names.index(part) + 1] for name in PARTS[p]]
    own = [name.removesuffix(".py").replace("/", ".") for name in own]
    for module in imported_by(start):
        assert is_in(module, (*own, *DECIDES_NOTHING, *others)), f"{module} is in no part"


def is_in(module, names):
    return any(module == name or module.startswith(f"{name}.") for name in names)


def imported_by(start):
    """Return the modules of the package that one imports, in however many steps."""
    found, left = set(), [start]
    while left:
        module = left.pop()
        path = ROOT / Path(*module.split(".")).with_suffix(".py")
        if not path.is_file():
            path = ROOT / Path(*module.split(".")) / "__init__.py"
        if module not in found and path.is_file():
            found.add(module)
            names = {name for name in imports_of(path) if name.startswith("bench.")}
            left += [name.removeprefix("bench.") for name in names]
    return found


def test_every_path_of_a_part_is_there():
    for names in PARTS.values():
        assert all((ROOT / name).exists() for name in names)
