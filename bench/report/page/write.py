"""page.html: a sweep's leaderboards, charts, pictures and runs in one file that needs no network."""

import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files

import pandas as pd

from bench.report.page.charts import specifications
from bench.report.page.data import MOST_RUNS, PICTURES, board_of, task_of
from bench.report.reduce import MOST_MODELS, MOST_SEEDS
from bench.version import __version__

TEMPLATE = "page.html"
SCRIPTS = ("table.js", "charts.js", "run.js", "page.js")


def page_of(sweep: str, records: list[dict], board: pd.DataFrame, drawn: list[dict]) -> str:
    """Return the page: every text escaped, no request to any network possible.

    Args:
        sweep: The sweep's name.
        records: Its records, as ``load_sweep`` returns them.
        board: Its leaderboard.
        drawn: Whole records of the runs whose curves and pictures are shown.
    """
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("bench", "report/page")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True)
    environment.policies["json.dumps_kwargs"] = {
        "separators": (",", ":"),
        "allow_nan": False,
        "ensure_ascii": False,
    }
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
                "board": board_of(own.head(MOST_RUNS), every),
                "rest": task_of(task, sweep, runs, own, whole),
            }
        )
    scripts = [script_safe(vega()), script_safe("\n".join(source(name) for name in SCRIPTS))]
    return environment.get_template(TEMPLATE).render(
        sweep=sweep,
        version=__version__,
        tasks=tasks,
        total=len(records),
        listed=len(listed),
        setting={
            "sweep": sweep,
            "charts": specifications(),
            "pictures": PICTURES,
            "most": {"models": MOST_MODELS, "seeds": MOST_SEEDS},
        },
        style=markup(source("page.css")),
        scripts=[markup(script) for script in scripts],
        hashes=[b64encode(sha256(script.encode()).digest()).decode() for script in scripts],
    )


@lru_cache(maxsize=1)
def vega() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script that sets their names; takes seconds."""
    from vl_convert import javascript_bundle

    return javascript_bundle()


def source(name: str) -> str:
    return files("bench").joinpath("report/page", name).read_text(encoding="utf-8")


def script_safe(script: str) -> str:
    """Return a script that may stand in HTML: nothing in it ends its element."""
    return re.sub(r"<(/script|!--|script)", r"<\\\1", script, flags=re.IGNORECASE).replace("\r", "")


def markup(own: str):
    """Mark text as safe. It is the project's own; nothing from a record is in it."""
    from markupsafe import Markup

    return Markup(own)
