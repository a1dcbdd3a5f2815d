"""Ctrl-C and SIGTERM that are not lost.

A signal's KeyboardInterrupt comes up wherever Python is just then, and Python drops it
in a `__del__` or in a callback of the garbage collector, of which JAX has one. So a
signal is remembered as well, and a long job asks after each of its parts.
"""

import signal
from typing import Any

_asked = False


def listen() -> None:
    """Has SIGINT and SIGTERM raise KeyboardInterrupt, from now on in this process."""
    global _asked
    _asked = False
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def check() -> None:
    """Raises KeyboardInterrupt if a signal has asked for it."""
    if _asked:
        raise KeyboardInterrupt


def _stop(number: int, frame: Any) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt
