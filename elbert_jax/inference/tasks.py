"""What the engine computes at each layer, and what it collects at the exit.

Letters: N slots, R rows of an output buffer, L tokens, H hidden size, C classes.
"""

from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from elbert_jax.exits import Criterion
from elbert_jax.model.albert import Albert
from elbert_jax.model.config import AlbertConfig


class Step(NamedTuple):
    """One layer-step of all slots."""

    hidden: Float[Array, "N L H"]
    state: Any  # a pytree with the slots as its first axis
    exited: Bool[Array, " N"]
    outputs: Any  # a pytree with the slots as its first axis: the results, if exited


class Task(Protocol):
    """A pytree that tells the engine what to compute; its leaves may be traced.

    The state of a slot and the outputs of a text are pytrees of the task's own choice.
    The engine keeps them by slot, replaces a state when a text enters, and collects the
    outputs of texts that exit. After the last layer every text exits.
    """

    def init(self, config: AlbertConfig, ids: Int[Array, " N"], length: int) -> Any:
        """Returns the state of N slots of L tokens that these texts enter."""
        ...

    def pad(self, state: Any, length: int) -> Any:
        """Returns a state for slots of more tokens."""
        ...

    def step(
        self,
        model: Albert,
        hidden: Float[Array, "N L H"],
        mask: Bool[Array, "N L"],
        depth: Int[Array, " N"],
        state: Any,
    ) -> Step:
        """Computes one layer for all slots; `depth` counts it, from 1."""
        ...

    def empty_outputs(self, config: AlbertConfig, rows: int, length: int) -> Any:
        """Returns a buffer for the outputs of R texts."""
        ...


class ClassOutputs(NamedTuple):
    """The outputs of `Classification`."""

    logits: Float[Array, "R C"]  # at the exit layer
    rule: Int[Array, " R"]  # the rule that fired, see `exits.rule_names`


class Classification(NamedTuple):
    """A label per text, which exits when a criterion is met.

    A NamedTuple, as jaxlib 0.10 may take registered dataclasses of two types for one.
    """

    criterion: Criterion

    def init(self, config: AlbertConfig, ids: Int[Array, " N"], length: int) -> Any:
        return self.criterion.init(ids, config.num_labels)

    def pad(self, state: Any, length: int) -> Any:
        return state  # has no token axis

    def step(
        self,
        model: Albert,
        hidden: Float[Array, "N L H"],
        mask: Bool[Array, "N L"],
        depth: Int[Array, " N"],
        state: Any,
    ) -> Step:
        hidden = model.layer(hidden, mask)
        logits = model.classify(hidden, mask, depth)
        state, rule = self.criterion(state, logits)
        return Step(hidden, state, rule > 0, ClassOutputs(logits, rule))

    def empty_outputs(
        self, config: AlbertConfig, rows: int, length: int
    ) -> ClassOutputs:
        logits = jnp.zeros((rows, config.num_labels))
        return ClassOutputs(logits, jnp.zeros(rows, jnp.int32))
