"""page.html: leaderboards, charts, pictures and runs of a sweep in one file that needs no network."""

import re
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from gzip import compress
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

import pandas as pd

from bench.records.types import Record, SlimRecord
from bench.report.notes import notes, task_notes
from bench.report.page.charts import specifications
from bench.report.page.data import MOST_RUNS, PICTURES, board_of, details_of_task
from bench.report.reduce import MOST_MODELS, MOST_SEEDS
from bench.report.tables import TO_BEST_WORDS
from bench.version import __version__

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

TEMPLATE = "page.html"
SCRIPTS = ("table.js", "board.js", "charts.js", "run.js", "page.js")
# With more runs, a chart is drawn only when it comes into view.
DRAW_ALL = 500


def page_of(
    sweep: str,
    records: Sequence[SlimRecord],
    board: pd.DataFrame,
    drawn: Sequence[Record],
    missing: str | None = None,
    absent: Sequence[str] = (),
) -> str:
    """Return the page. Every text in it is escaped, and it cannot send a request to any network.

    Args:
        sweep: The sweep's name.
        records: Its records, as ``load_sweep`` returns them.
        board: Its leaderboard.
        drawn: Whole records of the runs whose curves and pictures are shown.
        missing: A sentence on its runs that have no record.
        absent: What these runs are, a line for each model.
    """
    listed = records[:MOST_RUNS]
    tasks = []
    for task in dict.fromkeys(record["task"] for record in records):
        own = board[board["task"] == task]
        runs = [record for record in listed if record["task"] == task]
        whole = [record for record in drawn if record["task"] == task]
        every = [record for record in records if record["task"] == task]
        tasks.append(
            {
                "name": task,
                "data": every[0]["data"],
                "models": len(own),
                "total": len(every),
                "listed": len(runs),
                "failed": int(own["failed"].sum()),
                "notes": [*task_notes(own), *notes(own)],
                "board": board_of(own.head(MOST_RUNS), every),
                "rest": details_of_task(sweep, runs, own, whole),
            }
        )
    own = script_safe("\n".join(map(source, SCRIPTS)))
    return template().render(
        sweep=sweep,
        version=__version__,
        to_best=TO_BEST_WORDS,
        tasks=tasks,
        total=len(records),
        listed=len(listed),
        missing=missing,
        absent=absent,
        setting=setting_of(sweep, len(records)),
        style=markup(source("page.css")),
        script=markup(own),
        # Compressed it is less than half as large, and the page's script unpacks it.
        vega=b64encode(compress(vega().encode(), 9, mtime=0)).decode(),
        hashes=[b64encode(sha256(text.encode()).digest()).decode() for text in (vega(), own)],
    )


def setting_of(sweep: str, runs: int) -> dict[str, object]:
    """Return what the page's scripts need to know beside its tasks."""
    return {
        "sweep": sweep,
        "charts": specifications(),
        "pictures": PICTURES,
        "draw_all": runs <= DRAW_ALL,
        "most": {"models": MOST_MODELS, "seeds": MOST_SEEDS},
    }


def template() -> "Template":
    """Return the page's template, which escapes every text."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("bench", "report/page")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {
        "separators": (",", ":"),
        "allow_nan": False,
        "ensure_ascii": False,
    }
    return environment.get_template(TEMPLATE)


@lru_cache(maxsize=1)
def vega() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script that defines their names; takes seconds."""
    from vl_convert import javascript_bundle

    # A browser reads all line ends as \n, and hashes what it has read.
    return javascript_bundle().replace("\r", "")  # type: ignore[call-arg]  # its stub lacks the documented default


def source(name: str) -> str:
    return files("bench").joinpath("report/page", name).read_text(encoding="utf-8")


def script_safe(script: str) -> str:
    """Return a script that can be embedded in HTML: nothing in it ends its element."""
    return re.sub(r"<(/script|!--|script)", r"<\\\1", script, flags=re.IGNORECASE).replace("\r", "")


def markup(own: str) -> "Markup":
    """Mark text as safe. It is the project's own and contains nothing from a record."""
    from markupsafe import Markup

    return Markup(own)
