"""What a pretraining run learns from: documents in pieces, and which are held out."""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Int

from elbert_jax.data import documents, passages, token_store
from elbert_jax.data.corpus import Config
from elbert_jax.data.token_store import TokenStore
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class PlainText:
    """The documents of some files, and the numbers of those in each part."""

    store: TokenStore
    train: Int[np.ndarray, " K"]
    held_out: Int[np.ndarray, " H"]


def files(config: Config) -> list[str]:
    """Returns the files that `config.data` names."""
    return [file for file in config.data.files.split(",") if file]


def tokenizer(config: Config, workdir: pathlib.Path) -> Tokenizer:
    """Returns the one that the configuration names, or one trained on its files, once.

    Raises:
      UserError: it cannot be used, or a file cannot.
    """
    if name := config.data.tokenizer or config.init:
        return Tokenizer.load(name)
    column, size = config.data.text_column, config.data.vocab_size
    named = files(config)
    directory = workdir / "tokenizer" / documents.digest(named, column, size)
    if (directory / "spiece.model").exists():
        return Tokenizer.load(directory)
    text = documents.read(named, column)
    paragraphs = (paragraph for document in text for paragraph in document)
    return train_tokenizer(paragraphs, size, directory)


def load(config: Config, pieces: Tokenizer, workdir: pathlib.Path) -> PlainText:
    """Returns the text, tokenised once.

    Raises:
      UserError: a file cannot be used, or there is nothing to hold out.
    """
    data = config.data
    store = token_store.build(
        files(config), pieces, workdir / "tokens", data.text_column
    )
    if len(store) < 2:
        raise UserError(
            "there is one document only, and none to measure on: put a blank line "
            "between documents"
        )
    return PlainText(store, *passages.held_out(len(store), data.held_out, config.seed))
