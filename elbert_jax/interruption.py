"""Ctrl-C and SIGTERM that are not lost.

Python raises a signal's KeyboardInterrupt wherever it happens to be, and drops it
inside a `__del__` or a garbage collector callback, of which JAX has one. So the signal
is also remembered, and a long job checks for it between its parts.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

_asked = False
_deferred = False


def listen() -> None:
    """Makes SIGINT and SIGTERM raise KeyboardInterrupt in this process from now on."""
    global _asked
    _asked = False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def asked() -> bool:
    """Returns whether a signal has asked this process to stop."""
    return _asked


def check() -> None:
    """Raises KeyboardInterrupt if a signal has asked this process to stop."""
    if _asked:
        raise KeyboardInterrupt


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Defers the first signal: inside, it is only remembered, for `asked` to tell."""
    global _deferred
    _deferred = True
    try:
        yield
    finally:
        _deferred = False


def _stop(number: int, frame: Any) -> None:
    global _asked
    again, _asked = _asked, True
    if again or not _deferred:
        raise KeyboardInterrupt
    with contextlib.suppress(OSError):  # not print, which the signal may interrupt
        os.write(2, b"\nstopping when it is safe; a second signal stops at once\n")
