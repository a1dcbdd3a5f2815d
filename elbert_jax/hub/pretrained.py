"""Hugging Face's ALBERT checkpoints, read and written.

What is ours alone stands beside theirs: the entry `elbert` of config.json, which holds
`exit_heads` (see `AlbertConfig`) and the `method` of training, and the tensors
"exit_heads.*" of the layers before the last, stacked. Their library passes both over.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orjson
import safetensors.numpy
from jaxtyping import Array

from elbert_jax.errors import UserError
from elbert_jax.hub import download, weight_table
from elbert_jax.hub.weight_table import CLASSIFIER, Model, Weight
from elbert_jax.model.albert import AlbertConfig, Params

DTYPES = ("float32", "float16")  # of files
# Buffers that old versions stored.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# Their "classifier" reads single tokens, or scores one choice of several.
_OTHER_CLASSIFIERS = ("AlbertForTokenClassification", "AlbertForMultipleChoice")

# What an absent setting means to Hugging Face, where AlbertConfig means otherwise.
_DEFAULTS = {"hidden_size": 4096, "num_attention_heads": 64, "intermediate_size": 16384}
_ONLY = {"num_hidden_groups": 1, "position_embedding_type": "absolute"}
# Of a run's config, in the entry `elbert`.
TRAINING = {"method": str, "weighting": str, "seed": int}
# id2label's length; that of our computation; in the entry `elbert`.
_NOT_SETTINGS = {"num_labels", "dtype", "exit_heads"}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A model as read, and what became of the file's keys (Hugging Face's names)."""

    config: AlbertConfig
    params: Params
    labels: tuple[str, ...]
    mapped: tuple[str, ...]
    initialised: tuple[str, ...]  # not in the file: fresh from the key
    ignored: tuple[str, ...]  # in the file, but of no use to the model wanted
    directory: Path
    training: dict[str, Any]  # method, weighting and seed, where the file says them
    problem_type: str | None = None  # of Hugging Face's, where the file says it

    def tell(self) -> None:
        """Prints which parameters are not the file's, and what is not used."""
        for what, names in (
            ("initialised afresh", self.initialised),
            ("not used", self.ignored),
        ):
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
    """Reads any ALBERT that Hugging Face's library saved, as a text classifier.

    A missing pooler or head is initialised; so are the classifier and the exit heads
    where the file's is one of tokens or of multiple choices, or has no pooler before
    it.

    Args:
      source: a directory, or a model's id on the hub. HF_HUB_OFFLINE is honoured.
      revision: a branch, tag or commit on the hub.
      local_files_only: takes a hub's model from the local cache only.
      allow_pickle: reads pytorch_model.bin where there is no safetensors file. A
        pickle can run code: only for a file whose author you trust.
      num_labels: classes wanted; a classifier of another size is initialised afresh.
        None takes the file's.
      num_hidden_layers: depth wanted, as the layers share their weights; exit heads
        of another depth are initialised afresh. None takes the file's.
      exit_heads: shape wanted of them; others are initialised afresh. None takes the
        file's.
      key: for what is initialised; None is `jax.random.key(0)`.
      model: what it is read as, if not as a classifier.

    Raises:
      UserError: names the file, setting or tensor that is missing, wrong or unknown.
    """
    directory = download.directory(
        source,
        revision=revision,
        local_files_only=local_files_only,
        allow_pickle=allow_pickle,
    )
    num_labels = model.num_labels or num_labels
    settings = download.read_json(directory / download.CONFIG)
    try:
        own = _own(settings)
        reshaped = num_hidden_layers not in (None, settings.get("num_hidden_layers"))
        if reshaped:
            settings["num_hidden_layers"] = num_hidden_layers
        heads = model.exit_heads or exit_heads or own["exit_heads"]
        config, labels = _parse(settings, num_labels, heads)
    except ValueError as error:
        raise UserError(f"{directory / download.CONFIG}: {error}") from error
    tensors = download.read_tensors(directory, allow_pickle)

    prefix = "albert." if any(name.startswith("albert.") for name in tensors) else ""
    rows = weight_table.weights(config, prefix, model)
    architectures = str(settings.get("architectures"))
    foreign = any(name in architectures for name in _OTHER_CLASSIFIERS)
    classifier = model.heads[f"{model.body}classifier"]
    head = tensors.get(f"{classifier}.weight")
    resized = num_labels and head is not None and len(head) != num_labels
    unpooled = f"{prefix}pooler.weight" not in tensors
    useless = model.others
    if foreign or resized or unpooled:
        useless += f"{classifier}.", "exit_heads."
    if heads != own["exit_heads"] or reshaped:
        useless += ("exit_heads.",)
    ignored = {k for k in tensors if k.startswith(useless) or k.endswith(_BUFFERS)}
    found = tensors.keys() - ignored
    missing = [row.key for row in rows if row.key not in found]

    _refuse(directory, "unknown", found - {row.key for row in rows})
    optional = {f"{prefix}pooler.", "exit_heads."}
    optional |= {f"{name.partition('.')[0]}." for name in model.heads.values()}
    absent = tuple(o for o in optional if not any(k.startswith(o) for k in found))
    _refuse(directory, "missing", {k for k in missing if not k.startswith(absent)})

    if model.tied in tensors:
        table = tensors[f"{prefix}embeddings.word_embeddings.weight"]
        if not np.array_equal(tensors[model.tied], table):
            raise UserError(f"{directory}: {model.tied} is not tied to the embeddings")

    @jax.jit  # so that XLA drops the parameters that the file holds
    def initialise(key: Array) -> dict[str, Array]:
        leaves = jax.tree.leaves(model.init(config, key))
        named = zip(rows, leaves, strict=True)
        return {row.key: leaf for row, leaf in named if row.key in missing}

    key = jax.random.key(0) if key is None else key
    fresh = initialise(key) if missing else {}
    leaves = [
        fresh[row.key]
        if row.key in fresh
        else _read_weight(directory, row, tensors[row.key])
        for row in rows
    ]
    tree = jax.tree.structure(weight_table.abstract(config, model))
    return Checkpoint(
        config=config,
        params=jax.tree.unflatten(tree, leaves),
        labels=labels,
        mapped=tuple(row.key for row in rows if row.key not in missing),
        initialised=tuple(missing),
        ignored=tuple(sorted(ignored)),
        directory=directory,
        training={k: v for k, v in own.items() if k != "exit_heads"},
        problem_type=settings.get("problem_type"),
    )


def save(
    directory: str | os.PathLike[str],
    config: AlbertConfig,
    params: Params,
    labels: Sequence[str],
    *,
    model: Model = CLASSIFIER,
    training: Mapping[str, Any] | None = None,
    dtype: str = "float32",
) -> None:
    """Writes what `load`, and Hugging Face's class of that name, read.

    Each file is replaced in one step. Tokenizer files are the caller's to add.

    Args:
      directory: made if need be; other files in it stay.
      labels: the classes' names, in the order of the logits.
      model: whose parameters they are.
      training: method, weighting and seed, to be kept in the directory.
      dtype: of the file, one of `DTYPES`; float16 is half as large.
    """
    if len(labels) != config.num_labels or len(set(labels)) != len(labels):
        raise UserError(
            f"labels are {list(labels)}; wanted are {config.num_labels} different ones"
        )
    own = {"exit_heads": config.exit_heads, **(training or {})}
    settings = {
        **dataclasses.asdict(config),
        "architectures": [model.architecture],
        "model_type": "albert",
        "num_hidden_groups": 1,
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "dtype": dtype,  # of the file
        "elbert": {k: value for k, value in own.items() if value not in ("", None)},
    }
    del settings["num_labels"]  # id2label says it
    del settings["exit_heads"]
    arrays = {path: np.asarray(x, dtype) for path, x in weight_table.leaves(params)}
    tensors = {}
    for row in weight_table.weights(config, model=model):
        # safetensors would write a transposed view's bytes in the order in memory.
        tensors[row.key] = np.ascontiguousarray(_turned(row, arrays[row.path]))
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    option = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    for name, data in (
        (download.WEIGHTS, safetensors.numpy.save(tensors, metadata={"format": "pt"})),
        (download.CONFIG, orjson.dumps(settings, option=option)),
    ):
        partial = directory / f"{name}.partial"
        partial.write_bytes(data)
        partial.replace(directory / name)


def _refuse(directory: Path, fault: str, keys: set[str]) -> None:
    if keys:
        more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
        raise UserError(f"{directory}: {fault} tensor {min(keys)}{more}")


def _turned(row: Weight, array: np.ndarray) -> np.ndarray:
    """Returns ours as theirs, or theirs as ours."""
    return array.swapaxes(-1, -2) if row.transposed else array


def _read_weight(directory: Path, row: Weight, tensor: np.ndarray) -> Array:
    if tensor.shape != row.shape:
        raise UserError(
            f"{directory}: {row.key} has the shape {tensor.shape}; "
            f"by config.json it is {row.shape}"
        )
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        raise UserError(f"{directory}: {row.key} is {tensor.dtype}, not floating point")
    return jnp.asarray(_turned(row, tensor), jnp.float32)


def _own(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the entry `elbert`; a ValueError says what is wrong."""
    entry = settings.get("elbert", {})
    if not isinstance(entry, dict) or any(
        not isinstance(entry.get(name, kind()), kind) for name, kind in TRAINING.items()
    ):
        raise ValueError(f"elbert is {entry!r}")
    return {"exit_heads": "shared"} | entry


def _parse(
    settings: dict[str, Any], num_labels: int | None, exit_heads: str
) -> tuple[AlbertConfig, tuple[str, ...]]:
    """Returns the config and the labels; a ValueError says what is wrong."""
    given = _DEFAULTS | {k: v for k, v in settings.items() if v is not None}
    if given.get("model_type") != "albert":
        raise ValueError(f"model_type is {given.get('model_type')!r}, not 'albert'")
    for name, only in _ONLY.items():
        if given.get(name, only) != only:
            raise ValueError(f"{name} is {given[name]!r}; only {only!r} is supported")

    names = given.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    if not isinstance(names, dict) or {*names} != {str(i) for i in range(len(names))}:
        raise ValueError(f"id2label is {names!r}; it must name the classes 0, 1, ...")
    labels = tuple(str(names[str(i)]) for i in range(len(names)))
    if num_labels and num_labels != len(labels):
        labels = tuple(f"LABEL_{i}" for i in range(num_labels))

    fields = {}
    for field in dataclasses.fields(AlbertConfig):
        if field.name in given.keys() - _NOT_SETTINGS:
            value, kind = given[field.name], type(field.default)
            value = float(value) if kind is float and type(value) is int else value
            if type(value) is not kind:
                raise ValueError(f"{field.name} is {value!r}")
            fields[field.name] = value
    config = AlbertConfig(**fields, num_labels=len(labels), exit_heads=exit_heads)
    return config, labels
