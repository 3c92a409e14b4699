"""What goes on where a library is not installed: without Altair, W&B or Ray, pretended here."""

import sys

import pytest

from bench.__main__ import main
from bench.records.manifest import write_manifest
from bench.records.record import write_record
from tests.made_up import record


@pytest.mark.parametrize(
    "library, name", [("altair", "Altair"), ("vl_convert", "vl-convert-python")]
)
def test_without_the_pages_libraries_a_report_has_all_but_the_page(
    library, name, tmp_path, monkeypatch, capsys
):
    made = record("m", 1, 2.0)
    write_record(tmp_path / "s" / "runs", made)
    write_manifest(tmp_path / "s", [made["key"]])
    monkeypatch.setattr("bench.report.plots.figures_of", lambda records: {})
    monkeypatch.setitem(sys.modules, library, None)
    assert main(["report", "s", f"--results={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert f"page.html is not written, because {name} is not installed\n" in printed
    assert "figures/\n" in printed and not (tmp_path / "s" / "page.html").exists()
    assert (tmp_path / "s" / "leaderboard.csv").exists()


def test_without_wandb_runs_are_not_logged_and_it_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("bench.tracking.wandb_settings.SILENT", set())
    words = ["--data=digits-17", "--model=gaussian_vae", f"--output={tmp_path}", "--wandb=offline"]
    words += ["--trainer.max_epochs=1", "--evaluation.importance_samples=2"]
    for seed in (1, 2):
        assert main(["train", *words, f"--seed={seed}"]) == 0
    assert capsys.readouterr().out.count("note: W&B: not installed: nothing is logged\n") == 1
    assert not list(tmp_path.rglob("wandb"))


@pytest.mark.parametrize("command", ["sweep", "claims"])
def test_without_ray_a_command_says_what_to_do(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([command, f"--results={tmp_path / 'r'}"]) == 2
    error = capsys.readouterr().err
    assert "engine: Ray is not installed; `--workers 0` does the runs" in error
    assert error.count("\n") == 1 and not list(tmp_path.iterdir())
