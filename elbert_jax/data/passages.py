"""Pretraining batches: passages of tokenised documents, masked, in two segments.

Letters: B rows of a batch, L tokens of a row, P masked positions of a row, V tokens of
the vocabulary.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import grain
import numpy as np

from elbert_jax.data import masking, training_batches
from elbert_jax.data.documents import TokenStore
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError

_SPECIAL = 3  # [CLS] first segment [SEP] second segment [SEP]
_SHORTEST = 8  # tokens; shorter passages are left out


class MaskedBatch(NamedTuple):
    """B rows of L tokens, some of them masked, in two segments that may be swapped."""

    tokens: np.ndarray  # int32 [B, L], 0 at padding
    types: np.ndarray  # int32 [B, L]: 1 in the second segment
    mask: np.ndarray  # bool [B, L]: True at real tokens
    positions: np.ndarray  # int32 [B, P]: the positions to predict
    targets: np.ndarray  # int32 [B, P]: the original tokens there
    weight: np.ndarray  # float32 [B, P]: 1, or 0 at filler positions
    swapped: np.ndarray  # int32 [B]: 1 where the segments are swapped

    @property
    def inputs(self) -> tuple[Any, Any, Any, Any]:
        """Tokens, mask, types and positions: the model's inputs."""
        return self.tokens, self.mask, self.types, self.positions


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
    """The special tokens, and which tokens start a word."""

    cls: int
    sep: int
    mask: int
    starts_word: np.ndarray  # bool [V]
    ordinary: np.ndarray  # int64: ids of all tokens but the special ones

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Vocabulary":
        """Returns the vocabulary of a SentencePiece or WordPiece tokenizer."""
        tokens, hf = tokenizer.vocabulary(), cast(Any, tokenizer.hf)
        if hf.mask_token_id is None:
            raise UserError("the tokenizer has no [MASK]")
        starts = np.array([token.startswith("▁") for token in tokens])
        if not starts.any():  # WordPiece marks continuations instead
            starts = np.array([not token.startswith("##") for token in tokens])
        ordinary = np.setdiff1d(np.arange(len(tokens)), hf.all_special_ids)
        return cls(hf.cls_token_id, hf.sep_token_id, hf.mask_token_id, starts, ordinary)


class Passages:
    """Passages of documents: consecutive whole words that fill a row of L tokens.

    A passage under 8 tokens, at the end of a document, is left out; a word longer than
    a row is truncated. `rows` are the indices of the documents to use; for `rate` and
    `max_ngram` see `masking.choose`.
    """

    def __init__(
        self,
        store: TokenStore,
        rows: np.ndarray,
        vocabulary: Vocabulary,
        length: int,
        rate: float,
        max_ngram: int,
    ):
        self.store, self.vocabulary, self.length = store, vocabulary, length
        self.rate, self.max_ngram = rate, max_ngram
        self.capacity = length - _SPECIAL  # tokens of the text in a row
        self.num_masked = max(1, int(np.rint(rate * self.capacity)))  # P
        begins, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for row in rows:
            begin, end = store.offsets[row : row + 2]
            places = _boundaries(store.tokens[begin:end], vocabulary, self.capacity)
            begins.append(begin + places[:-1])
            sizes.append(np.minimum(np.diff(places), self.capacity))
        self.begins, self.sizes = np.concatenate(begins), np.concatenate(sizes)
        kept = self.sizes >= _SHORTEST
        self.begins, self.sizes = self.begins[kept], self.sizes[kept]
        if not len(self):
            raise UserError(
                f"none of {len(rows)} documents has {_SHORTEST} tokens: leave blank "
                "lines between documents only"
            )

    def __len__(self) -> int:
        return len(self.begins)

    def batch(self, which: np.ndarray, random: np.random.Generator) -> MaskedBatch:
        """Returns passages as a batch, split, swapped and masked at random."""
        vocabulary, sizes = self.vocabulary, self.sizes[which, None]
        begins, column = self.begins[which, None], np.arange(self.length)
        places = np.minimum(begins + np.arange(self.capacity), begins + sizes - 1)
        text = self.store.tokens[places].astype(np.int32)
        cut = _second_segments(text, sizes, vocabulary, random)
        swapped = random.random((len(which), 1)) < 0.5
        first = np.where(swapped, sizes - cut, cut)  # length of the first segment
        types = (column > first + 1) & (column < sizes + _SPECIAL)
        source = column - 1 - types + swapped * np.where(types, -first, cut)
        tokens = np.take_along_axis(text, source.clip(0, self.capacity - 1), axis=1)
        maskable = (column >= 1) & (column < sizes + 2) & (column != first + 1)
        separators = (column == first + 1) | (column == sizes + 2)
        tokens = np.where(separators, vocabulary.sep, np.where(maskable, tokens, 0))
        tokens[:, 0] = vocabulary.cls
        starts = vocabulary.starts_word[tokens]
        chosen = masking.choose(random, starts, maskable, self.rate, self.max_ngram)
        masked = masking.corrupt(
            random, tokens, chosen, vocabulary.mask, vocabulary.ordinary
        )
        positions = np.argsort(~chosen, axis=1, kind="stable")[:, : self.num_masked]
        return MaskedBatch(
            masked.astype(np.int32),
            types.astype(np.int32),
            np.broadcast_to(column < sizes + _SPECIAL, masked.shape),
            positions.astype(np.int32),
            np.take_along_axis(tokens, positions, axis=1).astype(np.int32),
            np.take_along_axis(chosen, positions, axis=1).astype(np.float32),
            swapped[:, 0].astype(np.int32),
        )


def _boundaries(
    tokens: np.ndarray, vocabulary: Vocabulary, capacity: int
) -> np.ndarray:
    """Returns the start of every passage, and the end of the last one.

    Passages end between words, as segments do, so that a boundary does not reveal the
    order of the segments.
    """
    words = np.flatnonzero(vocabulary.starts_word[tokens])
    places = np.concatenate([[0], words[words > 0], [len(tokens)]])
    # The end of a passage from each place: the last one that fits, at least a word.
    ends = np.searchsorted(places, places + capacity, side="right") - 1
    ends = np.maximum(ends, np.arange(len(places)) + 1)
    chosen = [0]
    while chosen[-1] < len(places) - 1:
        chosen.append(int(ends[chosen[-1]]))
    return places[chosen]


def _second_segments(
    text: np.ndarray,
    sizes: np.ndarray,
    vocabulary: Vocabulary,
    random: np.random.Generator,
) -> np.ndarray:
    """Returns the start of the second segment, [B, 1]: a word of the middle half.

    Splitting at ends of sentences would reveal the order, as passages end anywhere.
    """
    column = np.arange(text.shape[1])
    score = random.random(text.shape) + vocabulary.starts_word[text]
    middle = (column >= np.maximum(sizes // 4, 1)) & (column < sizes - sizes // 4)
    return np.where(middle, score, -1).argmax(1)[:, None]


class Plan(NamedTuple):
    """A number of batches of B passages.

    A later plan of the same passages continues where an earlier one ended.
    """

    passages: Passages
    batch_size: int
    steps: int


class _Steps:
    """The batches of all plans by their index; each is a function of the seed."""

    def __init__(self, plans: Sequence[Plan], seed: int):
        self.plans, self.seed = plans, seed
        self.ends = np.cumsum([plan.steps for plan in plans])
        self.sources = list(dict.fromkeys(plan.passages for plan in plans))
        drawn = dict.fromkeys(self.sources, 0)
        self.begins = []  # of each plan: the passages drawn by earlier plans
        for passages, size, steps in plans:
            self.begins.append(drawn[passages])
            drawn[passages] += size * steps
        self._order = functools.lru_cache(2 * len(drawn))(self._make_order)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> MaskedBatch:
        place = int(np.searchsorted(self.ends, index, side="right"))
        plan = self.plans[place]
        size, source = plan.batch_size, self.sources.index(plan.passages)
        step = index - (self.ends[place] - plan.steps)
        sample = self.begins[place] + step * size + np.arange(size)
        epoch, place = np.divmod(sample, len(plan.passages))
        which = np.array([self._order(source, e)[p] for e, p in zip(epoch, place)])
        random = np.random.Generator(np.random.Philox([self.seed, index]))
        return plan.passages.batch(which, random)

    def _make_order(self, source: int, epoch: int) -> np.ndarray:
        random = np.random.default_rng([self.seed, source, epoch])
        return random.permutation(len(self.sources[source]))


def train_iterator(plans: Sequence[Plan], seed: int) -> grain.DatasetIterator[Any]:
    """Returns a resumable iterator over the batches of all plans."""
    return training_batches.resumable(_Steps(plans, seed))


def eval_batches(passages: Passages, size: int, count: int) -> Iterator[MaskedBatch]:
    """Yields `count` batches of evenly spaced passages, the same ones at every call."""
    which = np.linspace(0, len(passages) - 1, count * size).astype(np.int64)
    for number, rows in enumerate(which.reshape(count, size)):
        yield passages.batch(rows, np.random.Generator(np.random.Philox(number)))
