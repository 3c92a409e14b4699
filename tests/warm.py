"""Python in a process of its own, which finds the large libraries imported already.

Importing PyTorch and Lightning takes longer than most of what the tests do with them. One process does
it once, without importing anything of this project, and forks for each command.

python tests/warm.py SOCKET -m bench …    # what `python -m bench …` does, by the process that listens there
"""

import atexit
import gc
import json
import os
import runpy
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What a command shall take for Python's own program, where it starts Python again.
EXECUTABLE = "TESTS_WARM_PYTHON"


class Warm:
    """A process that forks for each command.

    Args:
        address: The socket on which it listens.

    Attributes:
        python: A program that does what Python would, by it.
    """

    def __init__(self, address: str):
        self.address = address
        self.python = str(Path(address).with_name("python"))

    def start(self, *words, given: str = "", cwd=ROOT, env: dict | None = None) -> "Command":
        """Start ``python *words``, where words begin with -m or -c, in a session of its own.

        Args:
            given: What it reads from stdin.
            cwd: Its folder.
            env: Its environment; None is ours.
        """
        files = [tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(3)]
        files[0].write(given)
        files[0].seek(0)
        answers = asked(self.address, words, str(cwd), env, [file.fileno() for file in files])
        return Command(answers, files)

    def run(self, *words, timeout: float, **more) -> "Command":
        """Return a command that has ended."""
        command = self.start(*words, **more)
        command.wait(timeout)
        return command


class Server:
    """Starts a process that imports and forks; ``close`` ends it, as does the end of this one.

    Attributes:
        address: The socket on which it listens.
    """

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp())
        self.address = str(self.folder / "socket")
        client = shlex.join([sys.executable, "-S", str(Path(__file__)), self.address])
        python = Path(Warm(self.address).python)
        python.write_text(f'#!/bin/sh\nexec {client} "$@"\n')
        python.chmod(0o700)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(64)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm", str(listener.fileno())],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        shutil.rmtree(self.folder)


class Command:
    """A process that was started: what of subprocess.Popen the tests use.

    Attributes:
        pid: Its process id, which is that of its group and session too.
        returncode: Its exit code, or the signal's number less than zero; None before ``wait``.
    """

    def __init__(self, answers: socket.socket, files: list):
        self.answers, self.files = answers.makefile(), files
        self.pid = int(self.answers.readline())
        self.returncode: int | None = None

    @property
    def stdout(self) -> str:
        return self._written(1)

    @property
    def stderr(self) -> str:
        return self._written(2)

    def _written(self, number: int) -> str:
        self.files[number].seek(0)
        return self.files[number].read()

    def wait(self, timeout: float) -> int:
        """Wait for its end, and kill it with all of its group if that does not come."""
        if self.returncode is None:
            if not select.select([self.answers], [], [], timeout)[0]:
                os.killpg(self.pid, signal.SIGKILL)
                self.wait(timeout)
                raise TimeoutError(f"not done in {timeout:.0f} s:\n{self.stdout}\n{self.stderr}")
            self.returncode = int(self.answers.readline())
        return self.returncode


def asked(address: str, words, cwd: str, env: dict | None, standard: list[int]) -> socket.socket:
    """Ask a server for a process; return where it tells first its id and then how it ended."""
    request = [[str(word) for word in words], cwd, dict(env or os.environ)]
    content = json.dumps(request).encode()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    socket.send_fds(connection, [len(content).to_bytes(8, "big")], standard)
    connection.sendall(content)
    return connection


def serve(listener: socket.socket) -> list | None:
    """Fork for each request; return it in the process that is to become it, None at the end."""
    gc.disable()  # of what is imported nothing is garbage
    # Not W&B, which makes a folder when it is imported, and removes it at the end of a process.
    import jsonargparse  # noqa: F401
    import pandas  # noqa: F401
    import pytorch_lightning  # noqa: F401
    import sklearn.datasets  # noqa: F401

    remember_vega()
    gc.freeze()  # what is shared by all is not copied to each for being looked through
    gc.enable()
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        with connection:
            if not os.fork():
                listener.close()
                return taken(connection)
        reap(os.WNOHANG)
    reap()
    return None


def remember_vega() -> None:
    """Let vl_convert give the scripts of pages without making them anew, which takes two seconds.

    Another process makes them: what does it in this one would not survive a fork.
    """
    import vl_convert

    code = (
        "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle().encode())"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True
    ).stdout.decode()
    vl_convert.javascript_bundle = lambda: made


def reap(options: int = 0) -> None:
    try:
        while os.waitpid(-1, options)[0]:
            pass
    except ChildProcessError:
        pass


def taken(connection: socket.socket) -> list:
    """Fork once more: return the request in its own process, while this one tells of its end."""
    head, standard, _, _ = socket.recv_fds(connection, 8, 3)
    content = connection.makefile("rb").read(int.from_bytes(head, "big"))
    pid = os.fork()
    if pid:
        connection.sendall(f"{pid}\n".encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        connection.sendall(f"{code}\n".encode())
        os._exit(0)
    os.setsid()
    # Ignored where the tests were started in a shell's background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return json.loads(content)


def become(words: list[str], cwd: str, environment: dict, libraries: list[str]) -> None:
    """Do what ``python *words`` would."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    # The streams of before know whether what they wrote to was a file.
    encoding = environment.get("PYTHONIOENCODING")
    sys.stdin = open(0, encoding=encoding, closefd=False)
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)
    sys.stderr = open(2, "w", 1, encoding, "backslashreplace", closefd=False)
    sys.path[:] = [cwd, *python_path(), *libraries]
    kind, what, *arguments = words
    sys.argv[:] = [what if kind == "-m" else kind, *arguments]
    sys.executable = environment.get(EXECUTABLE, sys.executable)
    code = None
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as error:
        code = error.code
        if not isinstance(code, (int, type(None))):
            raise
    end(code or 0)


def end(code: int) -> None:
    """End this process as Python does, without taking the libraries apart, which takes a second."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def main(where: str, *words: str) -> None:
    if words:
        answers = asked(where, words, os.getcwd(), None, [0, 1, 2]).makefile()
        answers.readline()
        sys.exit(int(answers.readline()))
    libraries = sys.path[1 + len(python_path()) :]
    with socket.socket(fileno=int(where)) as listener:
        request = serve(listener)
    if request is not None:
        become(*request, libraries)
    end(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
