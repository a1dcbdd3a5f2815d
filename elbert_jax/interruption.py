"""Ctrl-C and SIGTERM that are not lost.

A signal's KeyboardInterrupt comes up wherever Python is just then, and Python drops it
in a `__del__` or in a callback of the garbage collector, of which JAX has one. So a
signal is remembered as well, and a long job asks after each of its parts.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

_asked = False
_waits = False


def listen() -> None:
    """Has SIGINT and SIGTERM raise KeyboardInterrupt, from now on in this process."""
    global _asked
    _asked = False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def asked() -> bool:
    """Returns whether a signal has asked this process to stop."""
    return _asked


def check() -> None:
    """Raises KeyboardInterrupt if a signal has asked for it."""
    if _asked:
        raise KeyboardInterrupt


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """In here the first signal is remembered and no more: the job asks when it can."""
    global _waits
    _waits = True
    try:
        yield
    finally:
        _waits = False


def _stop(number: int, frame: Any) -> None:
    global _asked
    again, _asked = _asked, True
    if again or not _waits:
        raise KeyboardInterrupt
    with contextlib.suppress(OSError):  # no print, which may be what was interrupted
        os.write(2, b"\nstopping when it is safe; a second signal stops at once\n")
