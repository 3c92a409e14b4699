"""How far a sweep is: a live table on a terminal, plain lines elsewhere."""

import time
from datetime import timedelta

PLAIN_LINE_SECONDS = 10.0


class Progress:
    """Counts a sweep's runs and shows what is left.

    Args:
        labels: {key: words} of the runs to do.
        cached: Number of runs that had a record already.
        instant: Keys of the runs that train nothing, which tell nothing of the time left.
    """

    def __init__(self, labels: dict[str, str], cached: int, instant: set[str]):
        from rich.console import Console
        from rich.live import Live

        self.labels, self.cached, self.instant = labels, cached, instant
        self.done: set[str] = set()
        self.failed = 0
        self.running: dict[str, tuple[str, float, str]] = {}
        self.started = time.monotonic()
        self.last_line = 0.0
        self.console = Console()
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

    def update(self, board: dict[str, tuple[str, float, str]]) -> None:
        """Show the runs' own reports, {key: (phase, share done, text)}."""
        self.running = {key: row for key, row in board.items() if key not in self.done}
        if self.live:
            self.live.update(self._table(), refresh=True)
        elif time.monotonic() - self.last_line > PLAIN_LINE_SECONDS:
            self.last_line = time.monotonic()
            print(self.summary(), flush=True)

    def finish(self, key: str, failed: bool, words: str) -> None:
        """Note that a run ended."""
        self.done.add(key)
        self.running.pop(key, None)
        self.failed += failed
        line = f"{'failed' if failed else 'done':6}  {self.labels[key]}  {words}"
        (self.console.print if self.live else print)(line)

    def summary(self) -> str:
        left = self.time_left()
        text = f"{len(self.done)} of {len(self.labels)} runs done"
        text += f" (and {self.cached} before)" if self.cached else ""
        text += f", {len(self.running)} running, {self.failed} failed"
        return text + (f", about {timedelta(seconds=round(left))} left" if left is not None else "")

    def time_left(self) -> float | None:
        """Return seconds left, if runs go on as fast as they did on average."""
        trained = set(self.labels) - self.instant
        work = float(len(self.done & trained))
        for key, (phase, share, _) in self.running.items():
            if key in trained:
                work += 0.7 * share if phase == "train" else 0.7 + 0.3 * share
        if work < 0.1:
            return None
        return (time.monotonic() - self.started) / work * (len(trained) - work)

    def _table(self):
        from rich.table import Table

        table = Table(title=self.summary(), title_justify="left", show_header=False, box=None)
        for key, (phase, share, text) in self.running.items():
            filled = round(20 * share)
            bar = "━" * filled + "─" * (20 - filled)
            table.add_row(f"  {self.labels.get(key, key)}", phase, bar, f"{share:4.0%}", text)
        return table
