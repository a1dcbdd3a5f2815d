"""Which compiled operations a call spends its time in, by JAX's profiler."""

import pathlib
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax

_NUMBER = re.compile(r"([._]\d+)+$")  # XLA tells operations of a kind apart by it
_OTHER = re.compile("end: |Threadpool")  # events of a CPU that are no operations
_ON_CPU = "tf_XLA"  # begins the names of the threads that compute
_NAME = 60  # characters


def measure(call: Callable[[], Any], most: int) -> list[dict[str, Any]]:
    """Profiles a call, which should be warm.

    Args:
      call: returns when its work is done.
      most: rows wanted.

    Returns:
      Rows of the operations that took longest, `system` being the name: `calls`,
      `milliseconds`, and `share` of the call's own time; the last row sums up all. On a
      CPU several threads compute, so that shares may add up to more than 1.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            start = time.perf_counter()
            call()
            seconds = time.perf_counter() - start
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        profile: Any = jax.profiler.ProfileData.from_file(str(path))
        times, counts = Counter[str](), Counter[str]()
        for name, nanoseconds in _operations(profile):
            times[name] += nanoseconds
            counts[name] += 1
    rows = [*times.most_common(most), (f"all {len(times)}", sum(times.values()))]
    counts[rows[-1][0]] = sum(counts.values())
    return [
        {
            "system": name[:_NAME],
            "calls": counts[name],
            "milliseconds": nanoseconds / 1e6,
            "share": nanoseconds / 1e9 / seconds,
        }
        for name, nanoseconds in rows
    ]


def _operations(profile: Any) -> Iterator[tuple[str, int]]:
    """Yields names and nanoseconds of what holds no other operation."""
    planes = list(profile.planes)
    devices = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    for plane in devices or planes:
        for line in plane.lines:
            if line.name.startswith("Stream" if devices else _ON_CPU):
                real = (e for e in line.events if not _OTHER.match(e.name))
                events = sorted(real, key=lambda event: event.start_ns)
                starts = [event.start_ns for event in events[1:]] + [float("inf")]
                for event, following in zip(events, starts):
                    if 0 < event.duration_ns <= following - event.start_ns:
                        yield _NUMBER.sub("", event.name), int(event.duration_ns)
