"""Texts to ALBERT's piece ids."""

import base64
import copy
import hashlib
import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from transformers import AlbertTokenizer, BertTokenizer, PreTrainedTokenizerFast

from elbert_jax.errors import UserError
from elbert_jax.hub import download

TRUNCATIONS = ("head", "tail", "head+tail")  # what is kept of a longer text
_T = TypeVar("_T")
_CHUNK = 1024  # texts handed to the tokenizer at once
# In tokenizer_config.json, whose own `truncation_side` has no word for both ends.
_TRUNCATION = "elbert_truncation"


class Encoding(NamedTuple):
    """One text or pair: [CLS] text [SEP], or [CLS] text [SEP] second text [SEP]."""

    tokens: np.ndarray  # int32 [L]
    types: np.ndarray  # int8 [L]: 1 from the second text on
    truncated: bool


class Piece(NamedTuple):
    """A piece of a text, and the characters that it stands for."""

    piece: str
    start: int  # the first character; several pieces may stand for the same ones
    end: int  # the one after the last
    word: int  # number of the word that it belongs to


class Tokenizer:
    """A checkpoint's tokenizer, SentencePiece or (in Chinese ALBERTs) word pieces.

    `len` is the size of the vocabulary.
    """

    def __init__(self, hf: PreTrainedTokenizerFast, directory: pathlib.Path):
        self.hf = hf
        self.directory = directory
        # A copy, since a call of `hf` leaves its truncation and padding behind.
        self._backend = copy.deepcopy(hf.backend_tokenizer)
        self._backend.no_truncation()
        self._backend.no_padding()
        # "[MASK]" in a text is six characters, not a special piece.
        self._backend.encode_special_tokens = True

    @classmethod
    def load(cls, name: str | pathlib.Path) -> "Tokenizer":
        """Returns the tokenizer of a directory, or of a model on the Hub.

        Args:
          name: a directory with tokenizer.json, spiece.model or vocab.txt; or a
            model's name, such as "albert-base-v2".

        Raises:
          UserError: there is no such directory or model, or no vocabulary in it.
        """
        directory = download.directory(name)
        try:
            hf = _open(directory)
        except UserError:
            raise
        except Exception as error:  # the tokenizers package raises plain Exception
            reason = str(error).splitlines()[0]
            raise UserError(f"the tokenizer in {name} is damaged: {reason}") from error
        if hf.cls_token_id is None or hf.sep_token_id is None:
            raise UserError(f"the tokenizer in {name} has no [CLS] or no [SEP]")
        tokenizer = cls(hf, directory)
        _check(tokenizer.truncation, f"{_TRUNCATION} of the tokenizer in {name}")
        return tokenizer

    def __len__(self) -> int:
        return len(self.hf)

    @property
    def truncation(self) -> str:
        """Which end of a longer text is kept, or both: one of `TRUNCATIONS`."""
        side = "tail" if self.hf.truncation_side == "left" else "head"
        return self.hf.init_kwargs.get(_TRUNCATION, side)

    @property
    def max_length(self) -> int:
        """How many pieces of a text its model was trained on; huge if none says."""
        return self.hf.model_max_length

    def limit(self, max_length: int, truncation: str) -> None:
        """Sets what `save` writes down of how texts are cut, and `encode` cuts by.

        transformers cuts by it too, but for "head+tail", where it keeps the head.
        """
        _check(truncation, "truncation")
        self.hf.model_max_length = max_length
        self.hf.truncation_side = "left" if truncation == "tail" else "right"
        kept = {"truncation_side": self.hf.truncation_side, _TRUNCATION: truncation}
        self.hf.init_kwargs |= kept  # what transformers writes

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str | None] | None = None,
        max_length: int = 512,
    ) -> list[Encoding]:
        """Returns the pieces of every text; an empty text is [CLS] [SEP].

        Of a longer text, `truncation` says which pieces are kept: the first, the last,
        or both, a quarter of them from the head (Sun et al., "How to Fine-Tune BERT
        for Text Classification", 2019: 128 and 382 of 510). Of a pair, the longer text
        gives way first, and each keeps its own first pieces, last pieces or both.

        Args:
          texts: M texts.
          pairs: M second texts; None where a text stands alone.
          max_length: longer ones are cut.

        Raises:
          UserError: a text is no text, or holds a lone surrogate.
        """
        if max_length < 4:
            raise UserError(f"max_length is {max_length}; it should be 4 or more")
        cls, sep = self.hf.cls_token_id, self.hf.sep_token_id
        truncation = self.truncation
        pairs = [None] * len(texts) if pairs is None else pairs
        pieces = self.pieces(texts), self.pieces([b or "" for b in pairs])
        encodings = []
        for a, b, pair in zip(*pieces, pairs, strict=True):
            if pair is None:
                kept, second = keep(a, max_length - 2, truncation), []
                truncated = len(kept) < len(a)
            else:
                room_a, room_b = _share(len(a), len(b), max_length - 3)
                kept = keep(a, room_a, truncation)
                second = [*keep(b, room_b, truncation), sep]
                truncated = room_a + room_b < len(a) + len(b)
            tokens = np.array([cls, *kept, sep, *second], np.int32)
            types = np.zeros(len(tokens), np.int8)
            types[len(kept) + 2 :] = 1
            encodings.append(Encoding(tokens, types, truncated))
        return encodings

    def check_fits(self, model: object, vocab_size: int) -> None:
        """Raises a UserError where a model embeds fewer pieces than there are."""
        if len(self) > vocab_size:
            raise UserError(
                f"the tokenizer has {len(self)} pieces, but {model} embeds "
                f"{vocab_size}: take the model's own tokenizer"
            )

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides which pieces a text becomes."""
        return hashlib.sha256(self._backend.to_str().encode()).hexdigest()

    def vocabulary(self) -> list[str]:
        """Returns the pieces by their ids."""
        pieces: Any = self.hf.convert_ids_to_tokens(list(range(len(self))))
        return pieces

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Returns the piece ids of every text, without special ones, in parallel."""
        pieces = []
        for start in range(0, len(texts), _CHUNK):
            chunk = list(texts[start : start + _CHUNK])
            for row, text in enumerate(chunk, start):  # a list of two were a pair
                if not is_text(text):
                    raise UserError(f"text {row} is not valid Unicode text")
            encoded = self._backend.encode_batch_fast(chunk, add_special_tokens=False)
            pieces += [e.ids for e in encoded]
        return pieces

    def align(self, text: str) -> list[Piece]:
        """Returns what `pieces` does of one text, with its place in the text.

        Raises:
          UserError: it is no text, or holds a lone surrogate.
        """
        self.pieces([text])  # which checks it
        encoded = self._backend.encode(text, add_special_tokens=False)
        names: Any = self.hf.convert_ids_to_tokens(encoded.ids)
        words: Any = encoded.word_ids
        places = zip(names, encoded.offsets, words, strict=True)
        return [Piece(name, *place, word) for name, place, word in places]

    def save(self, directory: str | pathlib.Path) -> None:
        """Writes the files that transformers' `AutoTokenizer` opens."""
        directory = pathlib.Path(directory)
        self.hf.save_pretrained(directory)
        model = self.directory / "spiece.model"  # transformers 5 does not write it
        if model.is_file() and not (directory / model.name).exists():
            shutil.copyfile(model, directory / model.name)


def _open(directory: pathlib.Path) -> PreTrainedTokenizerFast:
    files = {path.name for path in directory.iterdir()}
    kind: Any = AlbertTokenizer
    if "tokenizer.json" in files:
        if files & {"tokenizer_config.json", "config.json"}:  # they name the class
            kind = _named_class(directory / "tokenizer_config.json")
    elif "spiece.model" in files:
        return _as_pretrained(kind.from_pretrained(directory))
    elif "vocab.txt" in files:
        kind = BertTokenizer
    else:  # where transformers would make do with five pieces
        raise UserError(f"{directory} has no tokenizer.json and no spiece.model")
    return kind.from_pretrained(directory, split_special_tokens=True)


def _named_class(config: pathlib.Path) -> Any:
    if config.exists():
        name = json.loads(config.read_text("utf-8")).get("tokenizer_class")
        if name in {"AlbertTokenizer", "AlbertTokenizerFast"}:
            return AlbertTokenizer
    # Here, as it imports torch where there is one: half the time a command starts in.
    from transformers import AutoTokenizer

    return AutoTokenizer


def _as_pretrained(hf: Any) -> AlbertTokenizer:
    """Rebuilds what transformers makes of a bare spiece.model, as ALBERT had it.

    transformers 5 cuts texts at the user-defined symbols ("-", "." and so on) before
    SentencePiece sees them, so that "e-mail" gains a space; and it keeps pieces such
    as "2010,", which ALBERT splits before the comma.
    """
    state = json.loads(hf.backend_tokenizer.to_str())
    last = state["normalizer"]["normalizers"][-1]
    charsmap: Any = base64.b64decode(last.get("precompiled_charsmap", "")) or None
    vocabulary = [
        (piece, score - 100 if piece[-1] == "," and piece[-2:-1].isdigit() else score)
        for piece, score in state["model"]["vocab"]
    ]
    return AlbertTokenizer(
        vocab=vocabulary,
        do_lower_case=hf.do_lower_case,
        keep_accents=hf.keep_accents,
        _spm_precompiled_charsmap=charsmap,
        split_special_tokens=True,
    )


def _share(a: int, b: int, room: int) -> tuple[int, int]:
    """Returns how much of each of two texts is kept: the longer is cut first."""
    if a + b <= room:
        return a, b
    short = min(a, b, room // 2)
    return (short, room - short) if a <= b else (room - short, short)


def keep(pieces: list[_T], room: int, truncation: str) -> list[_T]:
    """Returns at most `room` of the pieces; `truncation` is one of `TRUNCATIONS`."""
    if len(pieces) <= room:
        return pieces
    head = {"head": room, "tail": 0, "head+tail": -(-room // 4)}[truncation]
    return pieces[:head] + pieces[len(pieces) - (room - head) :]


def _check(truncation: object, name: str) -> None:
    if truncation not in TRUNCATIONS:
        known = ", ".join(TRUNCATIONS)
        raise UserError(f"{name} is {truncation!r}; it may be {known}")


def is_text(text: object) -> bool:
    """Says whether that is a string of valid Unicode."""
    try:
        return isinstance(text, str) and text.encode() is not None
    except UnicodeEncodeError:
        return False
