"""Words of the command line that no file system takes, and that no command should get to see."""

import os
import random
from importlib import import_module
from inspect import signature
from typing import get_args, get_origin

import pytest

from bench.__main__ import COMMANDS, main
from bench.commands.places import KINDS
from bench.configuration.parsing import parse_run
from bench.errors import InputError
from bench.settings import TrainerConfig
from bench.system.yaml_text import read_yaml
from bench.tracking.wandb_settings import logged_in
from tests.limits import limited

TRAIN = ["train", "--data", "digits-binary", "--model", "bernoulli_vae", "--wandb", "disabled"]
LONG_NAME, LONG_PATH = "a" * 300, "/".join(["a" * 100] * 50)
# No word at all, and none that is a path.
NO_TEXT = ["", "x\ny", "\x1b[2J", "\udcff", "\udce9t\udce9", "a\0b", "\u2028", "\x7f", "[" * 50_000]
NO_PATH = [LONG_NAME, LONG_PATH, f"r/{LONG_NAME}/r", "é" * 150]
NO_FOLDER = ["file", "file/x", "file/x/y", "pipe", "/dev/null", "loop/x"]
NO_FILE = ["folder", ".", "..", "/", "file/x", "pipe", "/dev/null", "new/", "a" * 230]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine\n")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


def refused(words, folder, capsys):
    """Assert that a command ends at once with one line, and that nothing was made or changed."""
    before = sorted(os.listdir(folder))
    with limited(seconds=60, mebibytes=400):
        code = main(words)
    error = capsys.readouterr().err.strip()
    assert code == 2 and error.startswith("bench: error: ") and error.isprintable(), (words, error)
    assert sorted(os.listdir(folder)) == before and (folder / "file").read_text() == "mine\n"
    return error


def texts_of(command):
    """Return {option: whether it is a list} of a command's options that are texts."""
    module = import_module(f"bench.commands.{COMMANDS[command][0]}")
    kinds = {
        n: p.annotation for n, p in signature(getattr(module, f"run_{command}")).parameters.items()
    }
    return {
        name: get_origin(kind) is list
        for name, kind in kinds.items()
        if str in (kind, *get_args(kind))
    }


OPTIONS = [(c, *o) for c in COMMANDS if c != "train" for o in texts_of(c).items()]


def words_of(command, option, is_list, value, equals):
    value = f'["{value}"]' if is_list and value else value
    needed = {
        "verify": "table",
        "cite": "key",
        "export": "key",
        "evaluate": "checkpoint",
        "release": "checkpoint",
    }
    first = needed.get(command)
    action = {"leaderboard": ["add"]}.get(command, [])
    words = [command, *action] if first in (None, option) else [command, "x.csv"]
    return [*words, f"--{option}={value}"] if equals else [*words, f"--{option}", value]


@pytest.mark.parametrize("command, option, is_list", OPTIONS, ids=lambda value: str(value))
def test_empty_words_and_control_characters_are_refused_by_every_option(
    command, option, is_list, folder, capsys
):
    for value in ("", "\x1b[31m"):
        error = refused(words_of(command, option, is_list, value, True), folder, capsys)
        assert option in error or value


@pytest.mark.parametrize(
    "words, message",
    [
        (["verify", ""], "table: is empty"),
        (["verify", "."], "is a folder"),
        (["verify", "runs.csv", "--row", ""], "row: is empty; leave it out"),
        (["sweep", "", "--results", "r"], "name: is empty"),
        (["report", "--results", "x\udcff"], "bytes that are not UTF-8"),
        (["report", LONG_NAME], "sweep: a name in it is longer than 215 bytes"),
        (["claims", LONG_NAME], "name: a name in it is longer"),
        (["sweep", "--storage", "file/x"], "file is not a folder"),
        (["report", "--readme", "nowhere.md"], "readme: nowhere.md cannot be read: No such file"),
        (
            ["evaluate", "x.ckpt", "--output", "folder"],
            "folder is a folder; name the file to write",
        ),
        (["evaluate", "x.ckpt", "--output", "file/x"], "file is not a folder"),
        (["evaluate", "file", "--output", "file"], "is the checkpoint, which it would replace"),
        (["release", "x.ckpt", "--output", "/dev/null"], "not a regular file"),
        ([*TRAIN, "--output", "file/x"], "output: "),
        ([*TRAIN, "--output", ""], "output: is empty"),
        ([*TRAIN, "--output", "x\ny"], "control characters"),
        ([*TRAIN, "--seed", "[" * 50_000], "brackets"),
        (["train", "--config", "pipe"], "not a regular file"),
        (["train", "--config", "/dev/zero"], "not a regular file"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_words_that_no_command_can_use(words, message, folder, capsys):
    assert message in refused(words, folder, capsys)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "x\ny", "", "a b"])
def test_names_do_not_leave_their_folders(name, folder, capsys):
    refused(["sweep", name, "--results", "r"], folder, capsys)


def test_a_folder_that_cannot_be_written_to_is_told_before_the_work(folder, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    error = refused(["evaluate", "x.ckpt", "--output", "new.json"], folder, capsys)
    assert "output: new.json cannot be written: no permission" in error


def hostile_value(option, rng):
    """Return a value that the option cannot have."""
    kind = KINDS.get(option)
    values = list(NO_TEXT)
    if kind is not None:
        values += NO_PATH
        name = kind.__name__
        values += NO_FOLDER if "folder" in name else NO_FILE if "write" in name else []
    value = rng.choice(values)
    if rng.random() < 0.3 and value and not value.startswith(("/", ".", "[")):
        value = rng.choice(["new/", "./", "new/new/"]) + value if value in NO_TEXT else value
    return value


def test_three_hundred_hostile_words_are_refused_each_in_a_line(folder, capsys):
    rng = random.Random(29)
    for _ in range(300):
        command, option, is_list = rng.choice(OPTIONS)
        value = hostile_value(option, rng)
        refused(words_of(command, option, is_list, value, rng.random() < 0.5), folder, capsys)


def yaml_text(rng):
    """Return YAML that stands for too much, never ends, or is no configuration."""
    levels = rng.randrange(8, 40)
    laughs = "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(levels))
    merges = "".join(f"b{i + 1}: &b{i + 1} {{<<: [*b{i}, *b{i}]}}\n" for i in range(levels + 10))
    return rng.choice(
        [
            f"a0: &a0 [x]\n{laughs}",
            f"b0: &b0 {{x: 1}}\n{merges}",
            "a: &a [*a]",
            "&a {a: *a}",
            rng.choice("[{") * rng.randrange(60, 5000),
            "- " * rng.randrange(60, 900) + "x",
            f"seed: [{'1, ' * rng.randrange(1000, 3000)}]",
            "model: {class_path: os.system}",
            "seed: 2001-99-99",
            "seed: !!int ''",
            "seed: !!binary x",
            "? [a, b]\n: c",
            f"seed: {'9' * rng.randrange(20, 6000)}",
            "\0",
            "\ud800",
        ]
    )


def test_a_hundred_texts_of_yaml_are_read_or_refused_each_in_a_line(folder):
    rng, refusals, path = random.Random(30), 0, folder / "x.yaml"
    for number in range(100):
        text = yaml_text(rng)
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        words = [f"--config={path}"] if number % 2 else [f"--model.decoder={text}"]
        try:
            with limited(seconds=60, mebibytes=256):
                parse_run(["--data", "digits-17", "--model", "gaussian_vae", *words])
        except InputError as error:
            assert str(error).isprintable()
            refusals += 1
    assert refusals > 80


def test_a_configuration_is_a_regular_file_of_a_sensible_length(folder):
    with open(folder / "sparse.yaml", "wb") as file:
        file.truncate(20 * 2**30)
    with limited(seconds=60), pytest.raises(InputError, match="longer than"):
        read_yaml(folder / "sparse.yaml")


def test_a_class_outside_is_named_before_it_is_imported(folder):
    before = set(os.listdir(folder))
    for words in (
        ["--model.decoder", "os.system"],
        ["--model.prior", '{"class_path": "subprocess.Popen"}'],
        ["--model.encoder", "tests.test_hostile_checkpoints.Bomb"],
    ):
        with pytest.raises(InputError, match="outside bench"):
            parse_run(["--data", "digits-17", "--model", "gaussian_vae", *words])
    assert set(os.listdir(folder)) == before


def test_more_threads_than_any_machine_has_are_refused():
    with pytest.raises(InputError, match="trainer.threads: 1000000000 is more than 1024"):
        TrainerConfig(threads=10**9)


@pytest.mark.parametrize("address", ["http://[bad", "bad", "http://", "http://[::1"])
def test_an_address_of_wandb_that_is_none_is_refused(address, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", address)
    with pytest.raises(InputError, match="WANDB_BASE_URL: .* is not an address"):
        logged_in()


def test_a_netrc_that_is_no_text_is_no_login(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    (tmp_path / "netrc").write_bytes(b"machine \xff\xfe")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not logged_in()
