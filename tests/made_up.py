"""Records of runs that were never done."""

from math import log

from bench.records.run_columns import DIAGNOSTICS


def estimate(value, stderr=0.01):
    return {"value": value, "stderr": stderr, "n": 300, "samples": 100, "stderr_data": 0.1}


def record(model, seed, bits, status="ok", bound="upper"):
    metrics = {
        "bits_per_dim": estimate(bits),
        "log_likelihood": estimate(-64 * log(2) * bits),
    }
    if bound == "upper":
        # An effective sample size is at least 1, shares are at most 1.
        metrics |= {name: estimate(1.0) for name in DIAGNOSTICS}
    made = {
        "key": f"{abs(hash((model, seed))):016x}"[:16],
        "task": "digits-17",
        "model": model,
        "seed": seed,
        "status": status,
        "config": {"trainer": {"beta": 1.0}},
        "data": {
            "dimensions": 64,
            "levels": 17,
            "sizes": {"train": 1197, "test": 300},
            "payload_sha256": {"digits": "a"},
            "split_sha256": "b",
        },
        "environment": {"commit": "c"},
        "timing": {"total_seconds": 1.0},
    }
    if status == "failed":
        made["reason"] = "diverged"
    else:
        made |= {"metrics": {"train": metrics, "test": metrics}, "bound": bound, "epochs": 3}
        made |= {
            "decoder": "Gaussian",
            "prior": "StandardNormal",
            "parameters": 5,
            "history": [],
            "images": {},
        }
    return made
