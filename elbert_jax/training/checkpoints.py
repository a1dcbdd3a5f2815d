"""Checkpoints of a training run, by Orbax: save, restore, survive a kill."""

import contextlib
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from elbert_jax.errors import UserError

_TRASH = "trash"


class Checkpoints:
    """A folder of numbered checkpoints: a pytree of arrays and a JSON record each.

    A checkpoint appears whole or not at all, whenever the process is killed.
    """

    def __init__(self, directory: pathlib.Path, keep: int):
        self._directory = directory.absolute()
        # Steps that retention drops are moved here first: a kill while they are being
        # deleted in place would leave half a checkpoint among the whole ones.
        shutil.rmtree(self._directory / _TRASH, ignore_errors=True)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, todelete_subdir=_TRASH, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    def latest(self) -> int | None:
        """Returns the newest step that is stored."""
        return self._manager.latest_step()

    def save(self, step: int, arrays: Any, record: dict[str, Any]) -> None:
        """Stores a step in the background; a step that is there already stays.

        Raises:
          UserError: it, or one before it, cannot be written.
        """
        if step in self._manager.all_steps():
            return
        with self._writing():
            # A copy: on a CPU the arrays may share memory with ones donated next.
            copy = jax.tree.map(np.array, arrays)
            args = ocp.args.Composite(
                arrays=ocp.args.StandardSave(copy), record=ocp.args.JsonSave(record)
            )
            self._manager.save(step, args=args)

    def wait(self) -> None:
        """Returns once everything that was saved is on disk."""
        with self._writing():
            self._manager.wait_until_finished()

    def restore(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        """Returns the arrays, shaped as the pytree `like`, and the record of a step."""
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(
            arrays=ocp.args.StandardRestore(target), record=ocp.args.JsonRestore()
        )
        stored = self._manager.restore(step, args=args)
        return stored["arrays"], stored["record"]

    def record(self, step: int) -> dict[str, Any]:
        """Returns the record of a step without its arrays."""
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args)["record"]

    def close(self) -> None:
        """Waits for what was saved, and ends."""
        self.wait()
        self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Makes TensorStore's word of a full disk, and the like, a UserError."""
        try:
            yield
        except ValueError as error:
            if "os_error_code" not in str(error):
                raise
            reason = str(error).rpartition(": ")[2].partition(" [")[0]
            raise UserError(f"{self._directory} cannot be written: {reason}") from error
