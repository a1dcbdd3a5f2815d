"""Logits of all layers on disk, so that a model runs on a set of texts only once."""

import hashlib
import pathlib

import jax
import numpy as np
from jaxtyping import Float

from elbert_jax import errors, filesystem
from elbert_jax.data.encoded import Encoded
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig


def path(
    folder: pathlib.Path, config: AlbertConfig, params: Params, encoded: Encoded
) -> pathlib.Path:
    """Returns the cache file of a model on some texts, named by a hash of both."""
    digest = hashlib.blake2b(repr(config).encode(), digest_size=16)
    for key, leaf in jax.tree_util.tree_leaves_with_path(params):
        digest.update(jax.tree_util.keystr(key).encode())
        digest.update(np.asarray(leaf).tobytes())
    for array in (encoded.offsets, encoded.tokens, encoded.types):
        digest.update(array.tobytes())
    return folder / f"{digest.hexdigest()}.npz"


def read(path: pathlib.Path) -> Float[np.ndarray, "D M C"] | None:
    """Returns the logits in a file; None if it does not exist or is damaged."""
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file) as archive:
            return archive["logits"]  # zip archives check their own checksums
    except Exception as error:  # a damaged archive may raise anything
        errors.warn(f"{path} is damaged and will be rewritten: {error}")
        return None


def write(path: pathlib.Path, logits: Float[np.ndarray, "D M C"]) -> None:
    """Writes the file, whole or not at all; raises UserError where it cannot."""
    with filesystem.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with filesystem.replacing(path) as file:  # given a name, numpy adds a suffix
        np.savez(file, logits=logits)
