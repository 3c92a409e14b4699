"""Calls of a command's function with the options of the command line."""

import json
import re
from collections.abc import Callable
from inspect import signature
from itertools import takewhile
from typing import get_origin

from bench.commands.places import check_option
from bench.commands.plain import REQUIRED
from bench.errors import InputError
from bench.system.printing import say
from bench.system.yaml_text import check_nesting


def call(function: Callable[..., int], name: str, arguments: list[str]) -> int:
    """Call ``function`` with options: its signature parses them, its docstring explains them.

    Words before the first option are the value, or the values, of its first parameter. With --help
    the help is printed and nothing is called.

    Raises:
        InputError: An unknown option, or a value that the option does not accept.
    """
    if {"-h", "--help"} & set(arguments):
        from bench.commands.help import help_text

        for line in help_text(function, name).splitlines():
            say(line)
        return 0
    import jsonargparse

    from bench.configuration.canonical import one_line

    parser = jsonargparse.ArgumentParser(
        prog=f"bench {name}", exit_on_error=False, allow_abbrev=False, add_help=False
    )
    parser.add_function_arguments(function)
    leading = list(takewhile(lambda word: not word.startswith("-"), arguments))
    if leading:
        first = next(iter(signature(function).parameters.values()))
        taken = leading if get_origin(first.annotation) is list else leading[:1]
        value = json.dumps(taken) if taken is leading else taken[0]
        arguments = [f"--{first.name}={value}", *arguments[len(taken) :]]
    words = as_parameters(arguments, function)
    for name, part in signature(function).parameters.items():
        if get_origin(part.annotation) is list:
            words, values = taken_out(words, name)
            words += [f"--{name}={json.dumps(values)}"] if values else []
    check_no_value_is_empty(words)
    check_nesting(words)
    try:
        options = parser.parse_args(words).as_dict()
    except (jsonargparse.ArgumentError, RecursionError, TypeError, ValueError) as error:
        raise InputError(with_leading(one_line(error), function)) from None
    for option, value in options.items():
        if value != signature(function).parameters[option].default:
            check_option(option, value)
    return function(**options)


def with_leading(line: str, function: Callable[..., int]) -> str:
    """Return a parser's line with the first parameter, if it is missing, in capitals as in the help."""
    first = next(iter(signature(function).parameters))
    capital = lambda found: found[1] + re.sub(rf"^{first}\b", first.upper(), found[2])
    return REQUIRED.sub(capital, line)


def taken_out(words: list[str], name: str) -> tuple[list[str], list[str]]:
    """Return the words without an option that may be given several times, and its values.

    A list in brackets stays, for the parser.
    """
    rest: list[str] = []
    values: list[str] = []
    left = iter(words)
    for word in left:
        option, equals, value = word.partition("=")
        if option != f"--{name}":
            rest.append(word)
            continue
        value = value if equals else next(left, "")
        if value.startswith("["):
            rest.append(f"{option}={value}")
        elif not value or value.startswith("--"):
            raise InputError(f"{name}: is empty; leave it out, or give it a value")
        else:
            values.append(value)
    return rest, values


def check_no_value_is_empty(words: list[str]) -> None:
    """Raise InputError if a value is empty, as that of an unset variable in a script is."""
    for word, following in zip(words, [*words[1:], None]):
        option, equals, value = word.partition("=")
        if option.startswith("--") and value == "" and (equals or following == ""):
            raise InputError(f"{option[2:]}: is empty; leave it out, or give it a value")


def as_parameters(arguments: list[str], function: Callable[..., int]) -> list[str]:
    """Return the options under the names of the parameters: ``--dry-run`` as ``--dry_run=true``.

    ``--data.path`` is spelt in all commands as in ``bench train``.
    """
    kinds = {name: part.annotation for name, part in signature(function).parameters.items()}
    words = []
    for position, word in enumerate(arguments):
        if word.startswith("--"):
            option, equals, value = word[2:].partition("=")
            option = option.replace("-", "_").replace(".", "_")
            following = arguments[position + 1 : position + 2]
            is_bare = not equals and (not following or following[0].startswith("--"))
            word = f"--{option}{equals}{value}"
            if kinds.get(option) is bool and is_bare:
                word += "=true"
        words.append(word)
    return words
