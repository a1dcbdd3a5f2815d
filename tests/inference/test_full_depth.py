"""Full-depth batches, however they are cut."""

import numpy as np
import pytest

from elbert_jax.data import batching
from elbert_jax.data.encoded import Encoded
from elbert_jax.inference import full_depth


@pytest.fixture(scope="module")
def encoded(classifier):
    words = np.array(["profit", "sales", "rose", "fell", "in", "the", "bank"])
    draw = np.random.default_rng(0)
    counts = draw.choice([1, 4], 22)
    texts = [" ".join(draw.choice(words, count)) for count in counts]
    return Encoded.build(classifier.tokenizer, texts)


@pytest.mark.parametrize("most", [7, 100])
def test_batches_in_parts_give_the_same(classifier, encoded, monkeypatch, most):
    whole = classifier.full_depth(encoded)
    monkeypatch.setattr(full_depth, "_CACHE_TOKENS", 32)
    got = classifier.full_depth(encoded, batching.max_batch_size(most))
    np.testing.assert_allclose(got.logits, whole.logits, atol=1e-5)
    assert got.busy_steps == 5 * len(encoded) <= got.slot_steps


def test_full_depth_is_the_last_layer(classifier, encoded):
    full = classifier.full_depth(encoded)
    batches = batching.eval_batches(encoded, len(encoded), (16,))
    config, params = classifier.config, classifier.params
    want = full_depth.every_layer(config, params, batches, len(encoded))[-1]
    np.testing.assert_allclose(full.logits, want, atol=1e-5)
    assert full.busy_steps == full.slot_steps == 5 * len(encoded)
    assert (full.layers == 5).all()
