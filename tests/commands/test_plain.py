"""Wrong values of options: the line says what is allowed, in words."""

import pytest

from bench.__main__ import main
from bench.commands.plain import in_plain_words


@pytest.mark.parametrize(
    "words, line",
    [
        (["data", "nosuch"], "names: 'nosuch' is unknown; known: mnist, fashion_mnist, cifar10"),
        (["sweep", "--wandb", "no"], "wandb: 'no' is unknown; known: auto, offline, online"),
        (["sweep", "--workers", "many"], "workers: 'many' is not a whole number"),
        (["evaluate"], "the following arguments are required: CHECKPOINT"),
        (["score"], "the following arguments are required: MODEL, --data"),
        (["train", "--data", "digits-17"], "the following arguments are required: --model"),
        (["evaluate", "no.ckpt"], "checkpoint: no.ckpt cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_value_is_answered_in_words(words, line, capsys):
    assert main(words) == 2
    assert f"bench: error: {line}" in capsys.readouterr().err


def test_other_lines_stay():
    assert in_plain_words("cite: no row matches 'Expected'") == "cite: no row matches 'Expected'"
