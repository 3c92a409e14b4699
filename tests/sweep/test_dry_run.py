import json

import pytest

from bench.records.record import write_record
from bench.sweep.driver import SweepOptions, make_plan
from bench.sweep.dry_run import recorded_rates, show_plan
from tests.made_up import record

SWEEP = {
    "matrix": {"data": ["digits-17"], "model": ["gaussian_vae", "realnvp"], "seed": [1]},
    "overrides": [
        {"when": {"model": "gaussian_vae"}, "set": {"trainer.max_epochs": 30}},
        {"when": {"model": "realnvp"}, "set": {"evaluation.importance_samples": 7}},
    ],
}


@pytest.fixture
def results(tmp_path):
    """One record of each model: 3 epochs in 6 of 10 seconds, L_100."""
    for number, model in enumerate(("gaussian_vae", "realnvp", "uniform")):
        made = record(model, 2, 1.0)
        made["config"] |= {"evaluation": {"importance_samples": 100}}
        made["best_epoch"] = None if model == "uniform" else 3
        made["timing"] = {"fit_seconds": 6.0, "total_seconds": 10.0}
        write_record(tmp_path / "other" / "runs", made | {"key": f"{number:016x}"})
    return tmp_path


def test_time_goes_with_the_epochs_and_is_unknown_for_other_samples(results, tmp_path, capsys):
    assert recorded_rates(results)["digits-17", "gaussian_vae", 100] == (2.0, 4.0)
    assert recorded_rates(results)["digits-17", "realnvp", 100] == (2.0, 4.0)
    assert recorded_rates(results)["digits-17", "uniform", 100] == (0.0, 10.0)
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(SWEEP))
    options = SweepOptions(workers=1)
    show_plan(make_plan(str(path), results, options), results, options)
    cells = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    lines = {line[2]: line for line in cells if len(line) > 4}
    assert lines["gaussian_vae"][-1] == "64"  # 30 epochs of 2 seconds, and 4
    assert lines["realnvp"][-1] == "unknown"
