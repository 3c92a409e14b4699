"""Messages in words, where a parser names Python's types or the system a number."""

import re

CHOICES = re.compile(r"Expected a typing\.Literal\[(.*?)\]\. Got value: (.*)", re.DOTALL)
OR_NOTHING = re.compile(r"Does not validate .*?Expected an? (\w+).* Given value: (.*)", re.DOTALL)
OF_A_TYPE = re.compile(r"Expected an? (int|float|bool)\. Got value: (.*)", re.DOTALL)
ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")
REQUIRED = re.compile(r"(the following arguments are required: )(.*)")
KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def in_plain_words(line: str) -> str:
    """Return a line about a wrong value so that it says what is allowed; any other as it is.

    The number of an operating system's error is left out: its words say the same. Missing options are
    named as they are typed; a name in capitals is that of a value without a name.
    """
    line = ERROR_NUMBER.sub("", line)
    if found := REQUIRED.search(line):
        names = [name if name.isupper() else f"--{name}" for name in found[2].split(", ")]
        return line[: found.start()] + found[1] + ", ".join(names).replace("_", "-")
    if found := CHOICES.search(line):
        said = f"'{found[2]}' is unknown; known: {found[1].replace(chr(39), '')}"
    elif (found := OR_NOTHING.search(line) or OF_A_TYPE.search(line)) and found[1] in KINDS:
        said = f"'{found[2]}' is not {KINDS[found[1]]}"
    else:
        return line
    return line[: found.start()] + said
