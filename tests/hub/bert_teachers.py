"""Tiny random BERTs as transformers saves them, with word pieces."""

import pathlib
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WORDS = "the bank lent money to a farmer who paid it back twice over . ! ?".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##er"]
BERT: dict[str, Any] = dict(
    vocab_size=len(VOCABULARY),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=24,
)
DISTILBERT: dict[str, Any] = dict(
    vocab_size=len(VOCABULARY),
    dim=16,
    n_layers=2,
    n_heads=2,
    hidden_dim=32,
    max_position_embeddings=24,
)


def random_bert(name: str = "BertModel", **sizes: Any) -> Any:
    """A random model in which no bias is 0 and no LayerNorm scale 1."""
    torch.manual_seed(0)
    kind = "DistilBertConfig" if name.startswith("Distil") else "BertConfig"
    default = DISTILBERT if name.startswith("Distil") else BERT
    config = getattr(transformers, kind)(**{**default, **sizes})
    config._attn_implementation = "eager"
    model = getattr(transformers, name)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def save(directory: pathlib.Path, name: str = "BertModel", **sizes: Any) -> Any:
    """Saves such a model and its tokenizer; returns the model."""
    model = random_bert(name, **sizes)
    model.save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    tokenizer = transformers.BertTokenizer.from_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return model
