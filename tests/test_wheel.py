"""The wheel: built from the checkout, it works where there is none."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import bench
from tests.conftest import patience

ROOT = Path(bench.__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([*PIP, "wheel", *options, ROOT], check=True, timeout=patience(60))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(warm, wheel, tmp_path_factory):
    """Return a function that runs code in an empty folder, with the wheel's `bench` and no other."""
    target = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-index", "--target", target]
    subprocess.run([*PIP, "install", *options, wheel], check=True, timeout=patience(60))
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(*words: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(target)}
        done = warm.run(*words, cwd=elsewhere, env=environment, timeout=patience(60))
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("-c", "import bench; print(bench.__file__)").startswith(str(target))
    return run


def test_it_holds_every_file_of_the_package_and_the_configurations(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "bench", "configs"], cwd=ROOT, capture_output=True, text=True
    )
    files = [path for path in tracked.stdout.split() if (ROOT / path).exists()]
    wanted = {path if path.startswith("bench/") else f"bench/{path}" for path in files}
    if tracked.returncode != 0:  # an export without its history
        wanted = {"bench/py.typed", "bench/claims/page.html", "bench/configs/sweep/default.yaml"}
    assert wanted and wanted <= held
    assert not any(name.startswith(("tests/", "docs/")) for name in held)


def test_the_command_line_works_outside_the_checkout(installed):
    assert installed("-m", "bench", "--version").split()[1] == bench.__version__
    assert "sweep" in installed("-m", "bench", "--help")
    plan = installed("-m", "bench", "sweep", "default", "--dry_run", "true")
    assert "digits-binary" in plan and "25 of 25 runs to do" in plan


def test_page_templates_and_the_library_work_outside_the_checkout(installed):
    code = (
        "from importlib.resources import files\n"
        "from jinja2 import Environment, PackageLoader\n"
        "names = [p.name for p in files('bench').joinpath('claims').iterdir()"
        " if p.name.endswith('.html')]\n"
        "for name in names: Environment(loader=PackageLoader('bench', 'claims')).get_template(name)\n"
        "from bench import Task, load_task\n"
        "print(len(names), load_task(Task('digits')).task.name)"
    )
    count, task = installed("-c", code).split()
    assert int(count) >= 1 and task == "digits-17"
