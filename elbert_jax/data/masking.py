"""Masking of token n-grams for the masked language model.

Letters: B rows, L tokens.

References:
    Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language
    Representations", ICLR 2020, section 4.1.
    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", NAACL 2019,
    section 3.1 and appendix A.1.
"""

import numpy as np
from jaxtyping import Bool, Int

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the chosen tokens; the others stay


def choose(
    random: np.random.Generator,
    starts: Bool[np.ndarray, "B L"],
    maskable: Bool[np.ndarray, "B L"],
    rate: float = 0.15,
    max_ngram: int = 3,
) -> Bool[np.ndarray, "B L"]:
    """Chooses n-grams of whole words, n <= `max_ngram` with p(n) proportional to 1/n.

    Words are visited in random order; an n-gram is chosen if all of it is maskable, it
    overlaps none chosen before, and it stays within `rate` of the row's maskable tokens
    (rounded, at least one). `starts` is True where a word begins.
    """
    rows, length = starts.shape
    budget = np.maximum(np.rint(rate * maskable.sum(1)), 1)
    # A run of maskable tokens begins a word, even in the middle of one.
    before = np.pad(maskable, ((0, 0), (1, 0)))[:, :-1]
    begins = starts | (maskable != before)
    word = np.cumsum(begins, axis=1)
    # Word starts first: every word is visited once before its other tokens are.
    order = np.argsort(random.random((rows, length)) + ~begins, axis=1)
    odds = 1 / np.arange(1, max_ngram + 1)
    ngram = random.choice(max_ngram, (rows, length), p=odds / odds.sum()) + 1
    chosen = np.zeros_like(maskable)
    for rank in range(length):
        first = word[np.arange(rows), order[:, rank]][:, None]
        span = (word >= first) & (word < first + ngram[:, rank, None])
        fits = chosen.sum(1) + span.sum(1) <= budget
        fits &= ~(span & (chosen | ~maskable)).any(1)
        chosen |= span & fits[:, None]
        if (chosen.sum(1) == budget).all():
            break
    return chosen


def corrupt(
    random: np.random.Generator,
    tokens: Int[np.ndarray, "B L"],
    chosen: Bool[np.ndarray, "B L"],
    mask_id: int,
    replacements: Int[np.ndarray, " R"],
) -> Int[np.ndarray, "B L"]:
    """Returns tokens with 80% of the chosen ones masked and 10% replaced at random."""
    fate = random.random(tokens.shape)
    other = random.choice(replacements, tokens.shape)
    hidden = np.where(fate < MASK_SHARE, mask_id, tokens)
    hidden = np.where(fate >= 1 - RANDOM_SHARE, other, hidden)
    return np.where(chosen, hidden, tokens)
