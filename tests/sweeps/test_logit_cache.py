"""The cache of logits: hits, misses, and damaged files."""

import dataclasses

import jax
import numpy as np
import pytest

from elbert_jax import UserError
from elbert_jax.data.encoded import Encoded
from elbert_jax.sweeps import logit_cache


@pytest.fixture(scope="module")
def encoded(classifier):
    return Encoded.build(classifier.tokenizer, ["bank", "sales fell", "profit rose"])


def make(path, classifier, encoded):
    logits = classifier.every_layer(encoded)
    logit_cache.write(path, logits)
    return logits


def test_what_is_written_is_read(classifier, encoded, tmp_path):
    config = classifier.config
    path = logit_cache.path(tmp_path / "a" / "b", config, classifier.params, encoded)
    assert logit_cache.read(path) is None
    want = make(path, classifier, encoded)
    got = logit_cache.read(path)
    assert got is not None
    np.testing.assert_array_equal(got, want)
    assert list(path.parent.iterdir()) == [path]


def test_another_model_or_text_is_another_file(classifier, encoded, tmp_path):
    config, params = classifier.config, classifier.params
    moved = jax.tree.map(lambda x: x, params)
    moved["classifier"]["bias"] = moved["classifier"]["bias"].at[0].add(1e-6)
    other = Encoded.build(classifier.tokenizer, ["bank", "sales fell profit", "rose"])
    relabelled = dataclasses.replace(encoded, labels=np.array([2, 1, 0], np.int32))
    half = dataclasses.replace(config, dtype="bfloat16")
    path = logit_cache.path(tmp_path, config, params, encoded)
    assert path == logit_cache.path(tmp_path, config, params, relabelled)
    others = [
        (config, moved, encoded),
        (config, params, other),
        (half, params, encoded),
    ]
    assert len({path, *(logit_cache.path(tmp_path, *each) for each in others)}) == 4


def test_a_damaged_file_counts_as_none(classifier, encoded, tmp_path, capsys):
    path = tmp_path / "logits.npz"
    make(path, classifier, encoded)
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (b"", whole[:-40], flipped, b"PK no archive"):
        path.write_bytes(damaged)
        assert logit_cache.read(path) is None
        told = capsys.readouterr().err
        assert "logits.npz is damaged" in told and told.count("\n") == 1
    path.write_bytes(whole)
    assert logit_cache.read(path) is not None


def test_a_folder_that_cannot_be_is_told_in_one_line(classifier, encoded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        make(tmp_path / "file" / "logits.npz", classifier, encoded)
