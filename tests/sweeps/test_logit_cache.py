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


def test_what_is_written_is_read(classifier, encoded, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "a" / "b"
    want = logit_cache.every_layer(classifier, encoded, folder)
    path = logit_cache.path(folder, classifier.config, classifier.params, encoded)
    assert list(folder.iterdir()) == [path]
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(classifier, "every_layer", None)
    got = logit_cache.every_layer(classifier, encoded, folder)
    np.testing.assert_array_equal(got, want)
    assert f"the logits of 3 texts are in {path}" in capsys.readouterr().out


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


def test_a_damaged_file_is_rewritten(classifier, encoded, tmp_path, capsys):
    want = logit_cache.every_layer(classifier, encoded, tmp_path)
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (b"", whole[:-40], flipped, b"PK no archive"):
        path.write_bytes(damaged)
        got = logit_cache.every_layer(classifier, encoded, tmp_path)
        np.testing.assert_array_equal(got, want)
        told = capsys.readouterr().err
        assert f"{path.name} is damaged" in told and told.count("\n") == 1
        assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_is_told_in_one_line(classifier, encoded, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        logit_cache.every_layer(classifier, encoded, tmp_path / "file" / "cache")
