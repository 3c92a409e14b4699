"""The error that invalid input raises."""

LONGEST_MESSAGE = 1000


class InputError(ValueError):
    """Invalid input. One line says what is wrong, where, and what is valid instead.

    The command line prints the line without a traceback and exits with code 2. Every other
    exception is a bug and keeps its traceback. The message may quote the input: line breaks in it
    become spaces, and control characters, which a terminal would obey, are written as \\x….
    """

    def __init__(self, message: str):
        line = escaped("".join(" " if letter.isspace() else letter for letter in message))
        if len(line) > LONGEST_MESSAGE:
            line = line[: LONGEST_MESSAGE - 1] + "…"
        super().__init__(line)


def escaped(text: str) -> str:
    """Return text whose unprintable characters, such as line breaks, are written as \\x…."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason_of(error: Exception, longest: int = 200) -> str:
    """Return an exception's message in one line, or its type where it has none."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror  # without the number of an open file
    # PyTorch's advice is to run what the file holds.
    if "`weights_only` set to `False`" in text:
        text = "it holds other objects than tensors and plain data"
    return text[:longest] or type(error).__name__
