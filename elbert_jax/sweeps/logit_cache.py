"""Logits of all layers on disk, so that a model runs on a set of texts only once."""

import hashlib
import pathlib

import jax
import numpy as np
import tqdm
from jaxtyping import Float

from elbert_jax import errors, filesystem
from elbert_jax.data.encoded import Encoded
from elbert_jax.inference.classifier import Classifier
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


def every_layer(
    classifier: Classifier, encoded: Encoded, folder: pathlib.Path
) -> Float[np.ndarray, "D M C"]:
    """Returns the logits of M texts: from the folder, or computed and written there.

    A damaged file is rewritten. Raises UserError where it cannot be.
    """
    file = path(folder, classifier.config, classifier.params, encoded)
    if file.exists():
        try:
            with file.open("rb") as opened, np.load(opened) as archive:
                logits = archive["logits"]  # zip archives check their own checksums
            tqdm.tqdm.write(f"the logits of {len(encoded):,} texts are in {file}")
            return logits
        except Exception as error:  # a damaged archive may raise anything
            errors.warn(f"{file} is damaged and will be rewritten: {error}")
    logits = classifier.every_layer(encoded)
    with filesystem.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with filesystem.replacing(file) as opened:  # given a name, numpy adds a suffix
        np.savez(opened, logits=logits)
    return logits
