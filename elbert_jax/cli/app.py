"""Runs a command: flags, one-line error messages, exit status."""

import sys
import warnings
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from elbert_jax import interruption
from elbert_jax.errors import UserError, warn


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Runs a command's `main` under absl.

    Exit status: 2 for a UserError or a wrong flag, with one line on standard error;
    130 after SIGINT or SIGTERM; 141 if the reader of standard output is gone.
    """

    def parse(argv: Sequence[str]) -> Sequence[str]:
        try:
            rest = flags.FLAGS(argv)
        # A configuration file, or a value for one of its keys, may raise any kind.
        except Exception as error:
            _stop(_missing_key(error) or f"{error} (--help lists the flags)")
        if flags.FLAGS["verbosity"].using_default_value:
            flags.FLAGS.verbosity = logging.WARNING  # libraries log at INFO
        if len(rest) > 1:
            _stop(f"unexpected argument {rest[1]!r}: flags are written --name=value")
        return rest

    def guarded(argv: Sequence[str]) -> None:
        warnings.showwarning = warn
        interruption.listen()
        try:
            main(argv)
        except UserError as error:
            _stop(str(error))
        except AttributeError as error:  # perhaps of another command's configuration
            if not (told := _missing_key(error)):
                raise
            _stop(told)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:  # the reader of standard output is gone, as `head`
            sys.stderr.close()
            sys.exit(141)

    app.run(guarded, flags_parser=parse)


def _missing_key(error: Exception) -> str | None:
    """Returns a message for a missing configuration key; None for other errors."""
    for missing in (error, *error.args):  # a nested key's is an AttributeError
        if isinstance(missing, KeyError):
            return f"the configuration has no key {' '.join(map(str, missing.args))}"
    return None


def _stop(message: str) -> None:
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
