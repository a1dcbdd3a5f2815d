"""Errors that the user can mend, and warnings, each in one line."""

import sys


class UserError(ValueError):
    """An error that the user can mend; its message is one line that says how."""


def warn(message: Warning | str, *_: object) -> None:
    """Prints a warning in one line on standard error, as `warnings.showwarning` may."""
    print("warning:", " ".join(str(message).split()), file=sys.stderr)
