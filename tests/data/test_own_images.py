"""Images of the user's own: whatever file they come from, they are the same task, or refused in a line."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from bench.__main__ import main
from bench.configuration.data_options import section_of
from bench.configuration.files import named_task
from bench.configuration.job import Job
from bench.configuration.parsing import parse_run, validate
from bench.data.own_task import PLACES
from bench.data.places import PLACES as SAME
from bench.data.tasks import load_task, task_of
from bench.errors import InputError
from bench.records.key import key_of
from tests.limits import limited

GREY = np.random.default_rng(3).integers(0, 256, (60, 5, 4), dtype=np.uint8)
RGB = np.random.default_rng(4).integers(0, 256, (60, 5, 4, 3), dtype=np.uint8)
MODEL = ["--model", "uniform"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Each test has a folder of its own, and begins as a process that knows of no images."""
    monkeypatch.chdir(tmp_path)
    assert PLACES is SAME
    PLACES.clear()
    yield tmp_path
    PLACES.clear()


def save_folder(folder, images, suffix="png"):
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03}.{suffix}")


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def config_of(path, *more):
    return parse_run([f"--data.path={path}", "--data.name=mine", *MODEL, *more])


def task_at(path, *more):
    return load_task(task_of(config_of(path, *more)))


def test_the_same_images_are_one_task_from_whatever_file(elsewhere):
    save_folder(elsewhere / "images", GREY)
    np.save("a.npy", GREY[::-1].astype(np.int64))
    np.savez("b.npz", anything=GREY[:, None])
    np.savez_compressed("c.npz", np.asfortranarray(GREY))
    (elsewhere / "images-idx3-ubyte").write_bytes(idx(GREY))
    (elsewhere / "images.gz").write_bytes(gzip.compress(idx(GREY)))
    places = ["images", "a.npy", "b.npz", "c.npz", "images-idx3-ubyte", "images.gz"]
    configs = [config_of(place) for place in places]
    assert {key_of(config) for config in configs} == {key_of(configs[0])}
    assert "path" not in configs[0]["data"] and str(elsewhere) not in str(configs[0])
    data = task_at("images")
    assert (data.task.name, data.shape, data.task.levels) == ("mine-256", (1, 5, 4), 256)
    together = np.concatenate([data.train, data.validation, data.test])
    assert sorted(map(bytes, together)) == sorted(map(bytes, GREY.reshape(60, 20)))
    assert all(data.payload_sha256 == task_at(place).payload_sha256 for place in places)


def test_rgb_images_have_channels_first(elsewhere, capsys):
    save_folder(elsewhere / "images", RGB)
    np.save("last.npy", RGB)
    np.save("first.npy", RGB.transpose(0, 3, 1, 2))
    (elsewhere / "rgb.idx").write_bytes(idx(RGB))
    keys = {key_of(config_of(p)) for p in ("images", "last.npy", "first.npy", "rgb.idx")}
    assert len(keys) == 1
    assert capsys.readouterr().out.count("are read as (height, width, channels)") == 2
    data = task_at("images")
    assert data.shape == (3, 5, 4)
    assert {bytes(image) for image in data.test} <= {
        bytes(image.transpose(2, 0, 1).ravel()) for image in RGB
    }


def test_an_image_falls_into_the_same_split_whatever_is_beside_it():
    np.save("some.npy", GREY[:40])
    np.save("all.npy", np.concatenate([GREY, GREY[:5]]))
    some, whole = task_at("some.npy"), task_at("all.npy")
    for split in ("train", "validation", "test"):
        assert set(map(bytes, some.split(split))) <= set(map(bytes, whole.split(split)))
    many = np.random.default_rng(0).integers(0, 2, (4000, 5, 4), dtype=np.uint8)
    np.save("many.npy", many)
    data = task_at("many.npy", "--data.levels=2")
    shares = [len(data.split(split)) / 4000 for split in ("train", "validation", "test")]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)  # 4 standard errors


def test_given_splits_are_kept_and_their_duplicates_told(elsewhere, capsys):
    parts = {"train": GREY[:40], "valid": GREY[38:50], "test": GREY[49:]}
    np.savez("s.npz", **parts)
    for name, images in parts.items():
        save_folder(elsewhere / "splits" / name, images)
    data = task_at("s.npz")
    assert [len(data.train), len(data.validation), len(data.test)] == [40, 12, 11]
    assert set(map(bytes, data.test)) == set(map(bytes, GREY[49:].reshape(-1, 20)))
    assert key_of(config_of("splits")) == key_of(config_of("s.npz"))
    assert "3 of the 23 images of valid and test are also in a split" in capsys.readouterr().out


def test_levels_and_binarization_are_as_in_other_tasks():
    np.save("g.npy", GREY % 17)
    grey, binary = (task_at("g.npy", "--data.levels=17", *b) for b in ([], [BINARY("threshold")]))
    assert (grey.task.name, binary.task.name) == ("mine-17", "mine-binary")
    assert np.array_equal(binary.test, np.asarray(grey.test) > 8)
    static, dynamic = (
        task_at("g.npy", "--data.levels=17", BINARY(b)) for b in ("static", "dynamic")
    )
    assert static.test.equal(dynamic.test) and dynamic.intensities.equal(grey.train)
    without = task_at("g.npy", "--data.levels=17", "--data.leave_out_every=4")
    assert not set(without.train.unique().tolist()) & {4, 8, 12} and without.test.equal(grey.test)
    np.save("b.npy", GREY > 127)
    with pytest.raises(InputError, match="binarization: static of images of 2 levels"):
        config_of("b.npy", "--data.levels=2", BINARY("static"))
    with pytest.raises(InputError, match="data.leave_out_every: 16 leaves out none of 17"):
        config_of("g.npy", "--data.levels=17", "--data.leave_out_every=16")
    for name in ("levels", "leave_out_every"):
        with pytest.raises(InputError, match=f"data.{name}: '4' is not a whole number"):
            section_of({"path": "g.npy", "name": "mine", "levels": 17, name: "4"}, "data")


BINARY = "--data.binarization={}".format


def save(name, content):
    def make(folder):
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        elif isinstance(content, dict):
            np.savez(folder / name, **content)
        else:
            np.save(folder / name, content)
        return name

    return make


def folder_with(**images):
    """A folder of two good images, and others: Pillow's, or bytes."""

    def make(folder):
        save_folder(folder / "images", GREY[:2])
        for name, image in images.items():
            path = folder / "images" / name.replace("_", ".")
            if isinstance(image, bytes):
                path.write_bytes(image)
            else:
                image.save(path)
        return "images"

    return make


def made(mode, size=(4, 5)):
    return Image.new(mode, size)


def sixteen_bit_rgb():
    """A PNG that Pillow reads as 8-bit RGB without a word."""
    import zlib

    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", 4, 5, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + bytes(4 * 6) for _ in range(5)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def empty(folder):
    (folder / "images").mkdir()
    return "images"


def hidden_alone(folder):
    empty(folder)
    (folder / "images" / ".DS_Store").write_bytes(b"x")
    return "images"


def classes(folder):
    for name in ("cat", "dog"):
        save_folder(folder / "images" / name, GREY[:2])
    return "images"


def two_of_three(folder):
    save_folder(folder / "images" / "train", GREY)
    save_folder(folder / "images" / "test", GREY)
    return "images"


def a_split_of_one_image(folder):
    for name, images in {"train": GREY, "valid": GREY[:1], "test": GREY}.items():
        save_folder(folder / "images" / name, images)
    return "images"


def splits_of_two_kinds(folder):
    for name, images in {"train": GREY, "valid": GREY, "test": RGB}.items():
        save_folder(folder / "images" / name, images)
    return "images"


def negative_npy():
    """An .npy file whose header has a length that NumPy would take for "as many as there are"."""
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (-1, 5, 4)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + GREY.tobytes()


def cut(content):
    return content[: len(content) // 2]


PNG = b"\x89PNG\r\n\x1a\n"
REFUSED = {
    "nothing there": (lambda folder: "absent", "absent: No such file"),
    "empty folder": (empty, "images is empty"),
    "hidden files alone": (hidden_alone, "images is empty"),
    "damaged image": (folder_with(b_png=PNG + b"x"), "images/b.png cannot be read as an image"),
    "no image": (folder_with(b_png=b"text"), "b.png cannot be read as an image: it is neither"),
    "another file": (folder_with(notes_txt=b"text"), "images/notes.txt is no PNG or JPEG file"),
    "mixed sizes": (folder_with(b_png=made("L", (5, 5))), "images/b.png is 5 × 5, but 000.png is 4 × 5"),
    "mixed modes": (folder_with(b_png=made("RGB")), "images/b.png is RGB, but 000.png is grey"),
    "alpha": (folder_with(b_png=made("RGBA")), "images/b.png has an alpha channel"),
    "grey and alpha": (folder_with(b_png=made("LA")), "images/b.png has an alpha channel"),
    "palette": (folder_with(b_png=made("P")), "images/b.png has a palette"),
    "16 bits": (folder_with(b_png=made("I;16")), "images/b.png has 16 bits per pixel"),
    "16 bits RGB": (folder_with(b_png=sixteen_bit_rgb()), "images/b.png has 16 bits per pixel"),
    "CMYK": (folder_with(b_jpg=made("CMYK")), "images/b.jpg is in the colour mode CMYK"),
    "subfolders of classes": (classes, "images has the subfolder cat"),
    "a split too few": (two_of_three, "images has the subfolder test: it may have"),
    "a split too small": (a_split_of_one_image, "images: 1 images in valid; at least 2 are needed"),
    "splits of two kinds": (splits_of_two_kinds, "test/000.png is RGB, but .*train/000.png is grey"),
    "shares": (save("a.npy", GREY / 255), r"a.npy: its values are floats in \[0, 1\].*255 \* x"),
    "floats": (save("a.npy", GREY / 2), "a.npy: its values are floats; likelihoods are of integers"),
    "16-bit values": (save("a.npy", GREY.astype(np.uint16) * 9), "a.npy: values from 0 to 2295"),
    "negative values": (save("a.npy", GREY.astype(int) - 9), "a.npy: values from -9 to"),
    "objects": (save("a.npy", np.array([[[{}]]], object)), "a.npy: holds Python objects"),
    "four channels": (save("a.npy", np.zeros((9, 4, 5, 5), np.uint8)), "a.npy: images of 4 channels"),
    "one axis": (save("a.npy", GREY[0, 0]), r"a.npy: an array of shape \(4,\)"),
    "truncated": (lambda f: save("b.npy", cut((f / save("a.npy", GREY)(f)).read_bytes()))(f), "truncated"),
    "not .npy": (save("a.npy", b"text"), "a.npy cannot be read"),
    "not .npz": (save("a.npz", b"text"), "a.npz cannot be read"),
    "no splits": (save("a.npz", {"x_train": GREY, "y_train": GREY[:, 0, 0]}), "a.npz has the arrays x_t"),
    "splits of two sizes": (
        save("a.npz", {"train": GREY, "valid": GREY, "test": GREY[:, 1:]}),
        r"a.npz: images of \(1, 4, 4\).* in test, but of \(1, 5, 4\)",
    ),
    "a negative length": (save("a.npy", negative_npy()), r"a.npy: an array of shape \(-1, 5, 4\)"),
    "IDX start": (save("a.idx", idx(GREY)[:3]), "a.idx cannot be read: it has 0 axes"),
    "IDX labels": (save("a.gz", gzip.compress(idx(GREY[:, 0, 0]))), "a.gz cannot be read: it has 1 axes"),
    "IDX cut": (save("a.idx", cut(idx(GREY))), "a.idx cannot be read: its payload is only"),
    "another kind": (save("a.bin", b"text"), "a.bin is neither a folder, nor"),
    "too few": (save("a.npy", GREY[:3]), "a.npy: . of its images fall into the .* split"),
    "ambiguous": (save("a.npy", np.zeros((9, 3, 5, 3), np.uint8)), "a.npy: .*ambiguous"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_modelled_is_refused_in_a_line_with_its_file(case, elsewhere, capsys):
    make, words = REFUSED[case]
    place = make(elsewhere)
    with limited(seconds=30):
        assert main(["train", f"--data.path={place}", "--data.name=mine", *MODEL]) == 2
    [line] = capsys.readouterr().err.splitlines()
    with pytest.raises(InputError, match=words):
        raise InputError(line)
    assert not PLACES


def test_what_does_not_fit_in_memory_is_refused_by_its_header(elsewhere, monkeypatch):
    with open("a.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 100, 100)}
        )
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write("a.npy", "train.npy")
    (elsewhere / "a.idx").write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**12, 2**12))
    for place in ("a.npy", "a.npz", "a.idx"):
        with limited(seconds=5, mebibytes=100):
            with pytest.raises(
                InputError, match=r"a\.\w+.* take .* GiB, .* GiB of memory are free"
            ):
                config_of(place)
    save_folder(elsewhere / "images", GREY)
    monkeypatch.setattr("bench.data.pixels.usable_memory", lambda: 1e-6)
    with pytest.raises(InputError, match="images: 60 images of .* take 1.12e-06 GiB"):
        config_of("images")


def test_values_above_the_levels_are_named_with_their_file(elsewhere):
    save_folder(
        elsewhere / "images", [*GREY[:30] % 8, np.full((5, 4), 9, np.uint8)] + list(GREY % 3)
    )
    with pytest.raises(InputError, match="images/030.png has the value 9 on levels 0 … 7"):
        config_of("images", "--data.levels=8")
    save_folder(elsewhere / "black", np.where(GREY > 127, 255, 0).astype(np.uint8))
    with pytest.raises(InputError, match="value 255 on levels 0 … 1; .*binarization threshold"):
        config_of("black", "--data.levels=2")
    (elsewhere / "bits").mkdir()
    for number, image in enumerate(GREY > 127):
        Image.fromarray(image).save(elsewhere / "bits" / f"{number}.png")
    with pytest.raises(InputError, match="bits/0.png has one bit per pixel; give --data.levels 2"):
        config_of("bits")
    assert set(task_at("bits", "--data.levels=2").train.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    "name", ["mnist", "digits", "fashion", "cifar10", "digits-17", "a_b", "", "ä", "-"]
)
def test_a_name_is_the_users_own(name):
    np.save("a.npy", GREY)
    with pytest.raises(InputError, match="data.name: "):
        parse_run(["--data.path=a.npy", f"--data.name={name}", *MODEL])


def test_own_images_and_a_dataset_do_not_mix():
    np.save("a.npy", GREY)
    with pytest.raises(
        InputError, match="data.path: is for images of your own, and digits is a dataset"
    ):
        parse_run(["--data", "digits-17", "--data.path=a.npy", "--data.name=mine", *MODEL])
    with pytest.raises(InputError, match="data: no images; give --data NAME"):
        parse_run(MODEL)
    with pytest.raises(InputError, match="data.levels: 1000 is not"):
        config_of("a.npy", "--data.levels=1000")


def test_a_yaml_file_of_the_users_names_a_place_beside_it(elsewhere, capsys):
    (elsewhere / "there").mkdir()
    np.save("there/a.npy", GREY)
    file = elsewhere / "there" / "mine.yaml"
    file.write_text("path: a.npy\nname: mine\nbinarization: dynamic\n")
    config = parse_run(["--data", "there/mine.yaml", *MODEL])
    assert config == config_of("there/a.npy", "--data.binarization=dynamic")
    assert named_task("there/mine.yaml") == task_of(config)
    (elsewhere / "c.yaml").write_text(
        "data: {path: there/a.npy, name: mine, binarization: dynamic}"
    )
    assert parse_run(["--config", "c.yaml", *MODEL]) == config
    (elsewhere / "s.yaml").write_text(f"matrix: {{data: [{file}], model: [linear_gaussian]}}")
    assert main(["sweep", "s.yaml", "--dry-run"]) == 0
    assert "mine-dynamic" in capsys.readouterr().out
    file.write_text("path: a.npy\nnam: mine\n")
    with pytest.raises(InputError, match="describes no task: 'nam' is not an option"):
        named_task("there/mine.yaml")


def test_a_record_says_which_images_it_needs_and_a_worker_is_told_where_they_lie(elsewhere):
    np.save("a.npy", GREY)
    config = config_of("a.npy")
    job = Job(config, "m", "s", "", "disabled")
    assert job.images == str(elsewhere / "a.npy")
    PLACES.clear()
    load_task.cache_clear()
    assert validate(config) == config
    needed = f"needs the images mine with SHA-256 {config['data']['pixels_sha256']}"
    with pytest.raises(InputError, match=f"{needed}: give their place by --data.path$"):
        load_task(task_of(config))
    job.load_outside()
    assert len(load_task(task_of(config)).train) > 30
    np.save("a.npy", GREY[1:])
    load_task.cache_clear()
    with pytest.raises(InputError, match="a.npy has changed: its pixels have SHA-256"):
        load_task(task_of(config))
    with pytest.raises(InputError, match="its pixels have SHA-256 .* and .* is needed"):
        config_of("a.npy", f"--data.pixels_sha256={config['data']['pixels_sha256']}")
