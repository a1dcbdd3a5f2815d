"""How many tokens go through the layer together: laid down, or measured.

Letters: N slots, L tokens, K layer-steps to a turn of the loop.
"""

import contextlib
import dataclasses
import hashlib
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orjson

from elbert_jax import machine
from elbert_jax.data import batching
from elbert_jax.errors import UserError
from elbert_jax.exits import FixedDepth
from elbert_jax.inference import engine
from elbert_jax.inference.engine import Queue
from elbert_jax.model.albert import AlbertConfig, Params

_TEXTS_PER_SLOT = 16  # fewer, and the drain at the end would be long
_LENGTH = 32  # of the rows that are measured
_NEARLY_BEST, _FAIR = 0.97, 0.7  # of the best rate: for `tokens`, and for `few`
_REPEATS = 5


class Budget(NamedTuple):
    """How much a device takes at once."""

    tokens: int  # N x L
    few: int  # a batch of fewer is hardly faster: drains are not shortened beyond it
    unroll: int = 1  # K

    @classmethod
    def usual(cls, tokens: int) -> "Budget":
        """Returns the budget of so many tokens, unmeasured."""
        return cls(tokens, -(-tokens // 8))

    def slots(self, length: int, texts: int | None = None) -> int:
        """Returns N for rows of L tokens, of which there are so many (None: endless).

        At the end of a run slots stand empty, for longer the more there are: the fewer
        texts, the fewer slots, by powers of four, as every N compiles.
        """
        most = max(1, self.tokens // length)
        if texts is None:
            return most
        fewest = min(texts, -(-self.few // length))
        wanted = max(texts // _TEXTS_PER_SLOT, fewest, 1)
        return min(4 ** ((wanted.bit_length() - 1) // 2), most)


def choose(slots: int | str | None, params: Params, config: AlbertConfig) -> Budget:
    """Returns the budget for so many texts of 16 tokens.

    Args:
      slots: how many, or "auto": what `measured` finds; None: 64 on a CPU, else 2,048.
      params: the model's parameters.
      config: its shape.

    Raises:
      UserError: `slots` is none of these.
    """
    if slots == "auto":
        return measured(params, config)
    if slots is None:
        slots = 64 if jax.default_backend() == "cpu" else 2048
    try:
        slots = int(slots)
    except ValueError:
        slots = 0
    if slots < 1:
        raise UserError("slots: give a number, 1 or more, or auto")
    return Budget.usual(slots * batching.USUAL_LENGTH)


def measured(params: Params, config: AlbertConfig) -> Budget:
    """Returns the budget that is fastest for this model here.

    It is measured once, in some ten seconds, for a machine and a model's shape, and
    kept in the user's cache folder.
    """
    path = machine.cache_folder() / f"budget-{_key(config)}.json"
    try:
        return Budget(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        budget = _measure(params, config)
    temporary = path.with_suffix(f".{os.getpid()}")
    with contextlib.suppress(OSError):  # then it is measured anew
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(orjson.dumps(budget._asdict()))
        temporary.replace(path)
    return budget


def _key(config: AlbertConfig) -> str:
    shape = dataclasses.asdict(config) | {"num_labels": None, "vocab_size": None}
    device = [jax.default_backend(), jax.devices()[0].device_kind]
    return hashlib.blake2b(orjson.dumps([shape, device]), digest_size=8).hexdigest()


def _measure(params: Params, config: AlbertConfig) -> Budget:
    """Times the engine at growing budgets, then with more steps to a turn."""
    most = 4096 if jax.default_backend() == "cpu" else 1 << 17
    sizes = [_LENGTH << step for step in range((most // _LENGTH).bit_length())]
    rate = _rate_of(params, config)
    rates: dict[int, float] = {}
    for size in sizes:
        try:
            rates[size] = rate(Budget(size, size))
        except jax.errors.JaxRuntimeError:  # out of memory
            if not rates:
                raise
            break
        if rates[size] < _NEARLY_BEST * max(rates.values()):
            break  # larger batches leave the cache
    best = max(rates.values())
    tokens, few = (
        next(size for size, each in rates.items() if each >= share * best)
        for share in (_NEARLY_BEST, _FAIR)
    )
    turns = {k: rate(Budget(tokens, few, k)) for k in (1, 2, 4)}
    best = max(turns.values())
    unroll = next(k for k, each in turns.items() if each >= _NEARLY_BEST * best)
    return Budget(tokens, few, unroll)


def _rate_of(params: Params, config: AlbertConfig) -> Callable[[Budget], float]:
    depth, draw = config.num_hidden_layers, np.random.default_rng(0)

    def rate(budget: Budget) -> float:
        """Returns layers a second, times texts, of a full batch with exits."""
        slots = budget.slots(_LENGTH)
        texts = 2 * slots
        exits = draw.integers(1, depth + 1, texts).astype(np.int32)
        tokens: Any = draw.integers(0, config.vocab_size, (texts, _LENGTH), np.int32)
        full: Any = np.full(texts, _LENGTH, np.int32)
        ids, count = jnp.arange(texts), jnp.int32(texts)
        queue = Queue(tokens, np.zeros_like(tokens), full, ids, count)

        def run() -> int:
            _, finished = engine.run(
                params,
                queue,
                FixedDepth(exits),
                config=config,
                slots=slots,
                unroll=budget.unroll,
            )
            return int(finished.slot_steps)

        steps, seconds = run(), []
        for _ in range(_REPEATS):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        return steps / float(np.median(seconds))

    return rate
