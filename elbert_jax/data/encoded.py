"""Tokenised texts in flat arrays. Letters: M texts, L tokens of a text."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from elbert_jax.data.tokenization import Tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded:
    """M texts in flat arrays: text m is `tokens[offsets[m] : offsets[m + 1]]`."""

    tokens: np.ndarray  # int32 [sum of L]
    types: np.ndarray  # int8 [sum of L]
    offsets: np.ndarray  # int64 [M + 1]
    labels: np.ndarray  # int32 [M], -1 without a label
    truncated: int  # number of truncated texts

    @classmethod
    def build(
        cls,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        pairs: Sequence[str | None] | None = None,
        labels: np.ndarray | None = None,
        max_length: int = 512,
    ) -> "Encoded":
        """Tokenises M texts; `pairs` are second texts or None, `labels` int32 [M]."""
        encodings = tokenizer.encode(texts, pairs, max_length)
        none = np.zeros(0, np.int8)
        return cls(
            np.concatenate([none, *(e.tokens for e in encodings)], dtype=np.int32),
            np.concatenate([none, *(e.types for e in encodings)], dtype=np.int8),
            np.cumsum([0, *(len(e.tokens) for e in encodings)], dtype=np.int64),
            np.full(len(encodings), -1, np.int32) if labels is None else labels,
            sum(e.truncated for e in encodings),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of every text, int64 [M]."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> "Encoded":
        """Returns the texts of these numbers."""
        spans = [np.arange(*self.offsets[row : row + 2]) for row in rows]
        tokens = np.concatenate([np.zeros(0, np.int64), *spans])
        return Encoded(
            self.tokens[tokens],
            self.types[tokens],
            np.cumsum([0, *self.lengths[rows]]),
            self.labels[rows],
            self.truncated,
        )

    def joined(self, other: "Encoded") -> "Encoded":
        """Returns these texts and then the other ones."""
        return Encoded(
            np.concatenate([self.tokens, other.tokens]),
            np.concatenate([self.types, other.types]),
            np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]]),
            np.concatenate([self.labels, other.labels]),
            self.truncated + other.truncated,
        )
