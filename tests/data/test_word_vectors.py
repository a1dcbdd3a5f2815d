"""Vectors of pieces against a slow count, and which neighbours count."""

import numpy as np
import pytest

from elbert_jax.data import word_vectors
from elbert_jax.data.token_store import TokenStore

PIECES = 9  # of which the last two never occur


def store_of(documents: list[np.ndarray]) -> TokenStore:
    offsets = np.cumsum([0, *map(len, documents)])
    return TokenStore(np.concatenate(documents).astype(np.uint16), offsets, "")


@pytest.fixture
def documents() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, PIECES - 2, count) for count in (11, 1, 0, 23, 4)]


def information(documents: list[np.ndarray]) -> np.ndarray:
    counts = np.zeros((PIECES, PIECES))
    for document in documents:
        for i, a in enumerate(document):
            for j, b in enumerate(document):
                if 0 < abs(i - j) <= 5:
                    counts[a, b] += 1 / abs(i - j)
    word = counts.sum(1)
    context = word**0.75 / (word**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(counts / np.outer(word, context))
    return np.where(counts > 0, np.maximum(found, 0), 0)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_factors_are_those_of_a_slow_count(documents, chunk, monkeypatch):
    monkeypatch.setattr(word_vectors, "_CHUNK", chunk)
    counted = np.array([0, 1, 3])
    store = store_of(documents)
    got = word_vectors.factorise(store, counted, PIECES, PIECES)
    left, singular, _ = np.linalg.svd(information([documents[m] for m in counted]))
    # U S U^T is the same whatever the signs of the columns.
    wanted = (left * singular) @ left.T
    np.testing.assert_allclose(got @ got.T, wanted, atol=1e-5)
    assert got.dtype == np.float32 and not got[-2:].any()
    wide = word_vectors.factorise(store, counted, PIECES, PIECES + 3)
    np.testing.assert_allclose(wide[:, :PIECES], got, atol=1e-5)
    assert not wide[:, PIECES:].any()


def test_documents_that_are_not_counted_change_nothing(documents):
    counted = np.array([0, 3])
    one = word_vectors.factorise(store_of(documents), counted, PIECES, 4)
    documents[4] = documents[4][::-1] + 1
    documents[1] = documents[1] + 1
    two = word_vectors.factorise(store_of(documents), counted, PIECES, 4)
    np.testing.assert_array_equal(one, two)


def test_pieces_of_like_company_are_alike():
    """0 and 1 stand between the same pieces, 2 elsewhere."""
    draw = np.random.default_rng(0)
    said = [
        [3, draw.integers(2), 4] if draw.random() < 0.5 else [5, 2, 6]
        for _ in range(200)
    ]
    store = store_of([np.array(each) for each in said])
    vectors = word_vectors.factorise(store, np.arange(len(said)), PIECES, 3)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    assert vectors[0] @ vectors[1] > 0.9 > 0.3 > vectors[0] @ vectors[2]
