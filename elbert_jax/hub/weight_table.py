"""The weight table: each parameter's name here and in Hugging Face's checkpoints."""

import dataclasses
import pathlib
import re
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

# Modules of the body whose names differ: ours, then theirs, which follow "albert."
# except in a bare AlbertModel.
_RENAMED = {
    r"\blayer_norm$": "LayerNorm",
    r"^embedding_hidden_mapping_in$": "encoder.embedding_hidden_mapping_in",
    r"^albert_layers\.": "encoder.albert_layer_groups.0.albert_layers.",
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
    {"classifier": "classifier", "exit_heads": "exit_heads"},  # the latter ours only
    ("predictions.", "sop_classifier.", "qa_outputs."),
)
PRETRAINING = Model(
    "AlbertForPreTraining",
    pretraining_heads.init,
    "albert.",
    {"albert.classifier": "sop_classifier.classifier", "predictions": "predictions"},
    ("classifier.", "qa_outputs.", "predictions.decoder.", "exit_heads."),
    num_labels=2,
    exit_heads="shared",
    tied="predictions.decoder.weight",
)


def _init_encoder(config: AlbertConfig, key: Array) -> Params:
    params = dict(albert.init(config, key))
    del params["classifier"]
    return params


# For `pretrained.save` only: `load` always adds a head.
ENCODER = Model("AlbertModel", _init_encoder, "", {}, ())


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
        """Returns a tensor of theirs as a float32 parameter of ours, checked."""
        name = f"{directory}: {self.key}"
        if tensor.shape != self.shape:
            wanted = f"by config.json it is {self.shape}"
            raise UserError(f"{name} has the shape {tensor.shape}; {wanted}")
        if not jnp.issubdtype(tensor.dtype, jnp.floating):
            raise UserError(f"{name} is {tensor.dtype}, not floating point")
        return jnp.asarray(self.convert(tensor), jnp.float32)


def weights(
    config: AlbertConfig, prefix: str = "albert.", model: Model = CLASSIFIER
) -> list[Weight]:
    """Returns the weight table, in the order of the parameters' leaves."""
    return [
        weight(path, _module(path.rpartition(".")[0], prefix, model), leaf.shape)
        for path, leaf in leaves(abstract(config, model))
    ]


def _module(name: str, prefix: str, model: Model) -> str:
    """Returns the name of one of our modules in Hugging Face's file."""
    for ours, theirs in model.heads.items():
        if f"{name}.".startswith(f"{ours}."):
            prefix, name = "", theirs + name.removeprefix(ours)
    name = name.removeprefix(model.body)
    for pattern, renamed in _RENAMED.items():
        name = re.sub(pattern, renamed, name)
    return prefix + name


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
