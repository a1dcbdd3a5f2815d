"""The pretraining heads against Hugging Face's, both ways, and files without them."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elbert_jax.errors import UserError
from elbert_jax.hub import pretrained, weight_table
from elbert_jax.model import pretraining_heads
from elbert_jax.model.config import AlbertConfig
from tests import hugging_face as pytorch
from tests.hugging_face import CLASSIFIER, POOLER, PREDICTIONS, SOP, TINY, batch

SHAPES = {
    "tiny": ({**TINY, "num_labels": 2}, 0.3),
    "tiny gelu": ({**TINY, "num_labels": 2, "hidden_act": "gelu"}, 0.3),
    "tiny inner 2": ({**TINY, "num_labels": 2, "inner_group_num": 2}, 0.3),
    "base": (dataclasses.asdict(AlbertConfig(vocab_size=50)), 0.01),
}
CONFIG = AlbertConfig(**SHAPES["tiny"][0])
THEIRS = "AlbertForPreTraining"

load = functools.partial(pretrained.load, model=weight_table.PRETRAINING)
save = functools.partial(
    pretrained.save, labels=("kept", "swapped"), model=weight_table.PRETRAINING
)
same = functools.partial(jax.tree.map, np.testing.assert_array_equal)
close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5)


@functools.partial(jax.jit, static_argnums=0)
def run(config, params, tokens, mask, types):
    """Returns the last layer's logits: of every position, and of the order."""
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    model = pretraining_heads.bind(config, params)
    return model(tokens, mask, types, positions, depth=config.num_hidden_layers)


@pytest.fixture(scope="module")
def params():
    """Random ones, in which no bias is 0 and no LayerNorm scale 1."""
    rng = np.random.default_rng(1)
    fresh = pretraining_heads.init(CONFIG, jax.random.key(1))
    return jax.tree.map(lambda x: jnp.float32(x + rng.normal(0, 0.3, x.shape)), fresh)


@pytest.mark.parametrize("shape", SHAPES)
def test_theirs_computes_the_same_here_and_returns_bit_exact(shape, tmp_path):
    sizes, noise = SHAPES[shape]
    model = pytorch.hugging_face(THEIRS, noise, **sizes)
    model.save_pretrained(tmp_path / "theirs")
    got = load(tmp_path / "theirs")
    assert (got.initialised, got.ignored) == ((), ())
    want = pytorch.torch_outputs(model, *batch())
    pieces, order = run(got.config, got.params, *batch())
    close(pieces, want.prediction_logits)
    close(order, want.sop_logits)
    assert np.ptp(pieces, axis=(0, 1)).min() > 1e-3  # positions do differ

    save(tmp_path / "ours", got.config, got.params)
    theirs, ours = (pytorch.tensors_of(tmp_path / name) for name in ("theirs", "ours"))
    assert theirs.keys() == ours.keys() == {*got.mapped}
    for key in theirs:
        assert ours[key].dtype == np.float32
        assert theirs[key].tobytes() == ours[key].tobytes(), key
    same(load(tmp_path / "ours").params, got.params)


def test_ours_opens_in_transformers_with_the_same_logits(params, tmp_path):
    save(tmp_path, CONFIG, params)
    pieces, order = run(CONFIG, params, *batch())
    for name, unused in ((THEIRS, set()), ("AlbertForMaskedLM", POOLER | SOP)):
        model, info = getattr(pytorch.transformers, name).from_pretrained(
            tmp_path, attn_implementation="eager", output_loading_info=True
        )
        assert info.pop("unexpected_keys") == unused
        assert not any(info.values())
        want = pytorch.torch_outputs(model.eval(), *batch())
        close(pieces, want.prediction_logits if name == THEIRS else want.logits)
        if name == THEIRS:
            close(order, want.sop_logits)


def test_float16_is_half_the_size_and_only_rounds(params, tmp_path):
    count = sum(x.size for x in jax.tree.leaves(params))
    for dtype, size in (("float32", 4), ("float16", 2)):
        save(tmp_path, CONFIG, params, dtype=dtype)
        assert json.loads((tmp_path / "config.json").read_text())["dtype"] == dtype
        data = (tmp_path / "model.safetensors").read_bytes()
        assert len(data) == 8 + int.from_bytes(data[:8], "little") + size * count
        rounded = jax.tree.map(lambda x: np.asarray(x, dtype).astype("float32"), params)
        same(load(tmp_path).params, rounded)


@pytest.mark.parametrize(
    ("name", "initialised", "ignored"),
    [
        ("AlbertForMaskedLM", POOLER | SOP, set()),
        ("AlbertForSequenceClassification", PREDICTIONS | SOP, CLASSIFIER),
        ("AlbertModel", PREDICTIONS | SOP, set()),
    ],
)
def test_heads_that_a_file_lacks_are_initialised(name, initialised, ignored, tmp_path):
    model = pytorch.hugging_face(name, **TINY)
    model.save_pretrained(tmp_path)
    tensors = pytorch.tensors_of(tmp_path)  # tied to the table; old versions stored it
    decoder = next(x for k, x in tensors.items() if "word_embeddings" in k)
    pytorch.edit_tensors(tmp_path, predictions__decoder__weight=decoder)
    got = load(tmp_path)
    assert {*got.initialised} == initialised
    assert {*got.ignored} == ignored | {"predictions.decoder.weight"}
    assert {*got.mapped, *got.ignored} == pytorch.tensors_of(tmp_path).keys()
    if name == "AlbertForMaskedLM":
        pieces, order = run(got.config, got.params, *batch())
        close(pieces, pytorch.torch_outputs(model, *batch()).logits)
        assert order.shape == (3, 2)
    else:
        body = pretrained.load(tmp_path).params
        assert body.pop("classifier") and got.params["albert"].pop("classifier")
        same(got.params["albert"], body)


def test_classifier_starts_from_a_pretrained_body(params, tmp_path):
    save(tmp_path, CONFIG, params)
    got = pretrained.load(tmp_path, num_labels=3)
    assert {*got.initialised} == CLASSIFIER
    assert {*got.ignored} == PREDICTIONS | SOP
    assert got.params.pop("classifier")["kernel"].shape == (16, 3)
    same(got.params, {k: x for k, x in params["albert"].items() if k != "classifier"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dense__bias": None}, "missing tensor predictions.dense.bias"),
        ({"dense__bias": None, "dense__weight": None}, "dense.bias .and 1 more"),
        ({"bias": np.zeros(49, np.float32)}, r"predictions.bias .*\(49,\).*\(50,\)"),
        ({"decoder__weight": np.zeros((50, 8))}, "decoder.weight is not tied"),
        ({"novelty": np.zeros(1)}, "unknown tensor predictions.novelty"),
    ],
)
def test_damaged_head_is_named(changes, message, params, tmp_path):
    save(tmp_path, CONFIG, params)
    changes = {f"predictions__{name}": value for name, value in changes.items()}
    pytorch.edit_tensors(tmp_path, **changes)
    with pytest.raises(UserError, match=message) as raised:
        load(tmp_path)
    assert "\n" not in str(raised.value)
