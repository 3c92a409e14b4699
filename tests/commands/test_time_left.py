"""A long command prints its progress and the time left, also without a terminal."""

import time
from types import SimpleNamespace

from bench.commands import time_left
from tests.conftest import patience


def test_lines_are_printed_while_a_single_piece_of_work_lasts_with_the_time_left(monkeypatch):
    """A quarter after ten seconds leaves thirty."""
    now, lines = [0.0], []
    monkeypatch.setattr(time_left, "PLAIN_LINE_SECONDS", 0.01)
    monkeypatch.setattr(time_left, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(time_left, "print_progress", lambda: lambda *words: lines.append(words))
    wanted = ("codecs", 0.25, "WebP, about 0:00:30 left")
    with time_left.telling_time_left() as progress:
        now[0] = 10.0
        progress("codecs", 0.25, "WebP")
        deadline = time.monotonic() + patience(60)
        while lines.count(wanted) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert lines.count(wanted) >= 3 and set(lines) <= {wanted, ("starting", 0.0, "")}
    count = len(lines)
    time.sleep(0.1)
    assert len(lines) == count
