"""Padded lengths and batches of tokenised texts.

Letters: M texts, B rows of a batch, L tokens of a row.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from elbert_jax.data.encoded import Encoded

USUAL_LENGTH = 16  # tokens of a typical text, in which batch sizes and slots count
# Default padded lengths, each of which compiles one program.
BUCKETS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_FINE = sorted(
    {length for step in (2, 4, 8, 16, 32) for length in range(step, 17 * step, step)}
)


class Batch(NamedTuple):
    """B rows of L tokens; filler rows have weight 0 and index M."""

    tokens: np.ndarray  # int32 [B, L], 0 at padding
    types: np.ndarray  # int32 [B, L]: 1 in the second text of a pair
    mask: np.ndarray  # bool [B, L]: True at real tokens
    labels: np.ndarray  # int32 [B], -1 without a label
    weight: np.ndarray  # float32 [B]: 1, or 0 in filler rows
    index: np.ndarray  # int32 [B]: number of the text

    @property
    def inputs(self) -> tuple[Any, Any, Any]:
        """Tokens, mask and types, the arguments of a model."""
        return self.tokens, self.mask, self.types

    @property
    def targets(self) -> tuple[Any, Any]:
        """Labels and weight, the arguments of a loss."""
        return self.labels, self.weight


def bucket_lengths(max_length: int) -> tuple[int, ...]:
    """Returns the `BUCKETS` below `max_length`, and `max_length`."""
    return (*(length for length in BUCKETS if length < max_length), max_length)


def fitting_lengths(
    lengths: np.ndarray, at_least: Callable[[int], int], longest: int
) -> tuple[int, ...]:
    """Returns padded lengths that suit texts like these, finer if there are many.

    Fewer texts than `at_least(length)` merge into the next longer padded length. From
    the longest text to `longest`, the maximum of any other text, `BUCKETS` are used.
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
    """Raises a ValueError if a text is longer than the last bucket."""
    if (longest := lengths.max(initial=0)) > buckets[-1]:
        raise ValueError(
            f"a text of {longest} tokens exceeds the last bucket, {buckets[-1]}"
        )


def pad(
    encoded: Encoded, rows: np.ndarray, length: int, batch_size: int | None = None
) -> Batch:
    """Returns the texts of these numbers as one padded batch.

    Filler rows, up to `batch_size`, repeat the last text.
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


MaxBatchSize = Callable[[np.ndarray], np.ndarray]  # a function of padded lengths


def max_batch_size(texts: int, least: int = 1) -> MaxBatchSize:
    """Returns batch sizes of constant tokens: `texts` up to 16 tokens, fewer above.

    No batch size is under `least`, or under `texts` if that is smaller.
    """
    tokens, least = texts * USUAL_LENGTH, min(texts, least)
    return lambda length: np.clip(tokens // length, least, texts)


def cut(
    lengths: np.ndarray, buckets: Sequence[int], max_batch_size: MaxBatchSize
) -> Iterator[tuple[np.ndarray, int]]:
    """Yields length-sorted batches, each as text numbers and padded length.

    `buckets` ascend, and `max_batch_size` must not grow with the length.
    """
    check(lengths, buckets)
    order = np.argsort(lengths, kind="stable")
    padded = np.asarray(buckets)[np.searchsorted(buckets, lengths[order])]
    start = 0
    while start < len(order):
        ahead = padded[start : start + int(max_batch_size(padded[start]))]
        count = int((np.arange(1, len(ahead) + 1) <= max_batch_size(ahead)).sum())
        yield order[start : start + count], int(ahead[count - 1])
        start += count


def some_batches(
    encoded: Encoded, batches: Sequence[np.ndarray], count: int
) -> Encoded:
    """Returns the texts of about `count` batches of `cut`, evenly spaced."""
    places = (np.arange(count) + 0.5) * len(batches) / count
    chosen = [batches[place] for place in dict.fromkeys(places.astype(int).tolist())]
    return encoded.take(np.concatenate(chosen))


def cut_in_order(
    encoded: Encoded, order: np.ndarray, batch_size: int, buckets: Sequence[int]
) -> list[tuple[np.ndarray, int]]:
    """Returns batches of one size, each as text numbers and padded length.

    A batch may begin with the last texts of one bucket and continue with the next;
    only the last batch is short. `order` holds text numbers, ascending by bucket.
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
    """Yields every text once, sorted by length, in batches of one size."""
    order = np.argsort(encoded.lengths, kind="stable")
    for rows, length in cut_in_order(encoded, order, batch_size, buckets):
        yield pad(encoded, rows, length, batch_size)
