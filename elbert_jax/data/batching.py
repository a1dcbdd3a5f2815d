"""Pre-tokenised texts, and padded batches of them.

Letters: M texts, B rows of a batch, L tokens of a row.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from elbert_jax.data.tokenization import Tokenizer

USUAL_LENGTH = 16  # tokens of a text, where slots are counted in texts
# Padded lengths in use: one compiled program for each.
BUCKETS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_FINE = sorted(
    {length for step in (2, 4, 8, 16, 32) for length in range(step, 17 * step, step)}
)


class Batch(NamedTuple):
    """B rows of L tokens; filler rows have weight 0 and the index M."""

    tokens: np.ndarray  # int32 [B, L], 0 at padding
    types: np.ndarray  # int32 [B, L]: 1 in the second text of a pair
    mask: np.ndarray  # bool [B, L]: True at real tokens
    labels: np.ndarray  # int32 [B], -1 where there is none
    weight: np.ndarray  # float32 [B]: 1, or 0 in filler rows
    index: np.ndarray  # int32 [B]: row of the corpus

    @property
    def inputs(self) -> tuple[Any, Any, Any]:
        """Tokens, mask and types: what a model takes, here or traced by jit."""
        return self.tokens, self.mask, self.types

    @property
    def targets(self) -> tuple[Any, Any]:
        """Labels and weight: what a loss takes."""
        return self.labels, self.weight


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded:
    """M texts in flat arrays: text m is `tokens[offsets[m] : offsets[m + 1]]`."""

    tokens: np.ndarray  # int32 [sum of L]
    types: np.ndarray  # int8 [sum of L]
    offsets: np.ndarray  # int64 [M + 1]
    labels: np.ndarray  # int32 [M], -1 where there is none
    truncated: int  # how many texts were cut

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

    @classmethod
    def empty(cls) -> "Encoded":
        """Returns a corpus without a text."""
        none = np.zeros(0, np.int32)
        return cls(none, none.astype(np.int8), np.zeros(1, np.int64), none, 0)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """int64 [M]: tokens of every text."""
        return np.diff(self.offsets)


def bucket_lengths(max_length: int) -> tuple[int, ...]:
    """Returns `BUCKETS` up to `max_length`, which is the last."""
    return (*(length for length in BUCKETS if length < max_length), max_length)


def fitting_lengths(
    lengths: np.ndarray, at_least: Callable[[int], int], longest: int
) -> tuple[int, ...]:
    """Returns padded lengths for texts like these, as fine as their number is worth.

    Args:
      lengths: [M] tokens of the texts.
      at_least: gives the texts that a padded length should serve; they share the next
        longer one otherwise.
      longest: of any text to come. Beyond these texts the lengths are coarse.
    """
    fine = [length for length in _FINE if length < longest] + [longest]
    counts = np.bincount(np.searchsorted(fine, lengths), minlength=len(fine))
    chosen, waiting, left = [], 0, len(lengths)
    for length, count in zip(fine, counts.tolist()):
        waiting, left = waiting + count, left - count
        if waiting and (waiting >= at_least(length) or not left):
            chosen, waiting = [*chosen, length], 0
    top = max(chosen, default=0)
    return (*chosen, *(length for length in bucket_lengths(longest) if length > top))


def check(lengths: np.ndarray, buckets: Sequence[int]) -> None:
    """Raises a ValueError where a text is longer than the last of the buckets."""
    if (longest := lengths.max(initial=0)) > buckets[-1]:
        raise ValueError(
            f"a text of {longest} tokens exceeds the last bucket, {buckets[-1]}"
        )


def pad(
    encoded: Encoded, rows: np.ndarray, length: int, batch_size: int | None = None
) -> Batch:
    """Returns rows of the corpus as one batch.

    Args:
      encoded: the corpus.
      rows: int [R], R >= 1.
      length: L, no shorter than any of the rows.
      batch_size: B; rows beyond R repeat the last one, with weight 0.
    """
    filler = (batch_size or len(rows)) - len(rows)
    rows = np.concatenate([rows, np.repeat(rows[-1:], filler)])
    lengths = encoded.lengths[rows]
    if lengths.max() > length:
        raise ValueError(f"a text of {lengths.max()} tokens exceeds {length}")
    mask = np.arange(length) < lengths[:, None]
    source = np.where(mask, encoded.offsets[rows, None] + np.arange(length), 0)
    real = np.arange(len(rows)) < len(rows) - filler
    return Batch(
        np.where(mask, encoded.tokens[source], 0),
        np.where(mask, encoded.types[source], 0).astype(np.int32),
        mask,
        encoded.labels[rows],
        real.astype(np.float32),
        np.where(real, rows, len(encoded)).astype(np.int32),
    )


Room = Callable[[np.ndarray], np.ndarray]  # L to the most texts of a batch


def room(texts: int, least: int = 1) -> Room:
    """Returns the sizes of batches that hold so many texts of 16 tokens.

    Of longer ones they hold fewer, but no less than `least` if there are as many.
    """

    def of(length: np.ndarray) -> np.ndarray:
        return np.clip(texts * USUAL_LENGTH // length, min(texts, least), texts)

    return of


def cut(
    lengths: np.ndarray, buckets: Sequence[int], room: Room
) -> Iterator[tuple[np.ndarray, int]]:
    """Yields the rows of length-sorted batches, and each batch's padded length.

    Args:
      lengths: int [M], of the texts.
      buckets: the padded lengths there are, from short to long.
      room: how many texts a batch may hold; no more of long ones than of short ones.

    Raises:
      ValueError: a text is longer than the last bucket.
    """
    check(lengths, buckets)
    order = np.argsort(lengths, kind="stable")
    padded = np.asarray(buckets)[np.searchsorted(buckets, lengths[order])]
    start = 0
    while start < len(order):
        ahead = padded[start : start + int(room(padded[start]))]
        count = int((np.arange(1, len(ahead) + 1) <= room(ahead)).sum())
        yield order[start : start + count], int(ahead[count - 1])
        start += count


def take(encoded: Encoded, rows: np.ndarray) -> Encoded:
    """Returns some of the texts."""
    spans = [np.arange(*encoded.offsets[row : row + 2]) for row in rows]
    tokens = np.concatenate([np.zeros(0, np.int64), *spans])
    return dataclasses.replace(
        encoded,
        tokens=encoded.tokens[tokens],
        types=encoded.types[tokens],
        offsets=np.cumsum([0, *encoded.lengths[rows]]),
        labels=encoded.labels[rows],
    )


def some_batches(
    encoded: Encoded, batches: Sequence[np.ndarray], count: int
) -> Encoded:
    """Returns the texts of about so many batches, evenly spaced among those of `cut`.

    They are cut into the same batches when they are alone.
    """
    places = (np.arange(count) + 0.5) * len(batches) / count
    chosen = [batches[place] for place in dict.fromkeys(places.astype(int).tolist())]
    return take(encoded, np.concatenate(chosen))


def cut_in_order(
    encoded: Encoded, order: np.ndarray, batch_size: int, buckets: Sequence[int]
) -> list[tuple[np.ndarray, int]]:
    """Cuts texts, ordered by bucket, into batches of (rows, L).

    What a bucket leaves over fills up the first batch of the next longer one; only
    the last batch is short.
    """
    check(encoded.lengths, buckets)
    batches = []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        longest = encoded.lengths[rows].max()
        batches.append((rows, next(b for b in buckets if b >= longest)))
    return batches


def eval_batches(
    encoded: Encoded, batch_size: int, buckets: Sequence[int] = BUCKETS
) -> Iterator[Batch]:
    """Yields every text once, short ones first, in batches of one size."""
    order = np.argsort(encoded.lengths, kind="stable")
    for rows, length in cut_in_order(encoded, order, batch_size, buckets):
        yield pad(encoded, rows, length, batch_size)


def joined(one: Encoded, other: Encoded) -> Encoded:
    """Returns the texts of both, in their order."""
    return Encoded(
        np.concatenate([one.tokens, other.tokens]),
        np.concatenate([one.types, other.types]),
        np.concatenate([one.offsets, other.offsets[1:] + one.offsets[-1]]),
        np.concatenate([one.labels, other.labels]),
        one.truncated + other.truncated,
    )
