"""A mistake of the user's, in one line that says what to mend."""

import sys


class UserError(ValueError):
    """Something the user can mend; the message is one line that says what."""


def warn(message: Warning | str, *_: object) -> None:
    """Tells the user, in one line on standard error, what is amiss but bearable."""
    print("warning:", " ".join(str(message).split()), file=sys.stderr)
