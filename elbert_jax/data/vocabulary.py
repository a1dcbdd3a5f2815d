"""Training a SentencePiece vocabulary of one's own."""

import io
import pathlib
import re
from collections.abc import Iterable, Iterator

import sentencepiece
from tokenizers import normalizers

from elbert_jax import filesystem
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError

_CLEAN = normalizers.Sequence(  # what AlbertTokenizer does before SentencePiece
    [
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
    ]
)
_SAMPLE = 1_000_000  # lines that are learned from; they take some 7 GB


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, directory: str | pathlib.Path
) -> Tokenizer:
    """Trains a vocabulary with ALBERT's special ids, and returns its tokenizer.

    The same texts always give the same vocabulary, which a small corpus may leave
    smaller than was asked for: go by `len` of what is returned.

    Args:
      texts: the corpus.
      vocab_size: pieces wanted, the five special ones included.
      directory: gets spiece.model; is made if need be.

    Raises:
      UserError: the corpus is empty, or needs more pieces for its characters alone.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    model, faults = io.BytesIO(), []

    def sentences() -> Iterator[str]:  # whose faults SentencePiece makes its own
        try:
            yield from _sentences(texts)
        except BaseException as error:
            faults.append(error)
            raise

    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sentences(),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            normalization_rule_name="nmt_nfkc_cf",
            input_sentence_size=_SAMPLE,
            shuffle_input_sentence=True,  # always alike
            max_sentence_length=1 << 20,  # bytes; longer ones would be left out
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
    except RuntimeError as error:
        for fault in faults:
            raise fault from None
        reason = str(error).rpartition("] ")[2] or "the corpus is empty"
        raise UserError(f"cannot find {vocab_size} pieces: {reason}") from error
    with filesystem.replacing(str(directory / "spiece.model")) as file:
        file.write(model.getvalue())
    return Tokenizer.load(directory)


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        clean = _CLEAN.normalize_str(text)
        yield clean
        # A piece is proposed only where two different words hold it, so that a small
        # corpus would lose its most frequent words: give each word a second form.
        yield re.sub(r"(?<=\w) ", ". ", clean)
