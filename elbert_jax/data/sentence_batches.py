"""Tokenised documents cut into rows of whole sentences, in batches with little padding.

Letters: B rows of a batch, L tokens of a row.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from elbert_jax.data.documents import TokenStore
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError

_SPECIAL = 2  # [CLS] text [SEP]
_SHORTEST = 4  # tokens of a usable text
_PADDING = 1 / 8  # largest share of a row that may be padding
_ENDS, _CLOSING = (".", "!", "?"), ('"', "'", ")", "]", "”", "’")


class TextBatch(NamedTuple):
    """B texts of L tokens: [CLS] text [SEP]."""

    tokens: Any  # int32 [B, L], 0 at padding
    mask: Any  # bool [B, L]: True at real tokens


class Bucket(NamedTuple):
    """A row length, and its share of the batches."""

    length: int  # L, with the special tokens
    share: float


class SentenceBatches:
    """Indexed batches of texts that start at the start of a sentence.

    A text ends at the end of a sentence if one lies in the last eighth of its row;
    else it is truncated, and the rest of that sentence is skipped. Each batch is a
    function of the seed and its index alone.
    """

    def __init__(
        self,
        store: TokenStore,
        rows: np.ndarray,
        tokenizer: Tokenizer,
        buckets: Sequence[Bucket],
        batch_tokens: int,
        steps: int,
        seed: int,
    ):
        """Cuts documents into texts.

        Args:
          rows: int [R], indices of the documents to use.
          tokenizer: the one that made the store's tokens.
          batch_tokens: B x L of every batch, rounded down to whole rows.
          steps: number of batches.
          seed: of the cuts and of the order.

        Raises:
          UserError: there is too little text for one of the row lengths.
        """
        self.store, self.buckets, self.steps, self.seed = store, buckets, steps, seed
        hf: Any = tokenizer.hf
        self.cls, self.sep = hf.cls_token_id, hf.sep_token_id
        self.batch_sizes = [max(1, batch_tokens // b.length) for b in buckets]
        self.starts, self.sizes = _cut(store, rows, tokenizer, buckets, seed)
        for bucket, starts in zip(buckets, self.starts):
            if not len(starts):
                raise UserError(
                    f"{len(rows)} documents have no sentence for rows of "
                    f"{bucket.length} tokens: give more text"
                )
        draws = np.random.Generator(np.random.Philox(seed)).random(steps)
        shares = [bucket.share for bucket in buckets]
        self.bucket_of = np.searchsorted(_ends(shares)[:-1], draws, side="right")
        self.number = np.zeros(steps, np.int64)  # index among its bucket's batches
        for n in range(len(buckets)):
            mine = self.bucket_of == n
            self.number[mine] = np.arange(mine.sum())
        self._order = functools.lru_cache(2 * len(buckets))(self._make_order)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> TextBatch:
        bucket = int(self.bucket_of[index])
        size, count = self.batch_sizes[bucket], len(self.starts[bucket])
        epoch, place = np.divmod(self.number[index] * size + np.arange(size), count)
        which = [self._order(bucket, int(e))[p] for e, p in zip(epoch, place)]
        return self._batch(bucket, np.array(which))

    def spread(self, count: int) -> list[TextBatch]:
        """Returns `count` batches of every bucket, evenly spread over its texts."""
        batches = []
        for bucket, size in enumerate(self.batch_sizes):
            last = len(self.starts[bucket]) - 1
            which = np.linspace(0, last, count * size).astype(np.int64)
            batches += [self._batch(bucket, w) for w in which.reshape(count, size)]
        return batches

    def _batch(self, bucket: int, which: np.ndarray) -> TextBatch:
        starts, sizes = self.starts[bucket][which], self.sizes[bucket][which]
        column = np.arange(self.buckets[bucket].length)[None]
        place = starts[:, None] + np.clip(column - 1, 0, sizes[:, None] - 1)
        tokens = self.store.tokens[place].astype(np.int32)
        tokens[:, 0] = self.cls
        tokens = np.where(column == sizes[:, None] + 1, self.sep, tokens)
        mask = column < sizes[:, None] + _SPECIAL
        return TextBatch(np.where(mask, tokens, 0).astype(np.int32), mask)

    def _make_order(self, bucket: int, epoch: int) -> np.ndarray:
        random = np.random.default_rng([self.seed, bucket, epoch])
        return random.permutation(len(self.starts[bucket]))


def _ends(shares: Sequence[float]) -> np.ndarray:
    """Returns the ends of intervals of [0, 1] with these relative lengths."""
    return np.cumsum(shares) / np.sum(shares)


def _cut(
    store: TokenStore,
    rows: np.ndarray,
    tokenizer: Tokenizer,
    buckets: Sequence[Bucket],
    seed: int,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns, by bucket, where its texts start in the store, and their lengths."""
    is_end, is_closing = _marks(tokenizer)
    limits = np.array([bucket.length - _SPECIAL for bucket in buckets])
    # A batch has fewer rows of a longer bucket, which then needs fewer texts.
    ends = _ends([bucket.share / limit for bucket, limit in zip(buckets, limits)])
    random = np.random.Generator(np.random.Philox([seed, 1]))
    texts = [[] for _ in buckets]
    for row in rows:
        first, last = (int(place) for place in store.offsets[row : row + 2])
        starts = _sentence_starts(store.tokens[first:last], is_end, is_closing)
        draws = np.searchsorted(ends[:-1], random.random(len(starts)), side="right")
        number = 0
        while number < len(starts) - 1:
            start, bucket = int(starts[number]), int(draws[number])
            limit = int(limits[bucket])
            shortest = (1 - _PADDING) * limit
            fits = int(np.searchsorted(starts, start + limit, side="right")) - 1
            end = int(starts[fits])
            if end - start < shortest:
                end = min(start + limit, last - first)
            if end - start >= max(_SHORTEST, shortest):
                texts[bucket].append((first + start, end - start))
            number = max(number + 1, int(np.searchsorted(starts, end)))
    arrays = [np.array(each, np.int64).reshape(-1, 2) for each in texts]
    return [a[:, 0] for a in arrays], [a[:, 1] for a in arrays]


def _marks(tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Returns masks over the vocabulary: ends of sentences, closing marks."""
    bare = [token.lstrip("▁").removeprefix("##") for token in tokenizer.vocabulary()]
    return np.isin(bare, _ENDS), np.isin(bare, _CLOSING)


def _sentence_starts(
    tokens: np.ndarray, is_end: np.ndarray, is_closing: np.ndarray
) -> np.ndarray:
    """Returns the starts of all sentences, and the end of the last one."""
    end = is_end[tokens]
    closing = end | is_closing[tokens]
    after_end = np.zeros(len(tokens), bool)
    after_end[1:] = end[:-1]
    for _ in range(2):  # at most two more marks belong to the sentence, as in '?!"'
        after_end[1:] |= after_end[:-1] & closing[:-1]
    starts = np.flatnonzero(after_end & ~closing)
    return np.concatenate([[0], starts[starts > 0], [len(tokens)]])
