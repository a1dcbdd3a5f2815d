"""Runs the parts of a benchmark one after the other."""

import time
import traceback
from collections.abc import Sequence

from elbert_jax import interruption
from elbert_jax.benchmarking.bench import Bench
from elbert_jax.benchmarking.parts import PARTS
from elbert_jax.benchmarking.peers import PEERS
from elbert_jax.benchmarking.record import Record
from elbert_jax.benchmarking.suite import Suite
from elbert_jax.errors import UserError


def choose(parts: Sequence[str] | None, suite: Suite) -> Sequence[str]:
    """Returns the parts to run; None chooses all that the suite has texts for.

    Raises:
      UserError: there is no such part, or no such peer as the suite names.
    """
    for flag, names, known in ("parts", parts, PARTS), ("peers", suite.peers, PEERS):
        for name in names or ():
            if name not in known:
                raise UserError(f"--{flag}: no {name!r}; there are {', '.join(known)}")
    if parts is None:
        return [name for name in PARTS if name != "mixes" or suite.mixes]
    return parts


def run(bench: Bench, record: Record, parts: Sequence[str]) -> bool:
    """Measures the parts that the record lacks, and prints each.

    A part that fails does not stop the others. None begins when the suite's minutes
    are over.

    Returns:
      Whether the record now has all of them.
    """
    start = time.monotonic()
    for name in parts:
        begun = time.monotonic()
        if name in record:
            print(f"\n{name}, measured before")
        elif begun - start > 60 * bench.suite.minutes:
            print(f"\n{name}: not begun, {bench.suite.minutes:g} minutes are over")
            continue
        else:
            print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
            try:
                part = PARTS[name](bench)
            except UserError:
                raise
            except Exception as error:
                traceback.print_exc()
                record.fail(name, f"{type(error).__name__}: {error}".splitlines()[0])
                continue
            seconds = time.monotonic() - begun
            record.add(name, part, seconds=seconds, peak_flops=bench.peak)
        interruption.check()
        print(record.table(name), flush=True)
    return all(name in record for name in parts)
