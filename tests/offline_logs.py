"""W&B's offline logs, read back by W&B's own reader."""

import json
import subprocess
import sys


def read_offline_run(path):
    """Return (what identifies the run, its history, its summary) of an offline log."""
    words = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
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
