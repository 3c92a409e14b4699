"""Part `environment`: the card, its driver, and the settings that PyTorch starts with."""

import subprocess

import torch

from bench.records.provenance import environment as of_record
from tests.gpu.lines import Check


def environment(check: Check) -> None:
    if check.dry:
        check.say("environment", environment=of_record("cpu"))
        return
    report = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=30).stdout
    (check.out / "nvidia-smi.txt").write_text(report)
    query = ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"]
    driver = subprocess.run(query, capture_output=True, text=True, timeout=30).stdout.strip()
    check.say(
        "environment",
        environment=of_record("cuda"),
        driver=driver,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        properties=str(torch.cuda.get_device_properties(0)),
        tf32_of_products=torch.backends.cuda.matmul.allow_tf32,
        tf32_of_convolutions=torch.backends.cudnn.allow_tf32,
        product_precision=torch.get_float32_matmul_precision(),
    )
