"""The text of a pretraining run: tokenised documents, some of them held out."""

import dataclasses
import pathlib
from typing import Annotated

import numpy as np
from jaxtyping import Int

from elbert_jax.data import documents, passages, token_store
from elbert_jax.data.token_store import TokenStore
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError
from elbert_jax.settings import FRACTION


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Where plain text comes from, and how it is tokenised."""

    files: str  # comma-separated
    text_column: str
    tokenizer: str  # a directory or hub id; "": trained on the files
    vocab_size: int  # of a trained tokenizer
    held_out: Annotated[float, FRACTION]  # share of the documents
    seed: int  # of the choice of held-out documents

    def __post_init__(self):
        if not self.paths:
            raise UserError(
                "name text files in config.data.files, with commas between them"
            )

    @property
    def paths(self) -> list[str]:
        return [path for path in self.files.split(",") if path]


@dataclasses.dataclass(frozen=True, eq=False)
class PlainText:
    """Tokenised documents, and the indices of those to train on and to evaluate on."""

    store: TokenStore
    train: Int[np.ndarray, " K"]
    held_out: Int[np.ndarray, " H"]


def tokenizer(config: TextConfig, workdir: pathlib.Path) -> Tokenizer:
    """Returns the configured tokenizer, or one trained on the files and kept.

    Raises:
      UserError: it cannot be used, or a file cannot.
    """
    if config.tokenizer:
        return Tokenizer.load(config.tokenizer)
    column, size = config.text_column, config.vocab_size
    name = documents.digest(config.paths, column, size)
    directory = workdir / "tokenizer" / name
    if (directory / "spiece.model").exists():
        return Tokenizer.load(directory)
    text = documents.read(config.paths, column)
    paragraphs = (paragraph for document in text for paragraph in document)
    return train_tokenizer(paragraphs, size, directory)


def load(config: TextConfig, tokenizer: Tokenizer, workdir: pathlib.Path) -> PlainText:
    """Returns the text, tokenised once and kept in `workdir`.

    Raises:
      UserError: a file cannot be used, or there is nothing to hold out.
    """
    store = token_store.build(
        config.paths, tokenizer, workdir / "tokens", config.text_column
    )
    if len(store) < 2:
        raise UserError(
            "there is only one document, and none to hold out: put a blank line "
            "between documents"
        )
    parts = passages.held_out(len(store), config.held_out, config.seed)
    return PlainText(store, *parts)
