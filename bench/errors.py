"""The one error that a user can cause."""

LONGEST = 1000


class InputError(ValueError):
    """Something the user gave is wrong: one line that says what, where, and what would be right.

    The command line prints it without a traceback and exits with code 2. Anything else that is
    raised is a bug and keeps its traceback. A message may quote what was given, so whatever would
    break the line becomes a space, and whatever would steer a terminal is written as \\x….
    """

    def __init__(self, message: str):
        line = escaped("".join(" " if letter.isspace() else letter for letter in message))
        super().__init__(line if len(line) <= LONGEST else line[: LONGEST - 1] + "…")


def escaped(text: str) -> str:
    """Return text with control characters, line breaks and the like written as \\x…."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
