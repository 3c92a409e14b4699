"""The one error that a user can cause."""

LONGEST = 1000


class InputError(ValueError):
    """Something the user gave is wrong: one line that says what, where, and what would be right.

    The command line prints it without a traceback and exits with code 2. Anything else that is
    raised is a bug and keeps its traceback. A message may quote what was given, so whatever would
    break the line, or colour a terminal, becomes a space.
    """

    def __init__(self, message: str):
        line = "".join(letter if letter.isprintable() else " " for letter in message)
        super().__init__(line if len(line) <= LONGEST else line[: LONGEST - 1] + "…")
