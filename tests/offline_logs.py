"""W&B's offline logs, read back by W&B's own reader."""

import json
import subprocess
import sys

from tests.conftest import patience


def read_offline_run(path, warm=None):
    """Return (what identifies the run, its history, its summary) of an offline log.

    Args:
        path: The log.
        warm: The fixture, whose process is sooner at work than one of our own.
    """
    words = ["-m", "wandb", "leet", "inspect", "--json", str(path)]
    if warm is None:
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    else:
        done = warm.run(*words, timeout=patience(60))
    assert done.returncode == 0, done.stderr
    header, history, summary = {}, [], {}
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        if entry["type"] == "run" and not header:
            run = entry["run"]
            header = {"group": run["run_group"], "job_type": run["job_type"], "tags": run["tags"]}
            header |= {"id": run["run_id"], "config": run["config"]["update"]}
        elif entry["type"] == "history":
            history.append(entry["history"]["item"])
        elif entry["type"] == "summary":
            summary |= entry["summary"].get("update", {})
    return header, history, summary
