"""Hugging Face's ALBERT checkpoints, read and written.

Per-layer heads are stored as stacked tensors "exit_heads.*", which Hugging Face's
library ignores.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orjson
import safetensors.numpy
from jaxtyping import Array

from elbert_jax import filesystem
from elbert_jax.errors import UserError
from elbert_jax.hub import config_json, download, weight_table
from elbert_jax.hub.config_json import Settings
from elbert_jax.hub.weight_table import CLASSIFIER, Model, Weight
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

DTYPES = ("float32", "float16")  # of weights files
# Buffers that old versions of transformers stored.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# Classes whose "classifier" labels single tokens, or scores one of several choices.
_OTHER_CLASSIFIERS = ("AlbertForTokenClassification", "AlbertForMultipleChoice")


@dataclasses.dataclass(frozen=True)
class Checkpoint(Settings):
    """A loaded model, and what became of each tensor (by Hugging Face's names)."""

    params: Params
    mapped: tuple[str, ...]  # read into parameters
    initialised: tuple[str, ...]  # not in the file: randomly initialised
    ignored: tuple[str, ...]  # in the file, but not for this model
    directory: Path

    def tell(self) -> None:
        """Prints the initialised parameters and the ignored tensors, if any."""
        changes = {"initialised afresh": self.initialised, "not used": self.ignored}
        for what, names in changes.items():
            if names:
                print(f"{self.directory}: {what}: {', '.join(names)}")


def load(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    allow_pickle: bool = False,
    num_labels: int | None = None,
    num_hidden_layers: int | None = None,
    exit_heads: str | None = None,
    key: Array | None = None,
    model: Model = CLASSIFIER,
) -> Checkpoint:
    """Loads any ALBERT checkpoint of Hugging Face's classes as a text classifier.

    A missing pooler or head is randomly initialised; so are classifier and exit heads
    if the file's classifier is for tokens or multiple choice, or has no pooler.

    Args:
      source: A directory, or a model's id on the hub. HF_HUB_OFFLINE is honoured.
      revision: A branch, tag or commit on the hub.
      local_files_only: Take a hub model from the local cache only.
      allow_pickle: Read pytorch_model.bin if there is no safetensors file. A pickle
        can run code: only for a file whose author you trust.
      num_labels: By default the file's; a classifier of another size is initialised.
      num_hidden_layers: Likewise; exit heads of another depth are initialised.
      exit_heads: Likewise; those of another shape are initialised.
      key: For random initialisation; None is `jax.random.key(0)`.
      model: The class to load as.

    Raises:
      UserError: Names the file, setting or tensor that is missing, wrong or unknown.
    """
    directory = download.directory(source, revision, local_files_only, allow_pickle)
    num_labels = model.num_labels or num_labels
    exit_heads = model.exit_heads or exit_heads
    changes = {"num_hidden_layers": num_hidden_layers, "exit_heads": exit_heads}
    path = directory / download.CONFIG
    entries = download.read_json(path)
    try:
        stored = config_json.parse(entries)
        wanted = stored.replace(num_labels, **changes)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    file = _File(directory, download.read_tensors(directory, allow_pickle), model)
    rows = weight_table.weights(wanted.config, file.prefix, model)
    ignored = file.ignored(stored, wanted, num_labels)
    found = file.tensors.keys() - ignored
    file.check_names(rows, found)
    missing = {row.key for row in rows} - found

    @jax.jit  # so that XLA drops the parameters that are not missing
    def draw(key: Array) -> dict[str, Array]:
        leaves = jax.tree.leaves(model.init(wanted.config, key))
        named = zip(rows, leaves, strict=True)
        return {row.key: leaf for row, leaf in named if row.key in missing}

    mapped = [row for row in rows if row.key in found]
    values = {row.key: row.read(file.tensors[row.key], directory) for row in mapped}
    if missing:
        values |= draw(jax.random.key(0) if key is None else key)
    tree = jax.tree.structure(weight_table.abstract(wanted.config, model))
    return Checkpoint(
        **vars(wanted),
        params=jax.tree.unflatten(tree, [values[row.key] for row in rows]),
        mapped=tuple(row.key for row in mapped),
        initialised=tuple(row.key for row in rows if row.key in missing),
        ignored=tuple(sorted(ignored)),
        directory=directory,
    )


def save(
    directory: str | os.PathLike[str],
    config: AlbertConfig,
    params: Params,
    labels: Sequence[str],
    *,
    model: Model = CLASSIFIER,
    training: Mapping[str, Any] | None = None,
    special_ids: Mapping[str, int] | None = None,
    dtype: str = "float32",
) -> None:
    """Writes what `load`, and Hugging Face's class `model.architecture`, can read.

    Each file is replaced in one step. Tokenizer files are the caller's to add.

    Args:
      directory: Made if need be; other files in it stay.
      config: The model's shape.
      params: Its parameters.
      labels: Class names, by class index.
      model: The class that the parameters belong to.
      training: Method, weighting and seed to record.
      special_ids: See `Tokenizer.special_ids`; None: those of ALBERT's tokenizer.
      dtype: Of the weights, one of `DTYPES`.

    Raises:
      UserError: Two labels are the same, or a file cannot be written.
    """
    if len(labels) != config.num_labels or len(set(labels)) != len(labels):
        raise UserError(
            f"labels are {list(labels)}; wanted are {config.num_labels} different ones"
        )
    arrays = {path: np.asarray(x, dtype) for path, x in weight_table.leaves(params)}
    tensors = {}
    for row in weight_table.weights(config, model=model):
        # safetensors would write a transposed view's bytes in the order in memory.
        tensors[row.key] = np.ascontiguousarray(row.convert(arrays[row.path]))
    entries = config_json.render(
        config, labels, model.architecture, training or {}, dtype
    )
    entries |= special_ids or {}
    option = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    directory = Path(directory)
    with filesystem.writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    for name, data in (
        (download.WEIGHTS, safetensors.numpy.save(tensors, metadata={"format": "pt"})),
        (download.CONFIG, orjson.dumps(entries, option=option)),
    ):
        with filesystem.replacing(directory / name) as file:
            file.write(data)


@dataclasses.dataclass(frozen=True)
class _File:
    directory: Path
    tensors: Mapping[str, np.ndarray]
    model: Model

    @functools.cached_property
    def prefix(self) -> str:
        """What the names of the body begin with."""
        return "albert." * any(name.startswith("albert.") for name in self.tensors)

    def ignored(
        self, stored: Settings, wanted: Settings, num_labels: int | None
    ) -> set[str]:
        """Returns the tensors that must not be read into the model wanted."""
        useless = self.model.others
        classifier = self.model.heads[f"{self.model.body}classifier"]
        head = self.tensors.get(f"{classifier}.weight")
        resized = num_labels and head is not None and len(head) != num_labels
        foreign = any(name in stored.architectures for name in _OTHER_CLASSIFIERS)
        unpooled = f"{self.prefix}pooler.weight" not in self.tensors
        if resized or foreign or unpooled:
            useless += f"{classifier}.", "exit_heads."
        for field in ("exit_heads", "num_hidden_layers"):
            if getattr(stored.config, field) != getattr(wanted.config, field):
                useless += ("exit_heads.",)
        names = self.tensors.keys()
        return {k for k in names if k.startswith(useless) or k.endswith(_BUFFERS)}

    def check_names(self, rows: Sequence[Weight], found: Set[str]) -> None:
        """Refuses unknown and missing tensors; a whole head may be missing."""
        heads = {name.partition(".")[0] for name in self.model.heads.values()}
        optional = {f"{self.prefix}pooler.", *(f"{name}." for name in heads)}
        absent = tuple(o for o in optional if not any(k.startswith(o) for k in found))
        wanted = {row.key for row in rows}
        needed = {key for key in wanted if not key.startswith(absent)}
        for fault, keys in ("unknown", found - wanted), ("missing", needed - found):
            if keys:
                more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
                raise UserError(f"{self.directory}: {fault} tensor {min(keys)}{more}")
        if (tied := self.model.tied) and tied in self.tensors:
            table = self.tensors[f"{self.prefix}embeddings.word_embeddings.weight"]
            if not np.array_equal(self.tensors[tied], table):
                raise UserError(
                    f"{self.directory}: {tied} is not tied to the embeddings"
                )
