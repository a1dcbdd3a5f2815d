"""Errors that the user can mend, and warnings, each in one line."""

import sys


class UserError(ValueError):
    """An error that the user can mend; its message is one line that says how."""


def reason(error: Exception) -> str:
    """Returns what an error says in one line, without the path of an OSError."""
    strerror = getattr(error, "strerror", None)
    return strerror or (str(error).splitlines() or [type(error).__name__])[0]


def warn(message: Warning | str, *_: object) -> None:
    """Prints a warning in one line on standard error, as `warnings.showwarning` may."""
    print("warning:", " ".join(str(message).split()), file=sys.stderr)
