"""The documentation says what is so: its code runs, its links lead somewhere, it builds."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.claims.catalogue import CLAIMS
from tests.conftest import patience

ROOT = Path(bench.__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
NOTEBOOK = DOCS / "evaluate-your-model.ipynb"
# A block of one of these languages is run; with a title it is a file, and others are only shown.
BLOCK = re.compile(
    r'^```(python|bash|yaml)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE
)


def blocks_of(page: Path) -> list[tuple[str, str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def is_run(block: tuple[str, str, str]) -> bool:
    language, title, _ = block
    return language != "yaml" or bool(title)


WITH_CODE = [page for page in PAGES if page.name not in ("engine.md", "gpu.md", "perf.md")]
WITH_CODE = [page for page in WITH_CODE if any(is_run(block) for block in blocks_of(page))]


@pytest.fixture
def checkout(tmp_path) -> Path:
    for folder in ("bench", "configs"):  # and __pycache__, so that nothing is compiled again
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


# What a page's commands are here: done by the warm process, which need not import the large libraries.
SCRIPT = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
COMMANDS = """bench() {{ {call} -m bench "$@"; }}
python() {{ {call} -c "{script}" "$@"; }}"""


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, checkout, warm):
    """In a copy of the checkout: its files are written, its Python and its commands run in order."""
    blocks = blocks_of(page)
    for _, title, text in blocks:
        if title:
            assert not (checkout / title).exists(), f"{title} is there already"
            (checkout / title).write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    call = shlex.join([sys.executable, str(ROOT / "tests" / "warm.py"), warm.address])
    for language, text in programs_of(blocks):
        where = {"cwd": checkout, "env": environment}
        if language == "python":
            done = warm.run("-c", text, timeout=patience(120), **where)
        else:
            words = ["bash", "-euc", f"{COMMANDS.format(call=call, script=SCRIPT)}\n{text}"]
            limit = patience(120)
            done = subprocess.run(words, capture_output=True, text=True, timeout=limit, **where)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def programs_of(blocks: list[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Return what is run of a page; Python follows on Python, as in one session of a reader's."""
    programs: list[tuple[str, str]] = []
    for language, title, text in blocks:
        if title or language == "yaml":
            continue
        if language == "python" and programs and programs[-1][0] == "python":
            text = programs.pop()[1] + text
        programs.append((language, text))
    return programs


def test_what_is_added_takes_less_than_thirty_lines_of_code():
    for page in [*DOCS.glob("add-*.md"), DOCS / "score.md", DOCS / "submit.md"]:
        for _, title, text in blocks_of(page):
            if title:
                lines = [line for line in text.splitlines() if line.strip()]
                code = [line for line in lines if not line.startswith(("from ", "import ", '"""'))]
                assert len(code) < 30, f"{page.name}: {title} has {len(code)} lines"


def test_the_lecture_page_leads_to_every_claim():
    linked = re.findall(r"claims\.html#claim-(\d+)", (DOCS / "lecture.md").read_text())
    assert {int(number) for number in linked} == set(CLAIMS)


# Runs cells as Jupyter does, and tells of each whether it printed and how many things it displayed.
CELLS = """
import json, sys
import matplotlib
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
matplotlib.use("module://matplotlib_inline.backend_inline")
shell, shown = InteractiveShell.instance(), []
for cell in json.loads(sys.stdin.read()):
    with capture_output() as seen:
        shell.run_cell(cell).raise_error()
    shown.append(bool(seen.stdout) + len(seen.outputs))
print(json.dumps(shown))
"""


def test_the_notebook_runs_and_holds_its_outputs(warm, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("IPython")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    assert sum(bool(cell.outputs) for cell in cells) >= 3
    given = json.dumps([cell.source for cell in cells])
    where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    done = warm.run("-c", CELLS, given=given, timeout=patience(120), **where)
    assert done.returncode == 0, done.stdout + done.stderr
    # Digits may differ between machines; what a cell shows may not be missing.
    shown = json.loads(done.stdout.splitlines()[-1])
    assert [count > 0 for count in shown] == [len(cell.outputs) > 0 for cell in cells]


def test_the_readmes_python_runs(warm, tmp_path):
    blocks = [text for language, _, text in blocks_of(ROOT / "README.md") if language == "python"]
    assert any("Trainer(" in text for text in blocks)
    for text in blocks:
        short = text.replace("max_epochs=20", "max_epochs=1")
        where = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
        done = warm.run("-c", short, timeout=patience(120), **where)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_the_picture_of_the_house_shows_its_rooms():
    from tests.test_structure import ROOMS

    shown = re.findall(r'class="n">(\w+)</text>', (DOCS / "house.svg").read_text())
    assert shown == [room for room in reversed(ROOMS) if room != "__init__"]


FENCE = re.compile(r"^```[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The command and its options; what follows a # is a remark.
SHOWN = re.compile(r"^(?:\.venv/bin/)?(bench|make) ((?:[^#\n]|\\\n)*)", re.MULTILINE)


def shown_commands() -> set[tuple[str, str]]:
    """Return (program, its words) for each command that a block of the README or a page shows."""
    pages = [ROOT / "README.md", *PAGES]
    blocks = [text for page in pages for text in FENCE.findall(page.read_text(encoding="utf-8"))]
    found = {pair for text in blocks for pair in SHOWN.findall(text)}
    assert len(found) > 40
    return found


def test_commands_that_pages_show_have_the_options_that_they_name(warm):
    options: dict[str, set[str]] = {}
    for _, text in sorted(pair for pair in shown_commands() if pair[0] == "bench"):
        for part in text.replace("\\\n", " ").split(" ; bench "):
            name, *words = part.split()
            name += f" {words.pop(0)}" if name == "leaderboard" else ""
            words = [word.partition("=")[0] for word in words if word.startswith("--")]
            if name not in options:
                done = warm.run("-m", "bench", *name.split(), "--help", timeout=patience(60))
                assert done.returncode == 0, name
                # A command's word, such as [NAME], is also taken as an option.
                words_of_usage = re.findall(r"\b[A-Z_]{3,}\b", done.stdout.partition("\n")[0])
                options[name] = {f"--{word.lower()}" for word in words_of_usage}
                options[name] |= set(re.findall(r"--[\w.-]+", done.stdout))
            known = {option.replace("_", "-") for option in options[name]} | {"--help"}
            # Options of parts, such as --model.prior.components, depend on the part that is named.
            unknown = {w for w in words if "." not in w and w.replace("_", "-") not in known}
            assert not unknown, f"bench {part}: {unknown}"


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_targets_that_pages_show_are_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for program, text in shown_commands():
        assert program != "make" or text.split()[0] in targets, text
