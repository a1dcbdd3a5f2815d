"""What a pretraining run learns from: documents in pieces, and which are held out."""

import dataclasses
import pathlib

import numpy as np
from jaxtyping import Float, Int

from elbert_jax.data import documents, passages, token_store, word_vectors
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

    def counts(self, vocab_size: int) -> Int[np.ndarray, " V"]:
        """Returns how often each piece is in the documents to train on."""
        counts = np.zeros(vocab_size, np.int64)
        for row in self.train:
            tokens = slice(*self.store.offsets[row : row + 2])
            counts += np.bincount(self.store.tokens[tokens], minlength=vocab_size)
        return counts


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


def vectors(
    config: Config,
    text: PlainText,
    pieces: Tokenizer,
    size: int,
    workdir: pathlib.Path,
) -> Float[np.ndarray, "V E"]:
    """Returns `word_vectors.factorise` of the documents to train on, made once."""
    data = config.data
    settings = data.text_column, data.held_out, config.seed, size
    name = documents.digest(files(config), pieces.fingerprint, *settings)
    path = workdir / "word_vectors" / f"{name}.npy"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        made = word_vectors.factorise(text.store, text.train, len(pieces), size)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, made)
        partial.rename(path)
    return np.load(path)
