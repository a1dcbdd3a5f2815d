"""Training a SentencePiece vocabulary."""

import io
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import sentencepiece
from tokenizers import normalizers

from elbert_jax import filesystem
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError

_CLEAN = normalizers.Sequence(  # as AlbertTokenizer does before SentencePiece
    [
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
    ]
)
_OPTIONS: dict[str, Any] = dict(
    model_type="unigram",
    hard_vocab_limit=False,
    normalization_rule_name="nmt_nfkc_cf",
    input_sentence_size=1_000_000,  # at most; they take some 7 GB of memory
    shuffle_input_sentence=True,  # with a fixed seed
    max_sentence_length=1 << 20,  # bytes; longer ones are ignored
    num_threads=16,  # fixed, because the vocabulary depends on it
    pad_id=0,
    pad_piece="<pad>",
    unk_id=1,
    unk_piece="<unk>",
    bos_id=-1,
    eos_id=-1,
    control_symbols=["[CLS]", "[SEP]", "[MASK]"],
    minloglevel=2,
)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, directory: str | pathlib.Path
) -> Tokenizer:
    """Trains a unigram vocabulary with ALBERT's special ids; returns its tokenizer.

    The same texts always give the same vocabulary. `vocab_size` includes the five
    special tokens; a small corpus may give fewer: use `len` of the result.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    model, faults = io.BytesIO(), []

    def sentences() -> Iterator[str]:
        try:
            for text in map(_CLEAN.normalize_str, texts):
                yield text
                # SentencePiece proposes only tokens found in two different words, so a
                # small corpus would lose its most frequent ones: give each word a
                # second form.
                yield re.sub(r"(?<=\w) ", ". ", text)
        except BaseException as error:  # SentencePiece would hide it
            faults.append(error)
            raise

    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences(),
            model_writer=model,
            vocab_size=vocab_size,
            **_OPTIONS,
        )
    except RuntimeError as error:
        for fault in faults:
            raise fault from None
        told = str(error).rpartition("] ")[2] or "the corpus is empty"
        raise UserError(f"cannot find {vocab_size} tokens: {told}") from error
    with filesystem.replacing(directory / "spiece.model") as file:
        file.write(model.getvalue())
    return Tokenizer.load(directory)
