"""Progress of a sweep: a live table on a terminal, plain lines elsewhere, and status.json."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from bench.system.files import write_atomically
from bench.system.printing import new_console, printable, say

if TYPE_CHECKING:
    from rich.table import Table

PLAIN_LINE_SECONDS = 10.0
STATUS_SECONDS = 2.0
STATUS = "status.json"
# Assumed share of training in the time of a run.
TRAINING_SHARE = 0.7
# Phase, share of it that is done in [0, 1], and text.
RunProgress = tuple[str, float, str]


class RunningRun(TypedDict):
    """What is shown of a run at work; ``seconds_left`` is the time until its phase ends."""

    key: str
    label: str
    phase: str
    share: float
    text: str
    seconds_left: float | None


class Snapshot(TypedDict):
    """Everything that is shown of a sweep: numbers of runs, the time left, and the runs at work."""

    ended: bool
    to_do: int
    cached: int
    done: int
    failed: int
    seconds_left: float | None
    running: list[RunningRun]


class SweepProgress:
    """Counts a sweep's runs, shows its progress and estimates the time left.

    Args:
        labels: {key: label} of the runs to do.
        cached: Number of runs that already had a record.
        instant: Keys of runs without training, which the estimate of the time left ignores.
        directory: Folder for status.json, which `bench status` reads; None writes none.
    """

    def __init__(
        self, labels: dict[str, str], cached: int, instant: set[str], directory: Path | None = None
    ):
        from rich.live import Live

        self.labels, self.cached, self.instant = labels, cached, instant
        self.trained = len(labels.keys() - instant)
        self.directory = directory
        self.done: set[str] = set()
        self.trained_done = self.failed = 0
        self.running: dict[str, RunProgress] = {}
        # {key: (phase, its share done when first seen, time when first seen)}.
        self.phase_starts: dict[str, tuple[str, float, float]] = {}
        self.started = time.monotonic()
        # Of runs with a known duration: start of the first, end of the last, sum of durations.
        self.first = self.last = self.own_seconds = 0.0
        self.last_line = self.last_status = 0.0
        self.console = new_console()
        self.live = (
            Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        )

    def __enter__(self) -> "SweepProgress":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()
        self.running = {}
        self._write_status(ended=True)

    def update(self, board: dict[str, RunProgress]) -> None:
        """Show what the runs at work have reported, by key."""
        now = time.monotonic()
        if self.live is None and now - self.last_status < STATUS_SECONDS:
            return
        self.running = {key: row for key, row in board.items() if key not in self.done}
        for key, (phase, share, _) in self.running.items():
            if key not in self.phase_starts or self.phase_starts[key][0] != phase:
                self.phase_starts[key] = phase, share, now
        if self.live:
            self.live.update(table_of(self.snapshot()), refresh=True)
        elif now - self.last_line > PLAIN_LINE_SECONDS:
            self.last_line = now
            say(summary_of(self.snapshot()))
        if now - self.last_status >= STATUS_SECONDS:
            self._write_status()

    def finish(self, key: str, failed: bool, words: str, seconds: float = 0.0) -> None:
        """Count a run that ended, and print a line; ``seconds`` is its duration, 0 if not known."""
        if seconds:
            self.last = time.monotonic()
            self.first = min(self.first or self.last, self.last - seconds)
            self.own_seconds += seconds
        self.done.add(key)
        self.trained_done += key not in self.instant
        self.running.pop(key, None)
        self.phase_starts.pop(key, None)
        self.failed += failed
        self.say(f"{'failed' if failed else 'done':6}  {self.labels[key]}  {words}")

    def efficiency(self, workers: int) -> str:
        """Compare the wall time of all runs with the sum of their durations over the workers."""
        wall, shared = self.last - self.first, self.own_seconds / workers
        if not shared:
            return ""
        return (
            f"{len(self.done)} runs in {wall:.1f} s; the sum of their durations over {workers} "
            f"workers is {shared:.1f} s (ratio {wall / shared:.2f})"
        )

    def say(self, line: str) -> None:
        """Print a line above the live table."""
        if self.live:
            self.console.print(printable(line), highlight=False, markup=False, emoji=False)
        else:
            say(line)

    def time_left(self) -> float | None:
        """Estimate the seconds left from the average speed so far; None at the start."""
        work = float(self.trained_done)
        for key, (phase, share, _) in self.running.items():
            if key not in self.instant:
                work += share_of_run(phase, share)
        if work < 0.1:
            return None
        return (time.monotonic() - self.started) / work * max(self.trained - work, 0)

    def time_left_of(self, key: str) -> float | None:
        """Estimate the seconds until a run's phase ends from its speed; None before it progresses."""
        _, share, _ = self.running[key]
        _, first_share, first = self.phase_starts.get(key, ("", share, 0.0))
        if share - first_share < 1e-3:
            return None
        return (time.monotonic() - first) / (share - first_share) * (1 - share)

    def snapshot(self, ended: bool = False) -> Snapshot:
        """Return everything that is shown, as plain data."""
        return {
            "ended": ended,
            "to_do": len(self.labels),
            "cached": self.cached,
            "done": len(self.done),
            "failed": self.failed,
            "seconds_left": self.time_left(),
            "running": [
                {
                    "key": key,
                    "label": self.labels.get(key, key),
                    "phase": phase,
                    "share": share,
                    "text": text,
                    "seconds_left": self.time_left_of(key),
                }
                for key, (phase, share, text) in self.running.items()
            ],
        }

    def _write_status(self, ended: bool = False) -> None:
        self.last_status = time.monotonic()
        if self.directory is not None:
            try:
                write_atomically(self.directory / STATUS, json.dumps(self.snapshot(ended)) + "\n")
            except OSError:
                pass  # the sweep itself does not need it


def share_of_run(phase: str, share: float) -> float:
    """Return the share of a whole run that is done, from the share of its phase."""
    if phase == "train":
        return TRAINING_SHARE * share
    return TRAINING_SHARE + (1 - TRAINING_SHARE) * share


def duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def summary_of(snapshot: Snapshot) -> str:
    """Return a sweep's progress in one line."""
    queued = snapshot["to_do"] - snapshot["done"] - len(snapshot["running"])
    text = f"{snapshot['done']} of {snapshot['to_do']} runs done"
    text += f" (and {snapshot['cached']} before)" if snapshot["cached"] else ""
    text += f", {len(snapshot['running'])} running, {queued} queued, {snapshot['failed']} failed"
    left = snapshot["seconds_left"]
    return text + (f", about {duration(left)} left" if left is not None else "")


def table_of(snapshot: Snapshot) -> "Table":
    """Return the summary and a line for each run at work, as rich's table."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=summary_of(snapshot), title_justify="left", show_header=False, box=None)
    for _ in range(6):
        table.add_column(overflow="fold")
    for row in snapshot["running"]:
        filled = round(20 * row["share"])
        left = row["seconds_left"]
        table.add_row(
            escape(printable(f"  {row['label']}")),
            escape(printable(row["phase"])),
            printable("━" * filled + "─" * (20 - filled)),
            f"{row['share']:4.0%}",
            escape(printable(row["text"])),
            "" if left is None else f"{duration(left)} left",
        )
    return table
