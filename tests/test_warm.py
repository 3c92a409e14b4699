"""What is forked from the warm process is what Python would have started."""

import os
import signal

import pytest

from tests.conftest import patience

CODE = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ["SAID"], sys.stdin.read(), sys.path[:2])
print([name for name in sys.modules if name.split(".")[0] in ("bench", "ray", "wandb")])
print(os.getsid(0) == os.getpid(), file=sys.stderr)
{end}
"""


@pytest.mark.parametrize(
    "end, code",
    [("", 0), ("sys.exit(3)", 3), ("1 / 0", 1), ("os.kill(os.getpid(), 9)", -signal.SIGKILL)],
)
def test_a_command_has_its_own_streams_folder_environment_and_end(warm, tmp_path, end, code):
    given = {"cwd": tmp_path, "env": {**os.environ, "SAID": "x", "PYTHONPATH": "/nowhere"}}
    text = CODE.format(end=end and f"sys.stdout.flush()\n{end}")
    done = warm.run("-c", text, "a b", given="hello", timeout=patience(60), **given)
    assert done.returncode == code
    first, second = done.stdout.splitlines()
    assert first == f"['a b'] {tmp_path} x hello {[str(tmp_path), '/nowhere']}" and second == "[]"
    assert done.stderr.startswith("True\n") and ("ZeroDivisionError" in done.stderr) == (code == 1)


def test_a_command_that_hangs_is_killed_and_said_to_have_hung(warm):
    with pytest.raises(TimeoutError, match="not done in 0 s"):
        warm.run("-c", "import time; time.sleep(1000)", timeout=0.1)


@pytest.mark.long
def test_the_scripts_of_pages_are_those_that_vl_convert_makes(warm):
    from vl_convert import javascript_bundle

    code = "import sys, vl_convert; sys.stdout.write(vl_convert.javascript_bundle())"
    done = warm.run("-c", code, timeout=patience(60))
    assert done.stdout == javascript_bundle()
