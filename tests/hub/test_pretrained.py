"""Parity with Hugging Face's PyTorch ALBERT, and every kind of checkpoint it writes."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from elbert_jax.errors import UserError
from elbert_jax.hub import config_json, pretrained
from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig
from tests.hugging_face import (
    CLASSIFIER,
    HEADED,
    POOLER,
    PREDICTIONS,
    SOP,
    TINY,
    batch,
    edit_tensors,
    hugging_face,
    tensors_of,
    torch_outputs,
    transformers,
)

# The published depths and widths with a small vocabulary, and the noise added to the
# weights: much, so that the two gelus differ; little where float32 itself would drift.
SHAPES = {
    "tiny": (TINY, 0.3),
    "tiny gelu": ({**TINY, "hidden_act": "gelu"}, 0.3),
    "tiny inner 2": ({**TINY, "inner_group_num": 2}, 0.3),
    "base": (
        dict(
            hidden_size=768,
            num_hidden_layers=12,
            num_attention_heads=12,
            intermediate_size=3072,
        ),
        0.01,
    ),
    "large": (
        dict(
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            intermediate_size=4096,
        ),
        0.01,
    ),
}


@functools.partial(jax.jit, static_argnums=0)
def run(config, params, tokens, mask, types):
    """Returns h_0 .. h_D, and the logits of every layer."""
    model = albert.bind(config, params)
    hidden = [model.embed(tokens, types)]
    for _ in range(config.num_hidden_layers):
        hidden.append(model.layer(hidden[-1], mask))
    return hidden, model(tokens, mask, types)


def edit_config(directory, **changes):
    path = directory / "config.json"
    settings = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in settings.items() if v != "absent"}))


@pytest.mark.exactness
@pytest.mark.parametrize("shape", SHAPES)
def test_every_layer_and_the_logits_agree_with_transformers(shape, tmp_path):
    sizes, noise = SHAPES[shape]
    model = hugging_face(noise=noise, **sizes)
    model.save_pretrained(tmp_path)
    checkpoint = pretrained.load(tmp_path)
    want = torch_outputs(model, *batch())
    hidden, logits = run(checkpoint.config, checkpoint.params, *batch())

    # transformers records every inner layer; a depth ends at the last of its group.
    theirs = want.hidden_states[:: checkpoint.config.inner_group_num]
    assert len(hidden) == len(theirs) == checkpoint.config.num_hidden_layers + 1
    for ours, other in zip(hidden, theirs, strict=True):
        np.testing.assert_allclose(ours, other, rtol=0, atol=1e-5)
    np.testing.assert_allclose(logits[-1], want.logits, rtol=0, atol=1e-5)
    assert np.ptp(np.asarray(logits[-1]), axis=0).min() > 1e-3  # texts do differ


def test_parity_would_notice_the_wrong_gelu(hf_saved):
    checkpoint = pretrained.load(hf_saved)
    assert checkpoint.config.hidden_act == "gelu_new"
    other = dataclasses.replace(checkpoint.config, hidden_act="gelu")
    right, _ = run(checkpoint.config, checkpoint.params, *batch())
    wrong, _ = run(other, checkpoint.params, *batch())
    assert np.abs(right[-1] - wrong[-1]).max() > 1e-4


@pytest.mark.exactness
def test_export_opens_in_transformers_with_the_same_logits(tmp_path):
    config = AlbertConfig(**TINY)
    params = albert.init(config, jax.random.key(1))
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: x + rng.normal(0, 0.3, x.shape), params)
    params = jax.tree.map(jnp.float32, params)
    labels = ("negative", "neutral", "positive")
    pretrained.save(tmp_path / "new" / "model", config, params, labels)

    auto = transformers.AutoModelForSequenceClassification
    model, info = auto.from_pretrained(
        tmp_path / "new" / "model",
        attn_implementation="eager",
        output_loading_info=True,
    )
    assert not any(info.values())
    assert type(model).__name__ == HEADED
    assert model.config.id2label == dict(enumerate(labels))
    assert model.config.label2id == {label: i for i, label in enumerate(labels)}
    config_ids = model.config.pad_token_id, model.config.bos_token_id
    assert (*config_ids, model.config.eos_token_id) == (0, 2, 3)
    _, logits = run(config, params, *batch())
    want = torch_outputs(model.eval(), *batch()).logits
    np.testing.assert_allclose(logits[-1], want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", ["tiny", "tiny inner 2"])
def test_round_trip_is_bit_exact(shape, tmp_path):
    hugging_face(**SHAPES[shape][0]).save_pretrained(tmp_path / "theirs")
    first = pretrained.load(tmp_path / "theirs")
    pretrained.save(tmp_path / "ours", first.config, first.params, first.labels)
    second = pretrained.load(tmp_path / "ours")

    assert (second.config, second.labels) == (first.config, first.labels)
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)
    theirs, ours = tensors_of(tmp_path / "theirs"), tensors_of(tmp_path / "ours")
    assert theirs.keys() == ours.keys() == {*first.mapped}
    for key in theirs:
        assert theirs[key].dtype == ours[key].dtype == np.float32
        assert theirs[key].tobytes() == ours[key].tobytes(), key
    with safetensors.safe_open(tmp_path / "ours" / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}
    assert {path.name for path in (tmp_path / "ours").iterdir()} == {
        "config.json",
        "model.safetensors",
    }


@pytest.mark.parametrize(
    ("name", "initialised", "ignored"),
    [
        ("AlbertModel", CLASSIFIER, set()),
        ("AlbertForSequenceClassification", set(), set()),
        ("AlbertForPreTraining", CLASSIFIER, PREDICTIONS | SOP),
        ("AlbertForMaskedLM", POOLER | CLASSIFIER, PREDICTIONS),
        ("AlbertForTokenClassification", POOLER | CLASSIFIER, CLASSIFIER),
        (
            "AlbertForQuestionAnswering",
            POOLER | CLASSIFIER,
            {"qa_outputs.weight", "qa_outputs.bias"},
        ),
        ("AlbertForMultipleChoice", CLASSIFIER, CLASSIFIER),
    ],
)
def test_every_class_loads(name, initialised, ignored, tmp_path):
    model = hugging_face(name, **TINY)
    model.save_pretrained(tmp_path)
    checkpoint = pretrained.load(tmp_path, key=jax.random.key(5))

    assert {*checkpoint.initialised} == initialised
    assert {*checkpoint.ignored} == ignored
    stored = tensors_of(tmp_path).keys()
    assert {*checkpoint.mapped} | ignored == stored
    assert not {*checkpoint.mapped} & ignored
    assert checkpoint.labels == ("LABEL_0", "LABEL_1", "LABEL_2")

    fresh = albert.init(checkpoint.config, jax.random.key(5))
    for module in ("pooler", "classifier"):
        ours, new = (tree[module]["kernel"] for tree in (checkpoint.params, fresh))
        is_fresh = any(module in key for key in initialised)
        assert np.allclose(ours, new, rtol=0, atol=1e-6) == is_fresh
    hidden, _ = run(checkpoint.config, checkpoint.params, *batch())
    want = torch_outputs(getattr(model, "albert", model), *batch())
    np.testing.assert_allclose(hidden[-1], want.last_hidden_state, rtol=0, atol=1e-5)


def test_classifier_of_tokens_is_known_by_its_missing_pooler_too(tmp_path):
    hugging_face("AlbertForTokenClassification", **TINY).save_pretrained(tmp_path)
    edit_config(tmp_path, architectures=None)
    checkpoint = pretrained.load(tmp_path)
    assert {*checkpoint.ignored} == CLASSIFIER
    assert {*checkpoint.initialised} == POOLER | CLASSIFIER


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_floats_become_float32(dtype, hf_copy):
    tensors = {k: x.astype(jnp.dtype(dtype)) for k, x in tensors_of(hf_copy).items()}
    safetensors.numpy.save_file(tensors, hf_copy / "model.safetensors")
    params = pretrained.load(hf_copy).params
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    want = tensors["classifier.weight"].astype(np.float32).T
    np.testing.assert_array_equal(params["classifier"]["kernel"], want)


def test_another_number_of_labels_only_when_asked_for(hf_copy):
    checkpoint = pretrained.load(hf_copy, num_labels=5)
    assert {*checkpoint.initialised} == {*checkpoint.ignored} == CLASSIFIER
    assert checkpoint.labels == tuple(f"LABEL_{i}" for i in range(5))
    assert checkpoint.config.num_labels == 5
    assert checkpoint.params["classifier"]["kernel"].shape == (16, 5)

    assert pretrained.load(hf_copy, num_labels=3).initialised == ()
    edit_config(hf_copy, id2label={"0": "a", "1": "b"})
    with pytest.raises(UserError, match=r"classifier\.\w+ has the shape \(3.*\(2"):
        pretrained.load(hf_copy)


def test_another_depth_keeps_all_but_the_exit_heads(tmp_path):
    config = AlbertConfig(**TINY, exit_heads="linear")
    params = albert.init(config, jax.random.key(0))
    pretrained.save(tmp_path, config, params, ("a", "b", "c"))
    same = pretrained.load(tmp_path, num_hidden_layers=3)
    assert not same.initialised and not same.ignored
    deep = pretrained.load(tmp_path, num_hidden_layers=5)
    assert deep.config == dataclasses.replace(config, num_hidden_layers=5)
    assert all(name.startswith("exit_heads.") for name in deep.initialised)
    old, new = dict(same.params), dict(deep.params)
    assert {len(leaf) for leaf in jax.tree.leaves(old.pop("exit_heads"))} == {2}
    assert {len(leaf) for leaf in jax.tree.leaves(new.pop("exit_heads"))} == {4}
    jax.tree.map(np.testing.assert_array_equal, old, new)


def test_buffers_of_old_versions_are_ignored(hf_copy):
    edit_tensors(hf_copy, albert__embeddings__position_ids=np.arange(20)[None])
    checkpoint = pretrained.load(hf_copy)
    assert checkpoint.ignored == ("albert.embeddings.position_ids",)
    assert checkpoint.initialised == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"albert__pooler__weight": np.zeros((16, 8), np.float32)},
            r"albert\.pooler\.weight has the shape \(16, 8\).*\(16, 16\)",
        ),
        (
            {"albert__pooler__weight": np.zeros((16, 16), np.int8)},
            r"albert\.pooler\.weight is int8",
        ),
        (
            {"albert__novelty__weight": np.zeros(2, np.float32), "zebra": np.zeros(1)},
            r"unknown tensor albert\.novelty\.weight \(and 1 more\)",
        ),
        ({"albert__embeddings__LayerNorm__bias": None}, "missing tensor .*Norm.bias"),
        ({"classifier__bias": None}, "missing tensor classifier.bias"),
        ({"albert__pooler__bias": None}, "missing tensor albert.pooler.bias"),
    ],
)
def test_wrong_tensor_is_named(changes, message, hf_copy):
    edit_tensors(hf_copy, **changes)
    with pytest.raises(UserError, match=message) as raised:
        pretrained.load(hf_copy)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "model_type is 'bert'"),
        ({"model_type": "absent"}, "model_type is None"),
        ({"num_hidden_groups": 2}, "num_hidden_groups is 2; only 1"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"hidden_size": "16"}, "hidden_size is '16'"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"num_attention_heads": 3}, "hidden_size 16 is not a mult"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label is"),
        ({"id2label": ["a", "b"]}, "id2label is"),
        ({"elbert": "deebert"}, "elbert is 'deebert'"),
        ({"elbert": {"method": 3}}, "elbert is"),
        ({"elbert": {"exit_heads": "many"}}, "exit_heads is 'many'; it may be shared,"),
    ],
)
def test_wrong_setting_is_named(changes, message, hf_copy):
    edit_config(hf_copy, **changes)
    with pytest.raises(UserError, match=f"config.json: {message}"):
        pretrained.load(hf_copy)


def test_absent_settings_mean_what_they_mean_to_transformers():
    given = {"model_type": "albert", "id2label": None}
    config, labels = (parsed := config_json.parse(given)).config, parsed.labels
    theirs = transformers.AlbertConfig()
    for name in vars(config).keys() - {"dtype", "exit_heads"}:
        assert getattr(config, name) == getattr(theirs, name), name
    assert dict(enumerate(labels)) == theirs.id2label


def test_save_wants_a_name_for_every_class(tmp_path):
    config = AlbertConfig(**TINY)
    params = albert.init(config, jax.random.key(0))
    for labels in (("a", "b"), ("a", "b", "b")):
        with pytest.raises(UserError, match="wanted are 3 different"):
            pretrained.save(tmp_path, config, params, labels)
    assert not any(tmp_path.iterdir())
