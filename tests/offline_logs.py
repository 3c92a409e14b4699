"""W&B's offline logs, read back by W&B's own reader."""

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path


def read_offline_run(path):
    """Return (what identifies the run, its history, its summary) of an offline log.

    By the program behind `wandb leet inspect --json`, which takes seconds to start it.
    """
    core = Path(find_spec("wandb").origin).parent / "bin" / "wandb-core"
    words = [core, "leet", "inspect", "--no-observability", "--json", "--run-file", path]
    done = subprocess.run([*words, path.parents[1]], capture_output=True, text=True)
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
