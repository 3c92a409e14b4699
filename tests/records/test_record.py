import json
from types import SimpleNamespace

import pytest

from bench.errors import InputError
from bench.records.provenance import commit_label, environment
from bench.records.record import read_record, record_path, write_record
from bench.system.files import write_atomically
from tests.made_up import record

RECORD = record("model", 1, bits=1.25)


def test_a_record_reads_back(tmp_path):
    path = write_record(tmp_path, RECORD)
    assert path == record_path(tmp_path, RECORD["key"])
    assert {k: v for k, v in read_record(path).items() if k != "checksum"} == RECORD
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("1.25", "1.0"),
        lambda text: "[]",
        lambda text: "",
        lambda text: text.replace('"checksum"', '"checksumm"'),
    ],
)
def test_a_damaged_or_altered_record_is_refused(tmp_path, damage):
    path = write_record(tmp_path, RECORD)
    path.write_text(damage(path.read_text()))
    with pytest.raises(InputError, match="damaged|altered"):
        read_record(path)


def test_a_record_of_another_run_is_refused(tmp_path):
    path = write_record(tmp_path, RECORD)
    other = tmp_path / "fedcba9876543210" / "record.json"
    other.parent.mkdir()
    other.write_text(path.read_text())
    with pytest.raises(InputError, match="altered"):
        read_record(other)


def test_what_is_not_a_number_is_never_written(tmp_path):
    with pytest.raises(ValueError):
        write_record(tmp_path, RECORD | {"seed": float("nan")})
    assert not list(tmp_path.rglob("record.json"))


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError):
        write_atomically(path, "new")
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_commit_of_other_tables_is_marked_where_the_code_is_not_its(monkeypatch):
    for version, label in (
        ({"commit": "c0ffee", "dirty": True}, "c0ffee-dirty"),
        ({"commit": "c0ffee", "dirty": False}, "c0ffee"),
        ({"commit": None, "dirty": None}, None),
    ):
        monkeypatch.setattr(
            "bench.records.provenance.code_version", lambda version=version: version
        )
        assert commit_label() == label


def test_the_environment_names_no_paths_and_nobody():
    import getpass
    from pathlib import Path

    text = json.dumps(environment("cpu"))
    assert str(Path.home()) not in text and str(Path.cwd()) not in text
    assert f'"{getpass.getuser()}"' not in text
    assert environment("cpu")["packages"]["torch"]


def test_the_environment_says_what_a_gpu_computed_with(monkeypatch):
    """On a pretended GPU: what PyTorch tells of a real one is not tested here."""
    import torch

    on_cpu = environment("cpu")
    about_gpus = {name for name in on_cpu if name.startswith(("gpu", "cuda", "cudnn", "tf32"))}
    assert len(about_gpus) == 7 and all(on_cpu[name] is None for name in about_gpus)
    assert on_cpu["torch_build"] == torch.__version__
    assert on_cpu["float32_matmul_precision"] == torch.get_float32_matmul_precision()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    memory = SimpleNamespace(total_memory=85_010_000_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda: memory)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91300)
    monkeypatch.setattr("bench.records.provenance.nvidia_driver", lambda: "580.65.06")
    on_gpu = environment("cuda")
    assert {name: on_gpu[name] for name in about_gpus} == {
        "gpu": "NVIDIA H100 80GB HBM3",
        "gpu_memory_gib": 79.2,
        "cuda": "13.0",
        "cuda_driver": "580.65.06",
        "cudnn": 91300,
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_cudnn": torch.backends.cudnn.allow_tf32,
    }
    with torch.backends.cudnn.flags(allow_tf32=False):
        assert environment("cuda")["tf32_cudnn"] is False
