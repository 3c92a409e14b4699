"""Output that nobody can read, or that has no place, does not end the work."""

import errno
import io
import os
import sys

import pytest
from rich.console import Console
from rich.live import Live

from bench.system.closed_output import lenient_output


class Broken(io.StringIO):
    """A stream that fails from its second write on, and whose descriptor is one to spoil."""

    def __init__(self, number, spare):
        super().__init__()
        self.number, self.spare, self.writes = number, spare, 0

    def write(self, text):
        self.writes += 1
        if self.writes > 1:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)

    def isatty(self):
        return True

    def fileno(self):
        return self.spare


@pytest.fixture
def spare(tmp_path):
    with open(tmp_path / "spare", "w") as file:
        yield file.fileno()


REASONS = {errno.EPIPE: None, errno.EIO: None, errno.ENOSPC: "No space left on device"}


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("number", REASONS)
def test_what_cannot_be_printed_is_dropped_and_told_if_it_is_missed(
    name, number, spare, monkeypatch
):
    broken = Broken(number, spare)
    monkeypatch.setattr(sys, name, broken)
    with lenient_output():
        stream = getattr(sys, name)
        for _ in range(3):
            print("line", file=stream, flush=True)
        reason = stream.explanation()
    assert reason == REASONS[number] and broken.getvalue() == "line"
    assert getattr(sys, name) is broken


def test_a_live_table_goes_on_though_its_terminal_is_gone(spare, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(errno.EIO, spare))
    with lenient_output():
        console = Console()
        assert console.is_terminal
        with Live("0", console=console, auto_refresh=False) as live:
            for number in range(5):
                live.update(str(number), refresh=True)
                console.print("a line")
