"""A closed process: what hostile code tries in it fails, and where nothing is prevented it says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.errors import InputError
from bench.submissions import closed
from bench.submissions.sealed import Guarantees

ROOT = Path(bench.__file__).parents[1]
# What a hostile model would try. Each gives its name and whether it worked, but for the first two.
ATTACKS = """
import ctypes, json, os, socket, subprocess, sys, threading
from bench.submissions.sealed import seal

own, mine = sys.argv[1:]
found = seal([*filter(None, sys.path), sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/proc"], [own], mine)
library = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    if library.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


victim = mine + "/victim"
attacks = {
    "write": lambda: open(mine + "/new", "w"),
    "append": lambda: open(victim, "a"),
    "truncate": lambda: os.truncate(victim, 0),
    "unlink": lambda: os.unlink(victim),
    "rename": lambda: os.rename(victim, own + "/v"),
    "link": lambda: os.link(victim, own + "/v"),
    "symlink": lambda: os.symlink("/etc", mine + "/l"),
    "chmod": lambda: os.chmod(victim, 0o777),
    "utime": lambda: os.utime(victim),
    "read": lambda: open(victim).read(),
    "list": lambda: os.listdir(mine),
    "tcp": lambda: socket.create_connection(("127.0.0.1", 9), 1),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "fork": os.fork,
    "spawn": lambda: subprocess.run(["true"]),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "signal": lambda: os.kill(os.getppid(), 0),
    "environment": lambda: open(f"/proc/{os.getppid()}/environ", "rb").read(1),
    "io_uring": lambda: call(425, 1, None),
    "old interface": lambda: call(0x40000000 + 41, 2, 1, 0),
    "memory": lambda: bytearray(2**45),
}
worked = []
for name, attack in attacks.items():
    try:
        attack()
        worked.append(name)
    except (OSError, MemoryError):
        pass
open(own + "/allowed", "w").write("x")
threading.Thread(target=lambda: worked.append("thread")).start()
print(json.dumps([vars(found), worked]))
"""


def test_hostile_code_does_nothing_in_a_closed_process(tmp_path):
    own, mine = tmp_path / "own", tmp_path / "mine"
    for folder in (own, mine):
        folder.mkdir()
    for name in ("victim", "secret"):
        (mine / name).write_text("mine")
    words = [sys.executable, "-c", ATTACKS, str(own), str(mine)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    found, worked = json.loads(done.stdout)
    if not all(found.values()):
        pytest.skip(f"this system does not prevent all of it: {Guarantees(**found).in_words()}")
    assert worked == ["thread"]
    assert (mine / "victim").read_text() == "mine" and sorted(p.name for p in mine.iterdir()) == [
        "secret", "victim",
    ]  # fmt: skip


def test_nothing_is_run_where_nothing_can_be_prevented(tmp_path, monkeypatch):
    """The process finds out itself; here a stand-in for it says that network is not prevented."""
    nothing = Guarantees(False, True, True, True, True)
    stand_in = (
        "import json, os, sys; work = json.load(sys.stdin);"
        f"os.write(int(sys.argv[1]), json.dumps({vars(nothing)!r}).encode());"
        "sys.exit(3 if work['must_be_closed'] else 0)"
    )
    popen = subprocess.Popen
    monkeypatch.setattr(
        closed.subprocess,
        "Popen",
        lambda words, **more: popen([words[0], "-c", stand_in, *words[3:]], **more),
    )
    with pytest.raises(
        InputError, match="NOT prevented: network; nothing of the submission was run"
    ):
        closed.done_closed([], tmp_path, True)
    with pytest.raises(InputError, match="gave no records and ended with 0"):
        closed.done_closed([], tmp_path, False)


def test_the_user_s_variables_are_not_passed_on(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET_KEY", "s3cret")
    seen = {}
    popen = subprocess.Popen

    def start(words, **more):
        seen.update(more["env"])
        return popen([words[0], "-c", ""], **more)

    monkeypatch.setattr(closed.subprocess, "Popen", start)
    with pytest.raises(InputError):
        closed.done_closed([], tmp_path, True)
    assert "PATH" in seen and "SECRET_KEY" not in seen
    assert str(Path.home()) not in closed.readable(tmp_path)
