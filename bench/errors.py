"""The one error that a user can cause."""


class InputError(ValueError):
    """Something the user gave is wrong: one line that says what, where, and what would be right.

    The command line prints it without a traceback and exits with code 2. Anything else that is
    raised is a bug and keeps its traceback.
    """
