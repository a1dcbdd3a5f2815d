"""Batches of sentences: whole, full, each a function of its number."""

import numpy as np
import pytest

from elbert_jax.data import sentence_batches
from elbert_jax.data.documents import TokenStore
from elbert_jax.data.sentence_batches import Bucket, SentenceBatches
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.errors import UserError
from tests.hub import bert_teachers

BUCKETS = [Bucket(8, 0.5), Bucket(16, 0.5)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    directory = tmp_path_factory.mktemp("teacher")
    bert_teachers.save(directory)
    return Tokenizer.load(directory)


def store_of(tokenizer, documents):
    ids = tokenizer.token_ids(documents)
    offsets = np.cumsum([0, *map(len, ids)])
    return TokenStore(np.concatenate(ids).astype(np.uint16), offsets, "digest")


@pytest.fixture(scope="module")
def store(tokenizer):
    draw = np.random.default_rng(0)
    sentence = lambda: " ".join(draw.choice(bert_teachers.WORDS[:-3], 5)) + " ."  # noqa: E731
    documents = [" ".join(sentence() for _ in range(30)) for _ in range(4)]
    return store_of(tokenizer, documents)


def build(store, tokenizer, steps=20, seed=0, buckets=BUCKETS):
    rows = np.arange(len(store))
    return SentenceBatches(store, rows, tokenizer, buckets, 32, steps, seed)


def test_a_row_is_special_tokens_around_text_that_starts_a_sentence(store, tokenizer):
    batches = build(store, tokenizer)
    text, full_stop = store.tokens.tolist(), bert_teachers.VOCABULARY.index(".")
    lengths = set()
    for n in range(len(batches)):
        batch = batches[n]
        rows, length = batch.tokens.shape
        assert rows * length == 32
        lengths.add(length)
        for tokens, mask in zip(batch.tokens, batch.mask):
            real = tokens[mask].tolist()
            assert (real[0], real[-1]) == (2, 3) and not tokens[~mask].any()
            assert mask.sum() > 7 / 8 * (length - 2)
            places = [
                k
                for k in range(len(text))
                if text[k : k + len(real) - 2] == real[1:-1]
                and (k in store.offsets or text[k - 1] == full_stop)
            ]
            assert places
    assert lengths == {8, 16}


def test_a_batch_depends_on_the_seed_and_its_number_alone(store, tokenizer):
    short, long = build(store, tokenizer, 10), build(store, tokenizer, 20)
    for n in range(10):
        for one, other in zip(short[n], long[n]):
            np.testing.assert_array_equal(one, other)
    other = build(store, tokenizer, 10, seed=1)
    assert any(short[n].tokens.tolist() != other[n].tokens.tolist() for n in range(10))


def test_every_row_comes_once_an_epoch(store, tokenizer):
    batches = build(store, tokenizer, steps=200, buckets=[Bucket(8, 1.0)])
    count = len(batches.starts[0])
    rows = [tuple(row) for n in range(200) for row in batches[n].tokens.tolist()]
    assert len(rows) > 2 * count
    assert sorted(rows[:count]) == sorted(rows[count : 2 * count])


def test_marks_behind_a_full_stop_belong_to_its_sentence():
    tokens = np.array([1, 9, 7, 1, 9, 9, 9, 1, 1, 7, 9])  # 9 ends, 7 closes
    ids = np.arange(10)
    starts = sentence_batches._sentence_starts(tokens, ids == 9, ids == 7)
    assert starts.tolist() == [0, 3, 7, 11]


def test_too_little_text_is_an_error(tokenizer):
    store = store_of(tokenizer, ["the bank lent money to a farmer ."])
    with pytest.raises(UserError, match="rows of 16 tokens: give more text"):
        build(store, tokenizer)
