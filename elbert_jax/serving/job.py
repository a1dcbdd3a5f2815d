"""What a prediction job depends on, so that only the same job resumes its journal."""

import contextlib
import dataclasses
import hashlib
import os
import time
from typing import Any

import jax
import numpy as np
import orjson
import pyarrow
import pyarrow.parquet

from elbert_jax.data import readers
from elbert_jax.inference.classifier import Classifier


def model_digest(classifier: Classifier) -> str:
    """Returns a hash of all that a classifier's predictions depend on."""
    settings = [
        dataclasses.asdict(classifier.config),
        classifier.labels,
        classifier.exit.to_dict(),
        classifier.max_length,
        classifier.tokenizer.truncation,
        classifier.tokenizer.hf.backend_tokenizer.to_str(),
    ]
    digest = hashlib.blake2b(orjson.dumps(settings), digest_size=16)
    for leaf in jax.tree.leaves(classifier.params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def input_identity(path: str) -> list[Any]:
    """Returns what tells an input from another, and from itself after a change."""
    if not os.path.isfile(path):
        return [path, time.time_ns()]  # a stream is never the same again
    status = os.stat(path)
    return [os.path.realpath(path), status.st_size, status.st_mtime_ns]


def row_count(
    path: str, *, format: str | None = None, columns: Any = None, **_: Any
) -> int | None:
    """Returns about how many rows an input has; None if that takes long to find out."""
    if not os.path.isfile(path) or path.lower().endswith((".gz", ".xz")):
        return None
    format = format or readers.format_of(path)
    with contextlib.suppress(OSError, pyarrow.ArrowException):  # reading will tell
        if format == "parquet":
            return pyarrow.parquet.read_metadata(path).num_rows
        lines, block = 0, b"\n"
        with open(path, "rb") as file:
            while more := file.read(1 << 20):
                lines, block = lines + more.count(b"\n"), more
        lines += not block.endswith(b"\n")
        return lines - (format in ("csv", "tsv") and not columns)
