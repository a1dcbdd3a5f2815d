"""BERT-family encoders that transformers saved, read as teachers of a distillation."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from elbert_jax.errors import UserError
from elbert_jax.hub import download, weight_table
from elbert_jax.model import bert
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

# Modules: our name, then theirs. "{n}" is a layer's index.
_BERT = {
    "embeddings.word_embeddings": "embeddings.word_embeddings",
    "embeddings.position_embeddings": "embeddings.position_embeddings",
    "embeddings.token_type_embeddings": "embeddings.token_type_embeddings",
    "embeddings.layer_norm": "embeddings.LayerNorm",
    "layers.{n}.attention.query": "encoder.layer.{n}.attention.self.query",
    "layers.{n}.attention.key": "encoder.layer.{n}.attention.self.key",
    "layers.{n}.attention.value": "encoder.layer.{n}.attention.self.value",
    "layers.{n}.attention.dense": "encoder.layer.{n}.attention.output.dense",
    "layers.{n}.attention.layer_norm": "encoder.layer.{n}.attention.output.LayerNorm",
    "layers.{n}.ffn": "encoder.layer.{n}.intermediate.dense",
    "layers.{n}.ffn_output": "encoder.layer.{n}.output.dense",
    "layers.{n}.full_layer_layer_norm": "encoder.layer.{n}.output.LayerNorm",
}
_DISTILBERT = {
    "embeddings.word_embeddings": "embeddings.word_embeddings",
    "embeddings.position_embeddings": "embeddings.position_embeddings",
    "embeddings.layer_norm": "embeddings.LayerNorm",
    "layers.{n}.attention.query": "transformer.layer.{n}.attention.q_lin",
    "layers.{n}.attention.key": "transformer.layer.{n}.attention.k_lin",
    "layers.{n}.attention.value": "transformer.layer.{n}.attention.v_lin",
    "layers.{n}.attention.dense": "transformer.layer.{n}.attention.out_lin",
    "layers.{n}.attention.layer_norm": "transformer.layer.{n}.sa_layer_norm",
    "layers.{n}.ffn": "transformer.layer.{n}.ffn.lin1",
    "layers.{n}.ffn_output": "transformer.layer.{n}.ffn.lin2",
    "layers.{n}.full_layer_layer_norm": "transformer.layer.{n}.output_layer_norm",
}
# DistilBERT's settings under BERT's names.
_DISTILBERT_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
# By model_type: the modules, and the prefix of tensor names in models with a head.
_FAMILIES = {"bert": (_BERT, "bert."), "distilbert": (_DISTILBERT, "distilbert.")}


@dataclasses.dataclass(frozen=True, eq=False)
class Teacher:
    """A loaded encoder to distil from."""

    config: AlbertConfig  # its embedding size is its hidden size
    params: Params  # of `bert.Bert`
    name: str
    licence: str = ""  # from the front matter of its model card


def load(source: str | os.PathLike[str], name: str = "") -> Teacher:
    """Reads the encoder of a BERT or DistilBERT; heads and poolers are ignored.

    Args:
      source: a directory that transformers saved with safetensors, or a hub id.
      name: for model cards; "": the hub id, or the directory's name.

    Raises:
      UserError: names the setting or tensor that is missing, wrong or unknown.
    """
    directory = download.directory(source)
    path = directory / download.CONFIG
    settings = download.read_json(path)
    kind = settings.get("model_type")
    if kind not in _FAMILIES:
        known = ", ".join(_FAMILIES)
        raise UserError(
            f"{directory} holds a model of type {kind!r}; a teacher may be of {known}"
        )
    try:
        config = _config(settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error
    tensors = download.read_tensors(directory, allow_pickle=False)
    modules, prefix = _FAMILIES[kind]
    if not any(key.startswith(prefix) for key in tensors):
        prefix = ""
    if kind == "distilbert":  # has no token types
        types = "embeddings.token_type_embeddings"
        modules = {**modules, types: types}
        shape = config.type_vocab_size, config.hidden_size
        tensors = {**tensors, f"{prefix}{types}.weight": np.zeros(shape, np.float32)}
    params = _read(directory, config, modules, prefix, tensors)
    if not name:
        local = pathlib.Path(source).is_dir()
        name = directory.resolve().name if local else str(source)
    return Teacher(config, params, name, _licence(directory))


def _config(settings: Mapping[str, Any]) -> AlbertConfig:
    """Returns the shape; a TypeError or ValueError says what is wrong."""
    given = dict(settings)
    if given["model_type"] == "distilbert":
        given |= {name: given.get(theirs) for name, theirs in _DISTILBERT_NAMES.items()}
        given["type_vocab_size"] = 1
    if (positions := given.get("position_embedding_type")) not in (None, "absolute"):
        raise ValueError(f"position_embedding_type is {positions!r}, not 'absolute'")
    names = (
        *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
        *("intermediate_size", "hidden_act", "max_position_embeddings"),
        *("type_vocab_size", "layer_norm_eps", "initializer_range"),
    )
    known = {name: given[name] for name in names if given.get(name) is not None}
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
        if name not in known:
            raise ValueError(f"{name} is missing")
    return AlbertConfig(**known, embedding_size=known["hidden_size"])


def _read(
    directory: pathlib.Path,
    config: AlbertConfig,
    modules: Mapping[str, str],
    prefix: str,
    tensors: Mapping[str, np.ndarray],
) -> Params:
    shapes = jax.eval_shape(lambda: bert.init(config, jax.random.key(0)))
    leaves = []
    for path, leaf in weight_table.leaves(shapes):
        module = path.rpartition(".")[0]
        number = module.split(".")[1] if module.startswith("layers.") else ""
        theirs = modules[module.replace(f"layers.{number}.", "layers.{n}.", 1)]
        row = weight_table.weight(path, prefix + theirs.format(n=number), leaf.shape)
        if row.key not in tensors:
            raise UserError(f"{directory}: missing tensor {row.key}")
        leaves.append(row.read(tensors[row.key], directory))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def _licence(directory: pathlib.Path) -> str:
    """Returns `license` in the front matter of the model card; "" if there is none."""
    try:
        lines = (directory / "README.md").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    front = itertools.takewhile(lambda line: line != "---", lines[1:])
    found = [line.partition(":")[2] for line in front if line.startswith("license:")]
    return found[0].strip() if found and lines[0] == "---" else ""
