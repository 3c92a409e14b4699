"""The direction of imports, and what must not be imported at all."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import bench

ROOT = Path(bench.__file__).parent
# The rooms of the house: each imports from those above it alone.
ROOMS = (
    "errors",
    "version",
    "noise",
    "settings",
    "system",
    "networks",
    "data",
    "densities",
    "models",
    "estimators",
    "records",
    "report",
    "configuration",
    "tracking",
    "training",
    "library",
    "adapters",
    "runs",
    "inspection",
    "sweep",
    "scoring",
    "submissions",
    "claims",
    "instruments",
    "commands",
    "__init__",
    "__main__",
)
LOOSE = {"errors", "noise", "version", "settings", "__init__", "__main__"}


@cache
def imports_of(path: Path) -> set[str]:
    """Return the modules that a file imports, anywhere in it, by a statement or by import_module."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "bench":
            names |= {f"bench.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            names.add(node.module)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            names |= {text for text in texts if isinstance(text, str)}
    return names


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    own = ROOMS.index(room_of(path))
    for name in imports_of(path):
        if not name.startswith("bench."):
            continue
        room = name.split(".")[1]
        assert ROOMS.index(room) <= own, f"{path.relative_to(ROOT)} imports {name}"


def test_nothing_lies_loose():
    assert {path.stem for path in ROOT.glob("*.py")} == LOOSE
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms | LOOSE == set(ROOMS)


@pytest.mark.parametrize(
    "package, home",
    [("pl_bolts", "networks/bolts.py"), ("wandb", "tracking/"), ("wandb_workspaces", "tracking/")],
)
def test_bolts_and_wandb_are_imported_in_one_place(package, home):
    """lightning-bolts behind its adapter, and W&B behind the room of tracking."""
    homes = set()
    for path in ROOT.rglob("*.py"):
        if any(name.split(".")[0] == package for name in imports_of(path)):
            homes.add(str(path.relative_to(ROOT)))
    assert homes and all(found.startswith(home) for found in homes)


def test_reports_need_no_torch():
    code = (
        "import sys, bench.report.report, bench.report.tables, bench.report.plots,"
        "bench.claims.outcome, bench.claims.figures, bench.claims.page;"
        "early = [m for m in ('altair', 'vl_convert') if m in sys.modules];"
        "import bench.report.page.write;"
        "heavy = ('torch', 'ray', 'pytorch_lightning', 'wandb');"
        "print(early + [m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from bench.__main__ import main; main(['--help']);"
        "heavy = ('torch', 'ray', 'pandas', 'jsonargparse', 'numpy');"
        "sys.exit(any(m in sys.modules for m in heavy))"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_one_place_prints():
    """So that every text of others passes it; runs/ranks.py and work of peers print for a program of ours."""
    printing = set()
    for path in ROOT.rglob("*.py"):
        calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        if any(isinstance(called, ast.Name) and called.id == "print" for called in calls):
            printing.add(str(path.relative_to(ROOT)))
    assert printing == {
        "__main__.py",
        "instruments/peers/outside/work.py",
        "instruments/perf/peer_work.py",
        "runs/ranks.py",
        "system/printing.py",
    }


def test_files_stay_small():
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path


def functions_of(path: Path) -> list[tuple[ast.FunctionDef, str]]:
    """Return the functions of a file, each with the two lines before it."""
    text = path.read_text()
    lines = text.splitlines()
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return [(node, "\n".join(lines[node.lineno - 3 : node.lineno - 1])) for node in found]


def lines_of_code(function: ast.FunctionDef) -> int:
    """Return the lines of a function without its docstring."""
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    prose = docstring.end_lineno - docstring.lineno + 1 if docstring else 0
    return function.end_lineno - function.lineno + 1 - prose


def test_functions_stay_short_and_many_parameters_have_a_reason():
    for path in ROOT.rglob("*.py"):
        for function, before in functions_of(path):
            where = f"{path.relative_to(ROOT)}: {function.name}"
            assert lines_of_code(function) <= 50, where
            own = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            parameters = [part.arg for part in own if part.arg not in ("self", "cls")]
            assert len(parameters) <= 6 or "parameter" in before, f"{where}: say why so many"
