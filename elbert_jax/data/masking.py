"""Which pieces of a text are hidden in pretraining, and behind what.

Letters: B rows, L tokens, V pieces.

References:
    Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language
    Representations", ICLR 2020, section 4.1.
    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", NAACL 2019,
    section 3.1 and appendix A.1.
"""

import numpy as np
from jaxtyping import Bool, Int

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1  # of the chosen pieces; the others stay


def choose(
    random: np.random.Generator,
    starts: Bool[np.ndarray, "B L"],
    maskable: Bool[np.ndarray, "B L"],
    rate: float = 0.15,
    max_ngram: int = 3,
) -> Bool[np.ndarray, "B L"]:
    """Chooses n-grams of whole words, n <= `max_ngram` with p(n) proportional to 1/n.

    Words are visited in a random order; an n-gram is taken where it is all maskable,
    meets none taken before, and keeps within `rate` of the row's maskable pieces
    (rounded, at least one).

    Args:
      random: the only source of chance.
      starts: True where a word begins.
      maskable: False at special pieces and padding.
      rate: largest share of a row's maskable pieces that is chosen.
      max_ngram: words in the longest n-gram.
    """
    rows, length = starts.shape
    budget = np.maximum(np.rint(rate * maskable.sum(1)), 1)
    # A run of maskable pieces begins a word, even in the middle of one.
    before = np.pad(maskable, ((0, 0), (1, 0)))[:, :-1]
    begins = starts | (maskable != before)
    word = np.cumsum(begins, axis=1)
    # All words come once before any comes again, by way of its other pieces.
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
    replacements: Int[np.ndarray, " V"],
) -> Int[np.ndarray, "B L"]:
    """Returns the tokens with 80% of the chosen masked and 10% replaced at random.

    Args:
      random: the only source of chance.
      tokens: piece ids.
      chosen: from `choose`.
      mask_id: the id of [MASK].
      replacements: ids that may stand in for another: all but the special ones.
    """
    fate = random.random(tokens.shape)
    other = random.choice(replacements, tokens.shape)
    hidden = np.where(fate < MASK_SHARE, mask_id, tokens)
    hidden = np.where(fate >= 1 - RANDOM_SHARE, other, hidden)
    return np.where(chosen, hidden, tokens)
