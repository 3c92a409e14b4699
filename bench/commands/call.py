"""From a command's options to a call of its function."""

import json
from collections.abc import Callable
from inspect import signature
from itertools import takewhile
from typing import get_origin

from bench.commands.places import check_option
from bench.errors import InputError
from bench.system.yaml_text import check_nesting


def call(function: Callable[..., int], name: str, arguments: list[str]) -> int:
    """Call ``function`` with options parsed by its signature and explained by its docstring.

    Words before the first option are the value, or the values, of its first parameter.
    """
    import jsonargparse

    from bench.configuration.parsing import one_line

    parser = jsonargparse.ArgumentParser(
        prog=f"bench {name}", exit_on_error=False, allow_abbrev=False
    )
    parser.add_function_arguments(function)
    leading = list(takewhile(lambda word: not word.startswith("-"), arguments))
    if leading:
        first = next(iter(signature(function).parameters.values()))
        taken = leading if get_origin(first.annotation) is list else leading[:1]
        value = json.dumps(taken) if taken is leading else taken[0]
        arguments = [f"--{first.name}={value}", *arguments[len(taken) :]]
    words = in_python(arguments, function)
    check_none_is_empty(words)
    check_nesting(words)
    try:
        options = parser.parse_args(words).as_dict()
    except (jsonargparse.ArgumentError, RecursionError, TypeError, ValueError) as error:
        raise InputError(one_line(error)) from None
    for option, value in options.items():
        if value != signature(function).parameters[option].default:
            check_option(option, value)
    return function(**options)


def check_none_is_empty(words: list[str]) -> None:
    """Refuse empty values: in a script they are a variable that is not set, and mean nothing."""
    for word, following in zip(words, [*words[1:], None]):
        option, equals, value = word.partition("=")
        if option.startswith("--") and value == "" and (equals or following == ""):
            raise InputError(f"{option[2:]}: is empty; leave it out, or give it a value")


def in_python(arguments: list[str], function: Callable[..., int]) -> list[str]:
    """Write ``--dry-run`` as ``--dry_run=true``: options are parameters, and a switch is on."""
    kinds = {name: part.annotation for name, part in signature(function).parameters.items()}
    words = []
    for position, word in enumerate(arguments):
        if word.startswith("--"):
            option, equals, value = word[2:].partition("=")
            option = option.replace("-", "_")
            following = arguments[position + 1 : position + 2]
            is_bare = not equals and (not following or following[0].startswith("--"))
            word = f"--{option}{equals}{value}"
            if kinds.get(option) is bool and is_bare:
                word += "=true"
        words.append(word)
    return words
