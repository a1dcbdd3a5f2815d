"""The engine on several devices, each with slots and queues of its own.

All arrays but the model's parameters and the task have a leading axis of P devices.
The devices do not communicate: each runs its loop for as many turns as it needs.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from elbert_jax.inference import engine
from elbert_jax.inference import slots as slots_lib
from elbert_jax.inference.engine import Finished
from elbert_jax.inference.slots import Slots
from elbert_jax.model.albert import Params

_REPLICATED, _BY_DEVICE = PartitionSpec(), PartitionSpec("device")


def mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Returns a mesh of P devices, by default all local ones."""
    return Mesh(np.array(devices or jax.local_devices()), ("device",))


def replicate(mesh: Mesh, params: Params) -> Params:
    """Returns the parameters on every device of a mesh."""
    return jax.device_put(params, NamedSharding(mesh, _REPLICATED))


def _on_each(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function(shared, own)`, where `own` and the result are by device."""

    def local(shared: Any, own: Any) -> Any:
        result = function(shared, jax.tree.map(lambda x: x[0], own))
        return jax.tree.map(lambda x: x[None], result)

    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(_REPLICATED, _BY_DEVICE),
        out_specs=_BY_DEVICE,
        check_vma=False,
    )


@functools.partial(jax.jit, static_argnames=("config", "slots", "length", "mesh"))
def start(task, *, config, slots, length, mesh) -> Slots:
    """Returns empty slots; see `slots.start`."""

    def local(task, _):
        return slots_lib.start(config, task, slots, length)

    return _on_each(mesh, local)(task, None)


@functools.partial(jax.jit, static_argnames=("slots", "length", "mesh"))
def pack(task, parts: Sequence[Slots], *, slots, length, mesh) -> Slots:
    """Moves texts to other slots; see `slots.pack`."""

    def local(task, parts):
        return slots_lib.pack(task, parts, slots=slots, length=length)

    return _on_each(mesh, local)(task, parts)


@functools.partial(
    jax.jit, static_argnames=("config", "unroll", "mesh"), donate_argnames="slots"
)
def advance(
    params, slots, queue, task, keep, max_steps, *, config, unroll, mesh
) -> tuple[Slots, Finished]:
    """Runs layer-steps; see `engine.advance`."""

    def local(shared, own):
        params, *rest = shared
        return engine.advance(params, *own, *rest, config=config, unroll=unroll)

    shared = params, task, keep, max_steps
    return _on_each(mesh, local)(shared, (slots, queue))
