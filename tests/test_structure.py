"""The direction of imports, and what must not be imported at all."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bench

ROOT = Path(bench.__file__).parent
# Each part may import those named, itself, bench.errors and bench.printing.
MAY_IMPORT = {
    "noise": set(),
    "nets": set(),
    "convolutional": {"nets"},
    "bolts": {"nets"},
    "config": {"data"},
    "differences": {"config"},
    "class_paths": {"yaml_text"},
    "parsing": {
        "class_paths",
        "config",
        "data",
        "densities",
        "files",
        "models",
        "nets",
        "noise",
        "record_schema",
        "yaml_text",
    },
    "data": {"files", "machine", "noise"},
    "densities": {"convolutional", "nets", "noise"},
    "models": {"bolts", "densities", "nets", "noise", "config", "estimators"},
    "estimators": {"densities", "noise", "data", "config", "models"},
    "checkpoint_limits": set(),
    "checkpoints": {"checkpoint_limits", "files"},
    "devices": set(),
    "machine": set(),
    "files": set(),
    "yaml_text": {"files"},
    "memory": set(),
    "run_log": {"files"},
    "fit": {"checkpoints", "config", "data", "models", "nets", "record", "rendezvous"},
    "ranks": {"config", "data", "devices", "fit", "memory", "models", "parsing", "rendezvous"},
    "rendezvous": set(),
    "pictures": {"data", "models", "noise"},
    "run": {
        "checkpoints",
        "config",
        "devices",
        "fit",
        "launchers",
        "parsing",
        "pictures",
        "data",
        "estimators",
        "models",
        "noise",
        "ranks",
        "record",
        "run_log",
        "tracking",
    },
    "launchers": set(),
    "wandb_settings": {"files"},
    "tracking": {"config", "launchers", "report", "wandb_settings"},
    "sweep": {
        "checkpoints",
        "config",
        "differences",
        "files",
        "parsing",
        "data",
        "machine",
        "memory",
        "models",
        "record",
        "record_schema",
        "report",
        "run",
        "run_log",
        "tracking",
        "wandb_settings",
    },
    "checkout": set(),
    "record": {"checkout", "files", "record_schema"},
    "record_schema": set(),
    "record_consistency": set(),
    "report": {
        "checkout",
        "differences",
        "files",
        "machine",
        "record",
        "record_consistency",
        "record_schema",
    },
    "perf": {
        "bolts",
        "noise",
        "config",
        "data",
        "densities",
        "estimators",
        "fit",
        "machine",
        "memory",
        "models",
        "parsing",
        "record",
        "report",
        "run",
        "sweep",
    },
    "calibrate": {"instruments", "record"},
    "instruments": {"densities", "estimators", "models", "nets", "noise"},
    "trained": {"checkpoints", "config", "data", "models", "parsing"},
    "claims": {
        "checkpoints",
        "config",
        "data",
        "densities",
        "devices",
        "differences",
        "estimators",
        "files",
        "fit",
        "models",
        "noise",
        "parsing",
        "pictures",
        "record",
        "report",
        "run",
        "sweep",
        "trained",
    },
    "dashboard": {"files", "launchers", "record", "report", "tracking", "wandb_settings"},
    "commands": {
        "checkpoints",
        "perf",
        "calibrate",
        "claims",
        "codecs",
        "config",
        "dashboard",
        "parsing",
        "data",
        "devices",
        "record",
        "report",
        "run",
        "sweep",
        "tracking",
        "trained",
        "verify",
        "wandb_settings",
        "yaml_text",
    },
    "codecs": {"data", "record", "report"},
    "verdicts": {"report"},
    "verify": {
        "config",
        "data",
        "parsing",
        "record",
        "record_consistency",
        "report",
        "run",
        "sweep",
        "trained",
        "verdicts",
    },
    "__main__": {"commands", "launchers", "memory", "unread"},
    "unread": set(),
    "errors": set(),
    "printing": set(),
    "library": {"config", "data", "densities", "estimators", "models", "noise"},
    # Each when it is first asked for.
    "__init__": {
        "config",
        "data",
        "densities",
        "estimators",
        "library",
        "models",
        "noise",
        "trained",
    },
}
# Finer than folders: what these may import of the parts above.
ONLY = {
    ("estimators", "models"): {"bench.models.terms"},
    ("models", "estimators"): {"bench.estimators.estimate"},
}


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name for name in names if name and name.split(".")[0] == "bench" and name != "bench"}


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imports_of(path):
        part = name.split(".")[1]
        if part in (own, "errors", "printing"):
            continue
        assert part in MAY_IMPORT[own], f"{path.name} imports {name}"
        allowed = ONLY.get((own, part))
        assert allowed is None or name in allowed, f"{path.name} imports {name}"


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
    """So that every text of others passes it; the last two print for a program of ours."""
    printing = set()
    for path in ROOT.rglob("*.py"):
        calls = [n.func for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        if any(isinstance(called, ast.Name) and called.id == "print" for called in calls):
            printing.add(str(path.relative_to(ROOT)))
    assert printing == {"__main__.py", "printing.py", "ranks.py", "perf/peer_work.py"}


def test_files_stay_small():
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path
