"""The text of a pretraining run: tokenised documents, some of them held out."""

import dataclasses
import itertools
import pathlib
from typing import Annotated

import numpy as np
from jaxtyping import Int

from elbert_jax.data import documents
from elbert_jax.data.documents import TokenStore
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
            told = "name text files in config.data.files, with commas between them"
            raise UserError(told)

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
    """Returns the configured tokenizer, or one trained on the files and kept."""
    if config.tokenizer:
        return Tokenizer.load(config.tokenizer)
    column, size = config.text_column, config.vocab_size
    directory = workdir / "tokenizer" / documents.digest(config.paths, column, size)
    if (directory / "spiece.model").exists():
        return Tokenizer.load(directory)
    text = documents.read(config.paths, column)
    return train_tokenizer(itertools.chain.from_iterable(text), size, directory)


def load(config: TextConfig, tokenizer: Tokenizer, workdir: pathlib.Path) -> PlainText:
    """Returns the text, tokenised once and kept in `workdir`."""
    directory = workdir / "tokens"
    store = documents.tokenise(config.paths, tokenizer, directory, config.text_column)
    if len(store) < 2:
        raise UserError(
            "there is only one document, and none to hold out: put a blank line "
            "between documents"
        )
    return PlainText(store, *held_out(len(store), config.held_out, config.seed))


def held_out(documents: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of training and held-out documents, at least one each."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(documents)
    count = min(max(1, round(share * documents)), documents - 1)
    return np.sort(order[count:]), np.sort(order[:count])
