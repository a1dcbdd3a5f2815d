"""A mistake of the user's, and how a command reports it."""

import sys
from collections.abc import Callable, Sequence

from absl import app


class UserError(ValueError):
    """Something the user can mend; the message is one line that says what."""


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a command's `main` under absl; a UserError is one line and status 2."""

    def guarded(argv: Sequence[str]) -> None:
        try:
            if len(argv) > 1:
                raise UserError(f"unexpected argument {argv[1]!r}: flags are --name=value")
            main(argv)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    app.run(guarded)
