"""The weight table: each parameter's name here and in Hugging Face's checkpoints."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from elbert_jax.errors import UserError
from elbert_jax.model import albert, pretraining_heads
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

# Modules: our name, then theirs.
_BODY = {  # theirs after "albert." (a bare AlbertModel has none); ours after `body`
    "embeddings.word_embeddings": "embeddings.word_embeddings",
    "embeddings.position_embeddings": "embeddings.position_embeddings",
    "embeddings.token_type_embeddings": "embeddings.token_type_embeddings",
    "embeddings.layer_norm": "embeddings.LayerNorm",
    "embedding_hidden_mapping_in": "encoder.embedding_hidden_mapping_in",
    "pooler": "pooler",
}
_LAYER = {  # after "albert_layers.N." here, after that in the one layer group there
    "attention.query": "attention.query",
    "attention.key": "attention.key",
    "attention.value": "attention.value",
    "attention.dense": "attention.dense",
    "attention.layer_norm": "attention.LayerNorm",
    "ffn": "ffn",
    "ffn_output": "ffn_output",
    "full_layer_layer_norm": "full_layer_layer_norm",
}
_LEAF = {"embedding": "weight", "kernel": "weight", "scale": "weight", "bias": "bias"}


@dataclasses.dataclass(frozen=True)
class Model:
    """A class of Hugging Face's, and the module here with the same parameters."""

    architecture: str
    init: Callable[[AlbertConfig, Array], Params]
    body: str  # path prefix of `Albert` in our parameters
    heads: Mapping[str, str]  # modules: our name, then theirs
    others: tuple[str, ...]  # prefixes of other classes' heads, to be ignored
    num_labels: int | None = None  # if the class allows only one value
    exit_heads: str | None = None  # likewise
    tied: str | None = None  # tensor of theirs that repeats the word embeddings


CLASSIFIER = Model(
    "AlbertForSequenceClassification",
    albert.init,
    "",
    {"classifier": "classifier"},
    ("predictions.", "sop_classifier.", "qa_outputs."),
)
PRETRAINING = Model(
    "AlbertForPreTraining",
    pretraining_heads.init,
    "albert.",
    {
        "albert.classifier": "sop_classifier.classifier",
        "predictions": "predictions",
        "predictions.dense": "predictions.dense",
        "predictions.layer_norm": "predictions.LayerNorm",
    },
    ("classifier.", "qa_outputs.", "predictions.decoder.", "exit_heads."),
    num_labels=2,
    exit_heads="shared",
    tied="predictions.decoder.weight",
)


def _init_encoder(config: AlbertConfig, key: Array) -> Params:
    params = dict(albert.init(config, key))
    del params["classifier"]
    return params


ENCODER = Model(  # for `pretrained.save` only: `load` always adds a head
    "AlbertModel",
    _init_encoder,
    "",
    {},
    (),
)


class Weight(NamedTuple):
    """A row of the weight table: one parameter here and in Hugging Face's file."""

    path: str  # "pooler.kernel"
    key: str  # "albert.pooler.weight"
    transposed: bool  # a Linear's kernel is [..., in, out] here, [..., out, in] there
    shape: tuple[int, ...]  # there

    def convert(self, array: np.ndarray) -> np.ndarray:
        """Changes the layout from ours to theirs, or from theirs to ours."""
        return array.swapaxes(-1, -2) if self.transposed else array

    def read(self, tensor: np.ndarray, directory: pathlib.Path) -> Array:
        """Returns a tensor of theirs as a float32 parameter of ours.

        Raises:
          UserError: its shape or dtype is wrong; the message names the directory.
        """
        if tensor.shape != self.shape:
            raise UserError(
                f"{directory}: {self.key} has the shape {tensor.shape}; "
                f"by config.json it is {self.shape}"
            )
        if not jnp.issubdtype(tensor.dtype, jnp.floating):
            raise UserError(
                f"{directory}: {self.key} is {tensor.dtype}, not floating point"
            )
        return jnp.asarray(self.convert(tensor), jnp.float32)


def weights(
    config: AlbertConfig, prefix: str = "albert.", model: Model = CLASSIFIER
) -> list[Weight]:
    """Returns the weight table, in the order of the parameters' leaves."""
    modules = {model.body + ours: prefix + theirs for ours, theirs in _BODY.items()}
    modules |= model.heads
    for n in range(config.inner_group_num):
        group = f"{prefix}encoder.albert_layer_groups.0.albert_layers.{n}"
        for ours, theirs in _LAYER.items():
            modules[f"{model.body}albert_layers.{n}.{ours}"] = f"{group}.{theirs}"
    rows = []
    for path, leaf in leaves(abstract(config, model)):
        module = path.rpartition(".")[0]
        if module.startswith("exit_heads."):
            modules[module] = module  # this library's own, under its own names
        rows.append(weight(path, modules[module], leaf.shape))
    return rows


def weight(path: str, module: str, shape: tuple[int, ...]) -> Weight:
    """Returns the row of a parameter, by its path, their module and our shape."""
    name = path.rpartition(".")[2]
    if name == "kernel":
        shape = (*shape[:-2], shape[-1], shape[-2])
    return Weight(path, f"{module}.{_LEAF[name]}", name == "kernel", shape)


def abstract(config: AlbertConfig, model: Model) -> Params:
    """Returns the parameter tree with shapes in place of arrays."""
    return jax.eval_shape(lambda: model.init(config, jax.random.key(0)))


def leaves(params: Params) -> Iterator[tuple[str, Any]]:
    """Yields the path of every parameter, such as "pooler.kernel", and its array."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        yield ".".join(str(entry.key) for entry in path), leaf
