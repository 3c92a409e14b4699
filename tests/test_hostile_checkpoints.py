"""Checkpoints from strangers: nothing in them runs, and each is read or refused soon, in a line."""

import copy
import io
import os
import pickle
import random
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from bench.__main__ import main
from bench.configuration.models import build_model
from bench.configuration.parsing import validate
from bench.errors import InputError
from bench.runs.trained import load_trained
from bench.training.checkpoint_limits import check_content
from bench.training.checkpoints import (
    CheckedCheckpointIO,
    can_resume,
    content_hash,
    read_checkpoint,
    release,
)
from tests.conftest import small_config
from tests.limits import limited

warnings.filterwarnings("ignore", module="torch")


class Bomb:
    """A pickle that would write a file when it is loaded."""

    def __reduce__(self):
        return os.system, ("touch " + str(Path.cwd() / "exploded"),)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def good():
    """What a checkpoint of a small model holds, without its hash."""
    config = small_config("gaussian_vae")
    model = build_model(config, (1, 8, 8), 17)
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    return {
        "state_dict": weights,
        "bench": {"config": config, "model": "gaussian_vae", "code_sha256": "0" * 64},
        "epoch": 3,
        "history": [{"epoch": 1, "validation_elbo": -100.0}],
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": []}],
    }


def written(path, held, digest=None):
    torch.save(held | {"sha256": content_hash(held) if digest is None else digest}, path)
    return path


def refused(path, read=read_checkpoint):
    with limited(seconds=60, mebibytes=256), pytest.raises(InputError) as error:
        read(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


def test_the_good_checkpoint_is_read(good, folder):
    path = written(folder / "good.ckpt", good)
    assert load_trained(path).epoch == 4
    assert set(read_checkpoint(path)) == set(good)


@pytest.mark.parametrize("how", ["pickle", "torch", "torch, inside"])
def test_a_checkpoint_that_would_run_code_is_refused(how, folder, capsys):
    path = folder / "best.ckpt"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    else:
        inside = {"state_dict": {}, "bench": {"config": {}}, "sha256": "", "more": Bomb()}
        torch.save(inside if "inside" in how else Bomb(), path)
    assert main(["evaluate", str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("bench: error: ") and "\n" not in error and "cannot be read" in error
    assert sorted(p.name for p in folder.iterdir()) == ["best.ckpt"]


@pytest.mark.parametrize(
    "path", ["bench.training.checkpoints.remove", "bench.system.files.write_atomically"]
)
@pytest.mark.parametrize("part", ["decoder", "prior", "encoder"])
def test_a_checkpoint_calls_no_function_of_ours(path, part, good, folder, capsys):
    (folder / "victim").write_text("mine")
    held = copy.deepcopy(good)
    init = {"path": str(folder / "victim")} | ({"text": "theirs"} if "write" in path else {})
    held["bench"]["config"]["model"]["init_args"][part] = {"class_path": path, "init_args": init}
    assert main(["evaluate", str(written(folder / "m.ckpt", held))]) == 2
    assert (
        f"'{path}' is not a model, network, decoder, prior or posterior of bench"
        in capsys.readouterr().err
    )
    assert (folder / "victim").read_text() == "mine"


@pytest.mark.parametrize("name", ["values", "get", "items", "keys"])
def test_a_configuration_whose_methods_are_a_strangers_is_refused_in_a_line(name, good, folder):
    own = good["bench"]["config"]
    for is_whole in (True, False):
        odd = OrderedDict(own if is_whole else own["model"])
        setattr(odd, name, 3)
        with pytest.raises(InputError, match="it contains a OrderedDict"):
            validate(odd if is_whole else own | {"model": odd})


def shared(depth, make=list):
    """Return a list that holds one twice, which holds one twice, and so on."""
    part = make([1])
    for _ in range(depth):
        part = make([part, part])
    return part


def cyclic(width=1):
    part = []
    part += [part] * width
    return part


def deep(depth):
    part = []
    for _ in range(depth):
        part = [part]
    return part


def conjugate():
    return torch.ones(3, dtype=torch.complex64).conj()


# What no checkpoint of this benchmark holds; each is made anew, because some cannot be copied.
STRANGE_TENSORS = {
    "sparse": lambda: torch.eye(3).to_sparse(),
    "compressed": lambda: torch.eye(3).to_sparse_csr(),
    "meta": lambda: torch.empty(3, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
    "conjugate": conjugate,
    "negative": lambda: conjugate().imag,
    "expanded to 400 GB": lambda: torch.ones(1).expand(10**11),
    "overlapping": lambda: torch.ones(100).as_strided((50, 50), (1, 1)),
}
STRANGE_PARTS = {
    "cyclic": cyclic,
    "cyclic and wide": lambda: cyclic(1000),
    "shared": lambda: shared(60),
    "deep": lambda: deep(300),
    "a set": lambda: {1, 2},
    "a long text, often": lambda: ["x" * 10**6] * 10**4,
    "one tensor, often": lambda: [torch.ones(10**6)] * 10**4,
    "an object": lambda: torch.Size([3]).numel,
    "a type": lambda: torch.float32,
    "a device": lambda: torch.device("cpu"),
    "a complex number": lambda: 1j,
    "a long number": lambda: 10**5000,
    "a name that is a tuple": lambda: {(1, 2): 3},
}


@pytest.mark.parametrize("kind", [*STRANGE_TENSORS, *STRANGE_PARTS])
def test_what_no_checkpoint_holds_is_refused(kind, good, folder):
    part = (STRANGE_TENSORS | STRANGE_PARTS)[kind]()
    held = good | {"more": part, "state_dict": good["state_dict"]}
    try:
        path = written(folder / "x.ckpt", held, "0")
    except (pickle.PicklingError, AttributeError, TypeError):
        pytest.skip("cannot be written")
    assert "cannot be read" in refused(path)


@pytest.mark.parametrize("state", [None, [], "text", 3, {1: torch.ones(2)}, {"a": 1}, {}])
def test_a_state_that_is_none_is_refused(state, good, folder):
    path = written(folder / "x.ckpt", good | {"state_dict": state})
    for read in (load_trained, lambda path: release(path, folder / "out.ckpt")):
        if state != {} or read is load_trained:
            refused(path, read)
    assert not (folder / "out.ckpt").exists()


def test_a_pipe_a_device_and_a_sparse_file_are_refused(folder):
    os.mkfifo(folder / "pipe")
    assert "not a regular file" in refused(folder / "pipe")
    (folder / "zero").symlink_to("/dev/zero")
    assert "not a regular file" in refused(folder / "zero")
    with open(folder / "sparse", "wb") as file:
        file.truncate(400 * 10**9)
    assert "400,000,000,000 bytes long" in refused(folder / "sparse")
    (folder / "folder").mkdir()
    refused(folder / "folder")
    refused(folder / ("a" * 300))


def test_weights_that_are_not_the_models_are_refused(good, folder):
    def told(change):
        state = {name: change(value) for name, value in good["state_dict"].items()}
        path = written(folder / "x.ckpt", good | {"state_dict": state})
        message = refused(path, load_trained)
        assert "is of another model" in message
        return message

    assert "not finite" in told(lambda value: value * float("nan"))
    assert "torch.float64 of shape" in told(lambda value: value.double())
    assert "should be torch.float32 of shape" in told(lambda value: value[None])


@pytest.mark.parametrize(
    "option, value, message",
    [
        ("latent_dimensions", 10**9, "should be torch.float32 of shape"),
        ("latent_dimensions", 10**18, "another model"),
        ("latent_dimensions", 10**19, "63 bits"),
        (
            "encoder",
            {"class_path": "bench.networks.mlp.MLP", "init_args": {"widths": [1] * 5000}},
            "1000",
        ),
    ],
)
def test_a_model_of_any_size_is_not_built(option, value, message, good, folder):
    held = copy.deepcopy(good)
    held["bench"]["config"]["model"]["init_args"][option] = value
    path = written(folder / "x.ckpt", held)
    with limited(seconds=60, mebibytes=256), pytest.raises(InputError, match=message):
        load_trained(path)


def test_a_model_of_ten_million_layers_is_not_built(good, folder):
    held = copy.deepcopy(good)
    held["bench"]["config"]["model"] = {
        "class_path": "bench.models.realnvp.RealNVP",
        "init_args": {"couplings": 10**7},
    }
    assert "more parameters than" in refused(written(folder / "x.ckpt", held), load_trained)


def test_a_billion_threads_are_refused(good, folder):
    held = copy.deepcopy(good)
    held["bench"]["config"]["trainer"]["threads"] = 10**9
    with pytest.raises(InputError, match="trainer.threads"):
        load_trained(written(folder / "x.ckpt", held))


def test_a_checkpoint_of_use_to_no_one_is_not_gone_on_with(good, folder):
    """Comparing tensors with a description would raise, and not tell."""
    held = copy.deepcopy(good)
    held["bench"]["config"]["seed"] = torch.ones(2)
    for name in ("best.ckpt", "last.ckpt"):
        written(folder / name, held)
    whether, why = can_resume(str(folder), good["bench"])
    assert not whether and "cannot be read" in why


def with_pickle(path, pickled, other=b""):
    """Write a zip archive as PyTorch does, around a pickle of our own."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/data/0", other)
    return path


def test_names_that_python_would_hash_for_ever_are_refused(folder):
    path = with_pickle(folder / "x.ckpt", tuple_bomb())
    assert "tuple of more than" in refused(path)
    # Multiples of 2^61 − 1, which have one hash.
    numbers = [pickle.dumps(i * (2**61 - 1) << 61, 2)[2:-1] + b"K\x01" for i in range(1, 10**5)]
    path = with_pickle(folder / "x.ckpt", b"\x80\x02}(" + b"".join(numbers) + b"u.")
    assert "more than 64 bits" in refused(path)


def tuple_bomb():
    """Return a pickle of {((…), (…)): …}, 60 deep, which Python would hash for ever."""
    tuples = b"K\x01\x85q\x00" + b"".join(b"h%c\x86q%c" % (i, i + 1) for i in range(60))
    return b"\x80\x02}" + tuples + b"K\x01s."


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_data_pkl_in_capitals_is_refused(good, folder):
    """PyTorch's reader takes it for the first."""
    path = written(folder / "x.ckpt", good)
    with zipfile.ZipFile(path) as archive:
        (top,) = {name.partition("/")[0] for name in archive.namelist()}
    for name in (f"{top}/DATA.PKL", f"{top}/data.pkl", "other/data.pkl"):
        path = written(folder / "x.ckpt", good)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, tuple_bomb())
        assert "two parts of one name" in refused(path) or "no one folder" in refused(path)
    path = with_pickle(folder / "x.ckpt", b"\x80\x02}.")
    path.write_bytes(path.read_bytes().replace(b"data.pkl", b"DATA.PKL"))
    assert "with a data.pkl" in refused(path)


def test_an_archive_behind_an_older_format_is_refused(folder):
    """PyTorch reads the older one, by its first bytes, and Python the archive."""
    torch.save({}, folder / "old", _use_new_zipfile_serialization=False)
    archive = with_pickle(folder / "x.ckpt", b"\x80\x02}.").read_bytes()
    (folder / "x.ckpt").write_bytes((folder / "old").read_bytes() + archive)
    assert "no zip archive" in refused(folder / "x.ckpt")


def test_an_archive_whose_contents_stand_twice_is_read_as_it_was_checked(folder):
    """Python finds the table of contents before its end, PyTorch where that end says it is."""
    bad = with_pickle(folder / "x.ckpt", tuple_bomb()).read_bytes()
    fair = with_pickle(folder / "y.ckpt", b"\x80\x02}.").read_bytes()
    start = bad.index(b"PK\x01\x02")
    end = fair[:-6] + start.to_bytes(4, "little") + fair[-2:]
    (folder / "x.ckpt").write_bytes(bad[:-22] + end)
    refused(folder / "x.ckpt")


def test_a_long_sparse_archive_and_one_of_many_parts_are_refused(folder):
    path = with_pickle(folder / "x.ckpt", b"\x80\x02}.")
    with open(path, "r+b") as file:
        file.truncate(3 * 2**30)
    assert "bytes long, more than 536,870,912" in refused(path)
    path.write_bytes(b"PK\x03\x04" + (b"PK\x01\x02" + bytes(42)) * 40_000)
    assert "more than 30,000 parts" in refused(path)


def test_a_model_too_large_to_be_read_is_not_written(good, folder, monkeypatch):
    monkeypatch.setattr("bench.training.checkpoints.LONGEST_FILE", 1000)
    with pytest.raises(InputError, match="give it fewer parameters"):
        CheckedCheckpointIO().save_checkpoint(good, folder / "x.ckpt")
    assert not list(folder.iterdir())


def test_a_folder_in_a_checkpoints_place_is_told_before_training(good, folder):
    for name in ("last.ckpt", "best.ckpt"):
        (folder / name).mkdir()
        with pytest.raises(InputError, match=f"{name} is a folder; move it away"):
            can_resume(str(folder), good["bench"])
        (folder / name).rmdir()


def test_a_checkpoint_is_written_through_no_link(good, folder):
    (folder / "precious").write_text("precious")
    (folder / f"x.ckpt.{os.getpid()}.partial").symlink_to(folder / "precious")
    CheckedCheckpointIO().save_checkpoint(good, folder / "x.ckpt")
    assert (folder / "precious").read_text() == "precious"
    assert set(read_checkpoint(folder / "x.ckpt")) == set(good)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(good, folder):
    for name in ("data.pkl", "data/0"):
        with zipfile.ZipFile(folder / "x.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open(f"archive/{name}", "w") as entry:
                for _ in range(20):
                    entry.write(bytes(2**20))
        assert "longer than" in refused(folder / "x.ckpt")


def changed(held, rng):
    """Return a copy whose parts are the same but for one, which is strange, missing or renamed."""
    held = {name: copy.deepcopy(part) for name, part in held.items()}
    parent = held
    while True:
        names = list(parent) if isinstance(parent, dict) else range(len(parent))
        name = rng.choice(list(names))
        child = parent[name]
        if not isinstance(child, (dict, list)) or not child or rng.random() < 0.2:
            break
        parent = child
    kind = rng.random()
    if kind < 0.15 and isinstance(parent, dict):
        parent[rng.choice([str(name) + "x", 7, -1, "", "é"])] = parent.pop(name)
    elif kind < 0.25:
        del parent[name]
    else:
        parent[name] = some_part(rng)
    return held


def some_part(rng):
    plain = [None, True, 0, -1, 10**30, 1e400, float("nan"), "", "x\ny", "\x1b[31m", [], {}, b"x"]
    kinds = [*STRANGE_TENSORS.values(), *STRANGE_PARTS.values(), random_tensor, random_shape]
    make = rng.choice(kinds)
    if rng.random() < 0.3:
        return rng.choice(plain)
    return make(rng) if make in (random_tensor, random_shape) else make()


def random_tensor(rng):
    shape = [rng.choice([0, 1, 2, 16, 64]) for _ in range(rng.randrange(4))]
    dtypes = (torch.float32, torch.float64, torch.int64, torch.bool, torch.float8_e4m3fn)
    return torch.zeros(shape).to(rng.choice(dtypes))


def random_shape(rng):
    """Return a tensor that says it is another one than its numbers are."""
    base = torch.ones(rng.randrange(1, 100))
    return base.expand(rng.choice([1, 3, 10**9]), len(base)).T


def damaged_bytes(content, rng):
    """Return a file with something cut out, put in, packed or named twice."""
    kind = rng.randrange(5)
    place = rng.randrange(len(content))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + rng.randbytes(rng.randrange(1, 20)) + content[place + 4 :]
    if kind == 2:
        return content[place:] + content[:place]
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            if rng.random() < 0.15:
                data = rng.choice(
                    [b"", data[: len(data) // 2], rng.randbytes(len(data)), data * 50]
                )
            packed = zipfile.ZIP_DEFLATED if kind == 3 else zipfile.ZIP_STORED
            for _ in range(rng.choice([0, 1, 1, 1, 1, 1, 1, 1, 2])):
                target.writestr(entry.filename, data, packed)
    return out.getvalue()


@pytest.mark.filterwarnings("ignore")
def test_two_hundred_hostile_checkpoints_are_read_or_refused_each_in_a_line(
    good, folder, monkeypatch
):
    # What holds itself is looked through up to here: above, once up to the whole million.
    monkeypatch.setattr("bench.training.checkpoint_limits.MOST_PARTS", 10_000)
    rng, refusals, path = random.Random(26), 0, folder / "x.ckpt"
    whole = written(path, good).read_bytes()
    for number in range(200):
        if number % 2:
            path.write_bytes(damaged_bytes(whole, rng))
        else:
            held = changed(good, rng)
            try:
                check_content(held, 10**5)
                digest = content_hash(held)
            except (ValueError, RuntimeError):  # what cannot be hashed has no right hash
                digest = "0"
            try:
                written(path, held, digest)
            except (AttributeError, NotImplementedError, RuntimeError, TypeError):
                continue
        try:
            with limited(seconds=60, mebibytes=256):
                load_trained(path)
        except InputError as error:
            assert "\n" not in str(error)
            refusals += 1
        assert [p.name for p in folder.iterdir()] == ["x.ckpt"]
    assert refusals > 125


def test_seventy_five_hostile_configurations_in_whole_checkpoints(good, folder):
    rng, refusals, path = random.Random(28), 0, folder / "x.ckpt"
    values = [None, 0, -1, 1, 10**9, 10**30, 0.5, float("nan"), "", "x", "os.system"]
    values += [[], [0], [10**8], {}]
    for _ in range(75):
        held = copy.deepcopy(good)
        parent = held["bench"]["config"]
        while isinstance(child := parent[name := rng.choice(list(parent))], dict) and child:
            parent = child
        parent[name] = rng.choice(values)
        written(path, held)
        try:
            with limited(seconds=60, mebibytes=256):
                load_trained(path)
        except InputError as error:
            assert "\n" not in str(error)
            refusals += 1
    assert 35 < refusals < 75
