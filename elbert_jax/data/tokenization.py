"""Texts to ALBERT's token ids."""

import copy
import hashlib
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from transformers import PreTrainedTokenizerFast

from elbert_jax.data import tokenizer_files
from elbert_jax.errors import UserError, reason
from elbert_jax.hub import download
from elbert_jax.settings import check, one_of

TRUNCATIONS = ("head", "tail", "head+tail")  # the part of a longer text to keep
_T = TypeVar("_T")
_CHUNK = 1024  # texts per call of the tokenizer
# Key of tokenizer_config.json, whose own `truncation_side` cannot say both ends.
_TRUNCATION = "elbert_truncation"


class Encoding(NamedTuple):
    """One encoded input: [CLS] text [SEP], or [CLS] text [SEP] second text [SEP]."""

    tokens: np.ndarray  # int32 [L]
    types: np.ndarray  # int8 [L]: 1 in the second text and its [SEP]
    truncated: bool


class TokenSpan(NamedTuple):
    """A token of a text, and the characters `[start, end)` that it stands for."""

    token: str
    start: int  # several tokens may stand for the same characters
    end: int
    word: int  # number of its word


class Tokenizer:
    """A checkpoint's tokenizer: SentencePiece, or WordPiece in Chinese ALBERTs.

    `len` is the size of the vocabulary.
    """

    def __init__(self, hf: PreTrainedTokenizerFast, directory: pathlib.Path):
        self.hf = hf
        self.directory = directory
        # A copy, as calls of `hf` change its truncation and padding.
        self._backend = copy.deepcopy(hf.backend_tokenizer)
        self._backend.no_truncation()
        self._backend.no_padding()
        # "[MASK]" in a text is six characters, not a special token.
        self._backend.encode_special_tokens = True

    @classmethod
    def load(cls, name: str | pathlib.Path) -> "Tokenizer":
        """Returns the tokenizer of a directory, or of a model on the hub."""
        directory = download.directory(name)
        try:
            hf = tokenizer_files.load(directory)
        except UserError:
            raise
        except Exception as error:  # the tokenizers package raises plain Exception
            told = f"the tokenizer in {name} is damaged: {reason(error)}"
            raise UserError(told) from error
        if hf.cls_token_id is None or hf.sep_token_id is None:
            raise UserError(f"the tokenizer in {name} has no [CLS] or no [SEP]")
        tokenizer = cls(hf, directory)
        entry = f"{_TRUNCATION} of the tokenizer in {name}"
        check(entry, tokenizer.truncation, one_of(TRUNCATIONS))
        return tokenizer

    def __len__(self) -> int:
        return len(self.hf)

    @property
    def special_ids(self) -> dict[str, int]:
        """The ids of [CLS] and [SEP], as config.json names them."""
        ids: Any = self.hf.cls_token_id, self.hf.sep_token_id
        return dict(zip(("bos_token_id", "eos_token_id"), ids))

    @property
    def truncation(self) -> str:
        """The part of a longer text that `encode` keeps: one of `TRUNCATIONS`."""
        side = "tail" if self.hf.truncation_side == "left" else "head"
        return self.hf.init_kwargs.get(_TRUNCATION, side)

    @property
    def max_length(self) -> int:
        """Maximum length its model was trained with; huge if unknown."""
        return self.hf.model_max_length

    def limit(self, max_length: int, truncation: str) -> None:
        """Sets the maximum length that `save` records, and the truncation of `encode`.

        transformers truncates likewise, but keeps the head for "head+tail".
        """
        check("truncation", truncation, one_of(TRUNCATIONS))
        self.hf.model_max_length = max_length
        side = self.hf.truncation_side = "left" if truncation == "tail" else "right"
        self.hf.init_kwargs |= {"truncation_side": side, _TRUNCATION: truncation}

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str | None] | None = None,
        max_length: int = 512,
    ) -> list[Encoding]:
        """Tokenises texts, adds special tokens and truncates; "" is [CLS] [SEP].

        Longer texts keep their head, tail, or both, a quarter of the tokens from the
        head (Sun et al., "How to Fine-Tune BERT for Text Classification", 2019: 128
        and 382 of 510). In a pair, the longer text is truncated first. `max_length`
        includes special tokens.

        Raises:
          UserError: A text is not a string, or has a lone surrogate.
        """
        if max_length < 4:
            raise UserError(f"max_length is {max_length}; it should be 4 or more")
        cls, sep = self.hf.cls_token_id, self.hf.sep_token_id
        truncation = self.truncation
        pairs = [None] * len(texts) if pairs is None else pairs
        ids = self.token_ids(texts), self.token_ids([b or "" for b in pairs])
        encodings = []
        for a, b, pair in zip(*ids, pairs, strict=True):
            if pair is None:
                first, second = truncate(a, max_length - 2, truncation), []
                truncated = len(first) < len(a)
            else:
                limit_a, limit_b = _share(len(a), len(b), max_length - 3)
                first = truncate(a, limit_a, truncation)
                second = [*truncate(b, limit_b, truncation), sep]
                truncated = limit_a + limit_b < len(a) + len(b)
            tokens = np.array([cls, *first, sep, *second], np.int32)
            types = np.zeros(len(tokens), np.int8)
            types[len(first) + 2 :] = 1
            encodings.append(Encoding(tokens, types, truncated))
        return encodings

    def check_fits(self, model: object, vocab_size: int) -> None:
        """Raises a UserError if a model's vocabulary is smaller than this one."""
        if len(self) > vocab_size:
            raise UserError(
                f"the tokenizer has {len(self)} tokens, but {model} embeds "
                f"{vocab_size}: take the model's own tokenizer"
            )

    @property
    def fingerprint(self) -> str:
        """A hash of everything that decides a text's tokens."""
        return hashlib.sha256(self._backend.to_str().encode()).hexdigest()

    def vocabulary(self) -> list[str]:
        """Returns all tokens, by id."""
        tokens: Any = self.hf.convert_ids_to_tokens(list(range(len(self))))
        return tokens

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the token ids of every text, without special tokens, in parallel."""
        ids = []
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            for row, text in enumerate(chunk, start):  # a list would pass as a pair
                if not is_text(text):
                    raise UserError(f"text {row} is not valid Unicode text")
            encoded = self._backend.encode_batch_fast(chunk, add_special_tokens=False)
            ids += [e.ids for e in encoded]
        return ids

    def align(self, text: str) -> list[TokenSpan]:
        """Returns the tokens of one text, without special tokens, with their spans."""
        self.token_ids([text])  # checks it
        encoded = self._backend.encode(text, add_special_tokens=False)
        names: Any = self.hf.convert_ids_to_tokens(encoded.ids)
        words: Any = encoded.word_ids
        spans = zip(names, encoded.offsets, words, strict=True)
        return [TokenSpan(name, *span, word) for name, span, word in spans]

    def save(self, directory: str | pathlib.Path) -> None:
        """Writes files that transformers' `AutoTokenizer` can open."""
        directory = pathlib.Path(directory)
        self.hf.save_pretrained(directory)
        model = self.directory / "spiece.model"  # transformers 5 does not write it
        if model.is_file() and not (directory / model.name).exists():
            shutil.copyfile(model, directory / model.name)


def _share(a: int, b: int, limit: int) -> tuple[int, int]:
    """Returns the lengths to keep of two texts; the longer is truncated first."""
    if a + b <= limit:
        return a, b
    short = min(a, b, limit // 2)
    return (short, limit - short) if a <= b else (limit - short, short)


def truncate(tokens: list[_T], limit: int, truncation: str) -> list[_T]:
    """Returns at most `limit` tokens; `truncation` is one of `TRUNCATIONS`."""
    if len(tokens) <= limit:
        return tokens
    head = {"head": limit, "tail": 0, "head+tail": -(-limit // 4)}[truncation]
    return tokens[:head] + tokens[len(tokens) - (limit - head) :]


def is_text(text: object) -> bool:
    """Returns whether `text` is a string of valid Unicode."""
    try:
        return isinstance(text, str) and text.encode() is not None
    except UnicodeEncodeError:
        return False
