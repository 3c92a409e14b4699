"""How far a sweep is: a live table on a terminal, plain lines elsewhere, a file for others."""

import json
import time
from datetime import timedelta
from pathlib import Path

from bench.system.files import write_atomically
from bench.system.printing import new_console, printable, say

PLAIN_LINE_SECONDS = 10.0
STATUS_SECONDS = 2.0
STATUS = "status.json"
# Of a run's time, where nothing better is known: the share that training takes.
TRAINING_SHARE = 0.7


class Progress:
    """Counts a sweep's runs and shows what is left.

    Args:
        labels: {key: words} of the runs to do.
        cached: Number of runs that had a record already.
        instant: Keys of the runs that train nothing, which tell nothing of the time left.
        directory: Folder that gets status.json, for `bench status`; None writes none.
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
        self.running: dict[str, tuple[str, float, str]] = {}
        # When a run was first seen in its phase, and how far it was then.
        self.seen: dict[str, tuple[str, float, float]] = {}
        self.started = time.monotonic()
        # Of the runs that told: when the first began, the last ended, and their times' sum.
        self.first = self.last = self.own_seconds = 0.0
        self.last_line = self.last_status = 0.0
        self.console = new_console()
        self.live = (
            Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        )

    def __enter__(self) -> "Progress":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        if self.live:
            self.live.stop()
        self.running = {}
        self._write_status(ended=True)

    def update(self, board: dict[str, tuple[str, float, str]]) -> None:
        """Show the runs' own reports, {key: (phase, share done, text)}."""
        now = time.monotonic()
        if self.live is None and now - self.last_status < STATUS_SECONDS:
            return
        self.running = {key: row for key, row in board.items() if key not in self.done}
        for key, (phase, share, _) in self.running.items():
            if self.seen.get(key, ("",))[0] != phase:
                self.seen[key] = phase, share, now
        if self.live:
            self.live.update(table_of(self.snapshot()), refresh=True)
        elif now - self.last_line > PLAIN_LINE_SECONDS:
            self.last_line = now
            say(summary_of(self.snapshot()))
        if now - self.last_status >= STATUS_SECONDS:
            self._write_status()

    def finish(self, key: str, failed: bool, words: str, seconds: float = 0.0) -> None:
        """Note that a run ended, which took so many seconds."""
        if seconds:
            self.last = time.monotonic()
            self.first = min(self.first or self.last, self.last - seconds)
            self.own_seconds += seconds
        self.done.add(key)
        self.trained_done += key not in self.instant
        self.running.pop(key, None)
        self.seen.pop(key, None)
        self.failed += failed
        self.say(f"{'failed' if failed else 'done':6}  {self.labels[key]}  {words}")

    def efficiency(self, workers: int) -> str:
        """Return how long the runs took together, beside their own times shared out evenly."""
        wall, shared = self.last - self.first, self.own_seconds / workers
        if not shared:
            return ""
        return (
            f"{len(self.done)} runs in {wall:.1f} s; their own times, shared out evenly over "
            f"{workers}, are {shared:.1f} s (ratio {wall / shared:.2f})"
        )

    def say(self, line: str) -> None:
        """Print a line above the live table."""
        if self.live:
            self.console.print(printable(line), highlight=False, markup=False, emoji=False)
        else:
            say(line)

    def time_left(self) -> float | None:
        """Return seconds left, if runs go on as fast as they did on average."""
        work = float(self.trained_done)
        for key, (phase, share, _) in self.running.items():
            if key not in self.instant:
                work += share_of_run(phase, share)
        if work < 0.1:
            return None
        return (time.monotonic() - self.started) / work * max(self.trained - work, 0)

    def time_left_of(self, key: str) -> float | None:
        """Return seconds until a run's present phase ends, going on as it did."""
        _, share, _ = self.running[key]
        _, first_share, first = self.seen.get(key, ("", share, 0.0))
        if share - first_share < 1e-3:
            return None
        return (time.monotonic() - first) / (share - first_share) * (1 - share)

    def snapshot(self, ended: bool = False) -> dict:
        """Return all there is to show, as plain data."""
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
                pass  # only for onlookers


def share_of_run(phase: str, share: float) -> float:
    """Return the share of a whole run that is done, from that of its phase."""
    if phase == "train":
        return TRAINING_SHARE * share
    return TRAINING_SHARE + (1 - TRAINING_SHARE) * share


def duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def summary_of(snapshot: dict) -> str:
    queued = snapshot["to_do"] - snapshot["done"] - len(snapshot["running"])
    text = f"{snapshot['done']} of {snapshot['to_do']} runs done"
    text += f" (and {snapshot['cached']} before)" if snapshot["cached"] else ""
    text += f", {len(snapshot['running'])} running, {queued} queued, {snapshot['failed']} failed"
    left = snapshot["seconds_left"]
    return text + (f", about {duration(left)} left" if left is not None else "")


def table_of(snapshot: dict):
    """Return the summary and a line for each running run, to print on a terminal."""
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
