"""Vectors of pieces, from how often they stand near each other in a text.

A minute of counting and one factorisation tell more of what words mean than hours of
hidden pieces teach a small model on two CPU cores.

References:
    Levy and Goldberg, "Neural Word Embedding as Implicit Matrix Factorization", NeurIPS
        2014, section 4.
    Levy, Goldberg and Dagan, "Improving Distributional Similarity with Lessons Learned
        from Word Embeddings", TACL 2015, section 3.
"""

from typing import Any

import numpy as np
import scipy.sparse
import tqdm
from jaxtyping import Float, Int
from sklearn.utils.extmath import randomized_svd

from elbert_jax.data.token_store import TokenStore

_WINDOW = 5  # pieces to either side; one at a distance of d counts 1 / d
_SMOOTHING = 0.75  # exponent of a context's frequency
_CHUNK = 1 << 22  # pieces counted at once


def factorise(
    store: TokenStore,
    documents: Int[np.ndarray, " K"],
    vocab_size: int,
    size: int,
) -> Float[np.ndarray, "V E"]:
    """Returns U sqrt(S) of the positive pointwise mutual information's SVD, float32.

    Args:
      store: the text.
      documents: those that are counted; pieces of two of them are no neighbours.
      vocab_size: V. A piece without neighbours gets zeros.
      size: E; what is more than V stays zeros.
    """
    owners = np.full(len(store), -1, np.int32)
    owners[documents] = documents
    owners = np.repeat(owners, np.diff(store.offsets))
    counts = scipy.sparse.csr_array((vocab_size, vocab_size), dtype=np.float32)
    for start in tqdm.trange(0, len(owners), _CHUNK, desc="counting neighbours"):
        chunk = slice(start, start + _CHUNK + _WINDOW)
        counts += _neighbours(store.tokens[chunk], owners[chunk], vocab_size)
    information = _positive(counts + counts.T)
    left, singular, _ = randomized_svd(
        information, size, n_oversamples=32, random_state=0
    )
    vectors = np.zeros((vocab_size, size), np.float32)
    vectors[:, : len(singular)] = left * np.sqrt(singular)
    return vectors


def _neighbours(
    tokens: Int[np.ndarray, " L"], owners: Int[np.ndarray, " L"], vocab_size: int
) -> scipy.sparse.csr_array:
    """Returns the weights of pairs (a, b), b being to the right of a, in a chunk."""
    lefts, rights, weights = [], [], []
    for distance in range(1, _WINDOW + 1):
        owner, other = owners[:-distance], owners[distance:]
        near = (owner == other) & (owner >= 0)
        near[_CHUNK:] = False  # the next chunk begins there
        lefts.append(tokens[:-distance][near])
        rights.append(tokens[distance:][near])
        weights.append(np.full(len(lefts[-1]), 1 / distance, np.float32))
    pairs = np.concatenate(lefts), np.concatenate(rights)
    shape = vocab_size, vocab_size
    return scipy.sparse.coo_array((np.concatenate(weights), pairs), shape).tocsr()


def _positive(counts: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Returns max(0, log p(a, b) / (p(a) p(b))), p(b) being smoothed."""
    pairs: Any = counts.tocoo()
    word = counts.sum(1)
    context = word**_SMOOTHING
    row, column = pairs.coords
    expected = word[row] * (context[column] / context.sum())
    information = np.log(pairs.data / expected)
    kept = information > 0
    places = row[kept], column[kept]
    return scipy.sparse.csr_array((information[kept], places), counts.shape)
