"""Random ALBERT checkpoints of transformers, and what PyTorch computes with them."""

from typing import Any

import numpy as np
import pytest
import safetensors.numpy

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

torch.set_num_threads(1)

TINY: dict[str, Any] = dict(
    vocab_size=50,
    embedding_size=8,
    hidden_size=16,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=32,
    max_position_embeddings=20,
    num_labels=3,
)
HEADED = "AlbertForSequenceClassification"
POOLER = {"albert.pooler.weight", "albert.pooler.bias"}
CLASSIFIER = {"classifier.weight", "classifier.bias"}
PREDICTIONS = {
    *(f"predictions.{part}.{leaf}" for part in ("LayerNorm", "dense") for leaf in
      ("weight", "bias")),
    "predictions.bias",
}  # fmt: skip
SOP = {"sop_classifier.classifier.weight", "sop_classifier.classifier.bias"}


def hugging_face(name=HEADED, noise=0.3, **sizes):
    """A random model in which no bias is 0 and no LayerNorm scale 1."""
    torch.manual_seed(0)
    config = transformers.AlbertConfig(**{"vocab_size": 50, **sizes})
    config._attn_implementation = "eager"
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += noise * torch.randn_like(parameter)
    return model


def batch(length=12):
    """Two pairs and a single text; the padding holds ids of real tokens."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 50, (3, length)).astype(np.int32)
    lengths = np.array([[length], [length - 5], [3]])
    mask = np.arange(length) < lengths
    types = (np.arange(length) >= np.array([[4], [2], [3]])) & mask
    return tokens, mask, types.astype(np.int32)


def torch_outputs(model, tokens, mask, types):
    with torch.no_grad():
        return model(
            input_ids=torch.tensor(tokens, dtype=torch.long),
            attention_mask=torch.tensor(mask, dtype=torch.long),
            token_type_ids=torch.tensor(types, dtype=torch.long),
            output_hidden_states=True,
        )


def tensors_of(directory):
    return safetensors.numpy.load_file(directory / "model.safetensors")


def edit_tensors(directory, **changes):
    """Sets tensors of a checkpoint by name ("__" for a dot); None removes one."""
    tensors = tensors_of(directory)
    for name, value in changes.items():
        tensors.pop(name.replace("__", "."), None)
        if value is not None:
            tensors[name.replace("__", ".")] = value
    safetensors.numpy.save_file(tensors, directory / "model.safetensors")
