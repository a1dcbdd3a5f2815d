"""The encoder that comes with the project opens, here and in Hugging Face's library."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.hub import pretrained, weight_table
from elbert_jax.model import pretraining_heads
from tests import hugging_face as pytorch

FOLDER = pathlib.Path(__file__).parents[2] / "models" / "albert-mini-en"
SENTENCES = (
    "The old man opened the door of the house and looked out into the dark night.",
    "She had been told that her brother would come to the city before the winter.",
    "There was no one in the room, and he sat down at the table to write a letter.",
)
MASK = 4
PLATEAU = 6.1  # nats: what a model that does not attend comes to


@pytest.fixture(scope="module")
def masked():
    """Every piece of the sentences masked once: tokens [M, L], and what was there."""
    tokenizer = Tokenizer.load(str(FOLDER))
    rows, wanted, places = [], [], []
    for sentence in SENTENCES:
        (encoding,) = tokenizer.encode([sentence])
        for place in range(1, len(encoding.tokens) - 1):
            row = list(encoding.tokens)
            wanted.append(row[place])
            places.append(place)
            row[place] = MASK
            rows.append(row + [0] * (32 - len(row)))
    return np.array(rows, np.int32), np.array(wanted), np.array(places)


def test_it_is_small_and_whole():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10e6
    start = pretrained.load(FOLDER, num_labels=2, key=jax.random.key(0))
    assert start.initialised == ("classifier.bias", "classifier.weight")
    assert start.config.num_hidden_layers == 12
    assert len(Tokenizer.load(str(FOLDER))) == start.config.vocab_size


def test_both_libraries_guess_what_was_masked(masked):
    tokens, wanted, places = masked
    start = pretrained.load(FOLDER, model=weight_table.PRETRAINING)
    mask, types = tokens > 0, np.zeros_like(tokens)

    @jax.jit
    def guess(params, tokens, mask, types, places):
        model = pretraining_heads.bind(start.config, params)
        logits = model(tokens, mask, types, places[:, None], depth=12)
        return logits.tokens[:, 0]

    logits = guess(start.params, tokens, mask, types, jnp.asarray(places))
    log_p = np.asarray(jax.nn.log_softmax(logits))
    nats = -log_p[np.arange(len(wanted)), wanted].mean()
    assert nats < PLATEAU - 1

    theirs = pytorch.transformers.AlbertForPreTraining.from_pretrained(
        FOLDER, dtype="float32"
    )
    outputs = pytorch.torch_outputs(theirs, tokens, mask, types)
    want = outputs.prediction_logits[np.arange(len(wanted)), places]
    np.testing.assert_allclose(logits, want, rtol=0, atol=1e-3)  # of up to 20
