"""Token budget of a device: how many slots a batch has, fixed or auto-tuned.

Letters: N slots, L tokens, K layer-steps for each turn of the engine's loop.
"""

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orjson

from elbert_jax import filesystem, machine
from elbert_jax.data import batching
from elbert_jax.errors import UserError
from elbert_jax.exits import FixedDepth
from elbert_jax.inference import engine
from elbert_jax.inference.slots import Queue
from elbert_jax.inference.tasks import Classification
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

_UNROLL = 4  # K on a GPU
_MIN_TEXTS_PER_SLOT = 16  # fewer, and the drain at the end would be long
_LENGTH = 32  # tokens of the texts that are timed
_NEARLY_BEST, _FAIR = 0.97, 0.7  # of the best rate: for `tokens`, `min_tokens`
_REPEATS = 5


class TokenBudget(NamedTuple):
    """How many tokens a device computes in one layer-step: fixed or auto-tuned."""

    tokens: int  # N x L at most
    min_tokens: int  # a smaller batch is hardly faster
    unroll: int = 1  # K

    @classmethod
    def fixed(cls, slots: int) -> "TokenBudget":
        """Returns the budget of so many texts of 16 tokens, not measured.

        On a GPU the host reads the loop's predicate at every turn, so that several
        layer-steps share one.
        """
        tokens = slots * batching.USUAL_LENGTH
        unroll = 1 if jax.default_backend() == "cpu" else _UNROLL
        return cls(tokens, -(-tokens // 8), unroll)

    def slots(self, length: int, texts: int | None = None) -> int:
        """Returns N for texts of L tokens.

        While the last texts drain, slots stand empty, and for longer the more there
        are: few texts get few slots, in powers of four, as every N compiles.

        Args:
          length: L.
          texts: how many there are; None: a stream without end.
        """
        most = max(1, self.tokens // length)
        if texts is None:
            return most
        least = min(texts, -(-self.min_tokens // length))
        wanted = max(texts // _MIN_TEXTS_PER_SLOT, least, 1)
        return min(4 ** ((wanted.bit_length() - 1) // 2), most)


def choose(
    slots: int | str | None, params: Params, config: AlbertConfig
) -> TokenBudget:
    """Returns the token budget for a number of slots.

    Args:
      slots: texts of 16 tokens; "auto": see `measured`; None: 64 on a CPU, else 2,048.
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
    return TokenBudget.fixed(slots)


def measured(params: Params, config: AlbertConfig) -> TokenBudget:
    """Returns the budget that is fastest for a model's shape on this device.

    It is measured once, in about ten seconds, and kept in the user's cache folder.
    """
    path = machine.cache_folder() / f"budget-{_key(config)}.json"
    try:
        return TokenBudget(**orjson.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        budget = _measure(params, config)
    with contextlib.suppress(OSError, UserError):  # it is measured again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        with filesystem.replacing(path) as file:
            file.write(orjson.dumps(budget._asdict()))
    return budget


def _key(config: AlbertConfig) -> str:
    shape = dataclasses.asdict(config) | {"num_labels": None, "vocab_size": None}
    device = [jax.default_backend(), jax.devices()[0].device_kind]
    return hashlib.blake2b(orjson.dumps([shape, device]), digest_size=8).hexdigest()


def _measure(params: Params, config: AlbertConfig) -> TokenBudget:
    """Times the engine at growing budgets, then with more steps for each turn."""
    most = 4096 if jax.default_backend() == "cpu" else 1 << 17
    sizes = [_LENGTH << step for step in range((most // _LENGTH).bit_length())]
    rate = _rate_of(params, config)
    rates: dict[int, float] = {}
    for size in sizes:
        try:
            rates[size] = rate(TokenBudget(size, size))
        except jax.errors.JaxRuntimeError:  # out of memory
            if not rates:
                raise
            break
        if rates[size] < _NEARLY_BEST * max(rates.values()):
            break  # larger batches do not fit the cache
    best = max(rates.values())
    tokens, min_tokens = (
        next(size for size, each in rates.items() if each >= share * best)
        for share in (_NEARLY_BEST, _FAIR)
    )
    turns = {k: rate(TokenBudget(tokens, min_tokens, k)) for k in (1, 2, 4)}
    best = max(turns.values())
    unroll = next(k for k, each in turns.items() if each >= _NEARLY_BEST * best)
    return TokenBudget(tokens, min_tokens, unroll)


def _rate_of(params: Params, config: AlbertConfig) -> Callable[[TokenBudget], float]:
    depth, draw = config.num_hidden_layers, np.random.default_rng(0)

    def rate(budget: TokenBudget) -> float:
        """Returns slot-steps per second, with texts that exit at random layers."""
        slots = budget.slots(_LENGTH)
        texts = 2 * slots
        exits = draw.integers(1, depth + 1, texts).astype(np.int32)
        tokens: Any = draw.integers(0, config.vocab_size, (texts, _LENGTH), np.int32)
        full: Any = np.full(texts, _LENGTH, np.int32)
        ids, count = jnp.arange(texts), jnp.int32(texts)
        queue = Queue(tokens, np.zeros_like(tokens), full, ids, count)

        def run() -> int:
            finished = engine.run(
                params,
                queue,
                Classification(FixedDepth(exits)),
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
