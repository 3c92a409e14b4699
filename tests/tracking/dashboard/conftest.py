"""A small sweep's folder, with W&B's own offline logs, of runs that were never done."""

import json

import pytest

from bench.configuration.job import Job
from bench.records.manifest import write_manifest
from bench.records.record import write_record
from tests.conftest import patience, small_config
from tests.made_up import estimate, record

HOSTILE = 'gaussian_vae <img src=x onerror=alert(1)> | `x` [y](z) it\'s="<1>"'
PARTS = {"reconstruction": -10 / 3, "mutual_information": 5.1, "marginal_kl": 16 / 3}
PARTS |= {"kl": 5.1 + 16 / 3, "elbo": -10 / 3 - 5.1 - 16 / 3}
# In a process of its own: W&B keeps its first settings for a process' whole life.
LOG = """
import json, sys
import numpy as np
from bench.configuration.job import Job
from bench.tracking.logger import tracked
for words, record in json.load(sys.stdin):
    with tracked(Job(**words), record["task"], True, print) as tracker:
        for epoch, bound in ((1, -3.0), (2, -2.5)):
            tracker.log({"step": 10 * epoch, "epoch": epoch, "validation_elbo": bound})
        tracker.finish(record, {"samples": np.zeros((8, 8), dtype=np.uint8)})
"""


def log_offline(warm, pairs):
    """Write W&B's offline logs of (job, record)."""
    given = json.dumps([(vars(job), made) for job, made in pairs])
    done = warm.run("-c", LOG, given=given, timeout=patience(120))
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


@pytest.fixture(scope="session")
def made(tmp_path_factory, warm):
    """(The sweep's folder, its [(job, record)]); one name is hostile, one run has a checkpoint."""
    folder = tmp_path_factory.mktemp("results") / "small-1.x"
    pairs = []
    for place, (name, width) in enumerate(
        [(HOSTILE, 3), ("gaussian_vae latent_dimensions=4", 4), ("gaussian_vae", 3)]
    ):
        options = [f"--model.latent_dimensions={width}", f"--seed={place + 1}"]
        options += [f"--evaluation.importance_{part}" for part in ("samples=100", "data=300")]
        config = small_config("gaussian_vae", "digits-17", *options)
        key_job = Job(config, name, folder.name, "")
        job = Job(config, name, folder.name, str(folder / "runs" / key_job.key), "offline")
        row = record(name, place + 1, 2.0 + place / 7)
        row |= {"key": job.key, "config": config, "images": {"samples": "", "data": ""}}
        for split in ("train", "test"):
            row["metrics"][split] |= {name: estimate(value) for name, value in PARTS.items()}
        pairs.append((job, row))
        write_record(folder / "runs", row)
    write_manifest(folder, [job.key for job, _ in pairs])
    (folder / "runs" / pairs[0][0].key / "best.ckpt").write_bytes(b"weights")
    log_offline(warm, pairs)
    from bench.records.tables import csv_text
    from bench.report.reduce import leaderboard_table, load_sweep, runs_table

    records = load_sweep(folder)
    (folder / "runs.csv").write_text(csv_text(runs_table(records, folder.name)))
    (folder / "leaderboard.csv").write_text(csv_text(leaderboard_table(records, folder.name)))
    return folder, pairs
