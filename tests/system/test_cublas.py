"""The variable of cuBLAS' workspace is there before CUDA can start, and the user's value stays."""

import os
import subprocess
import sys

import pytest
from pytorch_lightning import Trainer

from bench.system.cublas import DETERMINISTIC, NAME, same_workspace


@pytest.mark.parametrize("own", [None, ":16:8"])
def test_whoever_imports_the_package_has_it(own):
    environment = {name: value for name, value in os.environ.items() if name != NAME}
    environment |= {NAME: own} if own else {}
    words = [sys.executable, "-c", f"import bench, os; print(os.environ['{NAME}'])"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (own or DETERMINISTIC)


def test_lightning_does_not_replace_it(monkeypatch):
    monkeypatch.setenv(NAME, ":16:8")
    make = lambda: Trainer(deterministic=True, logger=False, accelerator="cpu", devices=1)
    with same_workspace():
        make()
        assert os.environ[NAME] == DETERMINISTIC  # else this test tests nothing
    assert os.environ[NAME] == ":16:8"
