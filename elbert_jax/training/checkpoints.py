"""Checkpoints of a training run, written by Orbax; a kill leaves none half-written."""

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
    """A folder of checkpoints by step: a pytree of arrays and a JSON record each.

    A checkpoint appears whole or not at all, whenever the process is killed.
    """

    def __init__(self, directory: pathlib.Path, keep: int):
        self._directory = directory.absolute()
        # Orbax moves old steps to the trash before it deletes them: a kill during a
        # deletion in place would leave half a checkpoint among the whole ones.
        shutil.rmtree(self._directory / _TRASH, ignore_errors=True)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, todelete_subdir=_TRASH, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    def latest(self) -> int | None:
        """Returns the newest stored step."""
        return self._manager.latest_step()

    def save(self, step: int, arrays: Any, record: dict[str, Any]) -> None:
        """Stores a step in the background; an existing step stays as it is.

        A UserError tells that this or an earlier checkpoint cannot be written.
        """
        if step in self._manager.all_steps():
            return
        with self._writing():
            # A copy, as the next step donates the arrays' buffers.
            copy = jax.tree.map(np.array, arrays)
            args = ocp.args.Composite(
                arrays=ocp.args.StandardSave(copy), record=ocp.args.JsonSave(record)
            )
            self._manager.save(step, args=args)

    def wait(self) -> None:
        """Waits until everything that was saved is on disk."""
        with self._writing():
            self._manager.wait_until_finished()

    def restore(self, step: int, like: Any) -> Any:
        """Returns the arrays of a step, structured as `like`."""
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        args = ocp.args.Composite(arrays=ocp.args.StandardRestore(target))
        return self._manager.restore(step, args=args)["arrays"]

    def record(self, step: int) -> dict[str, Any]:
        """Returns the record of a step."""
        args = ocp.args.Composite(record=ocp.args.JsonRestore())
        return self._manager.restore(step, args=args)["record"]

    def close(self) -> None:
        """Waits for what was saved, and releases the folder."""
        self.wait()
        self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Converts TensorStore's errors of the operating system to UserError."""
        try:
            yield
        except ValueError as error:
            if "os_error_code" not in str(error):
                raise
            reason = str(error).rpartition(": ")[2].partition(" [")[0]
            raise UserError(f"{self._directory} cannot be written: {reason}") from error
