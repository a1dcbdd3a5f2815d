"""A trace: what a model sees and says at every layer, and what each rule says."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elbert_jax import AnyOf, ConfidenceWindow, Elbert2021, Patience, UserError, exits
from elbert_jax.data.batching import Batch
from elbert_jax.exits import rules
from elbert_jax.exits.base import rules_by_layer
from elbert_jax.explanation import inspection, trace_page
from elbert_jax.inference import full_depth
from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig

CRITERIA = [
    ConfidenceWindow(0.1, 3),
    Elbert2021(0.05, 3, "bias_2"),
    AnyOf((Patience(2), ConfidenceWindow(0.02, 3, "label"))),
]
PAIR = ("although sales fell in", "the first quarter, profit rose")
TEXTS = [("although sales fell in the first quarter, operating profit", None), PAIR]


@pytest.fixture(scope="module")
def seen():
    """A model of two inner layers, a batch, and what goes through its layers."""
    config = AlbertConfig(
        vocab_size=30,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=12,
        num_labels=3,
        initializer_range=0.5,
        inner_group_num=2,
    )
    params = jax.jit(albert.init, static_argnums=0)(config, jax.random.key(1))
    draw = np.random.default_rng(0)
    tokens, types = draw.integers(0, [[[30]], [[2]]], (2, 2, 9)).astype(np.int32)
    mask, filler = np.arange(9) < np.array([[9], [4]]), np.zeros(2, np.int32)
    rows = np.arange(2, dtype=np.int32)
    batch = Batch(tokens, types, mask, filler, np.ones(2, np.float32), rows)
    return config, params, batch, _layer_by_layer(config, params, batch)


@functools.partial(jax.jit, static_argnums=0)
def _layer_by_layer(config, params, batch):
    """Returns, a layer: what goes in, what its attention gives [CLS], what
    `cls_attention` says, and what [CLS] gets by that.
    """
    model = albert.bind(config, params)
    x, steps = model.embed(batch.tokens, batch.types), []
    for layer in (*model.albert_layers, *model.albert_layers):
        attention = layer.attention
        probs = inspection.cls_attention(attention, x, batch.mask)
        value = attention.value(x).reshape(*x.shape[:2], attention.num_heads, -1)
        looked = jnp.einsum("bns,bsnk->bnk", probs, value).reshape(len(x), -1)
        got = attention.layer_norm(x[:, 0] + attention.dense(looked))
        steps.append((x, attention(x, batch.mask)[:, 0], probs, got))
        x = layer(x, batch.mask)
    return steps


def test_attention_reproduces_the_layers_output(seen):
    _, _, batch, steps = seen
    for _, want, probs, got in steps:
        np.testing.assert_allclose(got, want, atol=1e-6)
        np.testing.assert_allclose(probs.sum(-1), 1, atol=1e-6)
        padding = np.broadcast_to(~batch.mask[:, None], probs.shape)
        assert not np.asarray(probs)[padding].any()


def test_look_is_the_model_and_a_slow_reference(seen):
    config, params, batch, steps = seen
    logits, attention = inspection.look(config, params, batch)
    every_layer = full_depth.every_layer(config, params, [batch], 2)
    np.testing.assert_allclose(logits, every_layer, atol=1e-5)
    for depth in range(2):
        want = [
            _by_head(params["albert_layers"][inner]["attention"], x, batch.mask)
            for inner, (x, *_) in enumerate(steps[2 * depth : 2 * depth + 2])
        ]
        np.testing.assert_allclose(attention[depth], np.mean(want, (0, 2)), atol=1e-5)


def _by_head(params, x, mask):
    x, params = jax.tree.map(np.asarray, (x, params))
    query, key = (x @ params[k]["kernel"] + params[k]["bias"] for k in ("query", "key"))
    probs = np.zeros((2, 4, 9))
    for text, length in enumerate(mask.sum(1)):
        for head in range(4):
            own = slice(4 * head, 4 * head + 4)
            dots = key[text, :length, own] @ query[text, 0, own] / 2
            probs[text, head, :length] = np.exp(dots) / np.exp(dots).sum()
    return probs


@pytest.fixture(scope="module", autouse=True)
def one_length(classifier):
    classifier.padded_lengths = (40,)  # less to compile


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda each: type(each).__name__)
def test_a_trace_is_what_the_classifier_answers(classifier, criterion, monkeypatch):
    monkeypatch.setattr(classifier, "exit", criterion)
    answers = classifier([TEXTS[0][0], PAIR])
    for (text, pair), answer in zip(TEXTS, answers):
        trace = inspection.trace(classifier, text, pair)
        label, score = trace.prediction(trace.exit_layer)
        got = {"label": label, "exit_layer": trace.exit_layer, "rule": trace.rule}
        assert answer == got | {"score": pytest.approx(score, abs=1e-6)}
        assert tuple(rule.name for rule in trace.rules) == criterion.rules
        firing = [
            [rule.name for rule in trace.rules if rule.fires[i]] for i in range(5)
        ]
        early = next((i for i, names in enumerate(firing) if names), 4)
        assert trace.exit_layer == early + 1
        assert trace.rule == [*firing[early], "last_layer"][0]


def test_a_trace_goes_beyond_the_exit(classifier, monkeypatch):
    trace = inspection.trace(classifier, *PAIR, true_label="neutral")
    assert trace.probabilities.shape == (5, 3) and trace.true_label == "neutral"
    np.testing.assert_allclose(trace.probabilities.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(trace.attention.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(trace.cumulative.sum(1), [1, 2, 3, 4, 5], atol=1e-5)
    np.testing.assert_allclose(
        np.diff(trace.cumulative, axis=0), trace.attention[1:], atol=1e-6
    )
    never = ConfidenceWindow(0.0, 9)  # a window longer than the model is deep
    monkeypatch.setattr(classifier, "exit", never)
    last = classifier([TEXTS[0][0], PAIR])[1]
    assert last["exit_layer"] == trace.depth > trace.exit_layer
    assert trace.prediction(trace.depth) == (
        last["label"],
        pytest.approx(last["score"]),
    )


def test_tokens_are_the_characters_of_the_texts(classifier):
    texts = ("Profit  rose, <b> ½ \U0001f600", "שלום .")
    trace = inspection.trace(classifier, *texts)
    assert [t.surface for t in trace.segments if t.word is None] == [
        "[CLS]",
        "[SEP]",
        "[SEP]",
    ]
    for number, text in enumerate(texts):
        own = [t for t in trace.segments if t.text == number and t.word is not None]
        assert "".join(t.surface for t in own) == "".join(text.split())
        assert all(t.surface == text[t.start : t.end] for t in own)
        tokens = [token for t in own for token in t.tokens]
        ids = classifier.tokenizer.token_ids([text])[0]
        assert tokens == classifier.tokenizer.hf.convert_ids_to_tokens(ids)
    assert trace.words == ("Profit", "rose,", "<b>", "½", "\U0001f600", "שלום", ".")
    dot = trace.segments[-2]
    assert dot.tokens == ("▁", ".") and dot.word == len(trace.words) - 1
    assert trace.attention.shape == (5, len(trace.segments))


def test_texts_at_the_edge(classifier):
    assert [t.tokens for t in inspection.trace(classifier, "").segments] == [
        ("[CLS]",),
        ("[SEP]",),
    ]
    with pytest.warns(UserWarning, match="cut to 40"):
        trace = inspection.trace(classifier, "profit rose " * 40)
    assert sum(len(token.tokens) for token in trace.segments) == 40
    with pytest.raises(UserError, match="Unicode"):
        inspection.trace(classifier, "\ud800")


@pytest.mark.parametrize("truncation", ["head", "tail", "head+tail"])
@pytest.mark.parametrize("pair", [None, " sales fell in the first quarter" * 9])
def test_the_tokens_of_a_cut_text_are_those_that_were_read(
    classifier, monkeypatch, truncation, pair
):
    text = "although" + " profit rose the bank sales fell" * 9
    kept = {"elbert_truncation": truncation}
    monkeypatch.setattr(
        classifier.tokenizer.hf,
        "init_kwargs",
        classifier.tokenizer.hf.init_kwargs | kept,
    )
    (encoded,) = classifier.tokenizer.encode([text], [pair], 40)
    with pytest.warns(UserWarning, match="cut to 40"):
        trace = inspection.trace(classifier, text, pair)
    tokens = [token for each in trace.segments for token in each.tokens]
    want = classifier.tokenizer.hf.convert_ids_to_tokens(encoded.tokens.tolist())
    assert tokens == want
    page = trace_page.render("title", {"": [trace]})
    shown, cut = re.findall(r'class="text".*?</p>', page)[0], 'class="cut"'
    assert (shown.index(cut) < shown.index('class="token"')) == (truncation == "tail")
    assert shown.endswith("</span></p>" if truncation == "head" else "</bdi></p>")


def test_a_letter_that_is_several_words_is_one_token(classifier):
    trace = inspection.trace(classifier, "\ufdfa rose")
    assert [t.surface for t in trace.segments[1:-1]] == ["\ufdfa", "ro", "s", "e"]
    assert trace.words == ("\ufdfa", "rose")


def test_weights_that_are_not_finite_are_said_so(classifier, monkeypatch):
    kernel = np.full_like(classifier.params["classifier"]["kernel"], np.nan)
    head = classifier.params["classifier"] | {"kernel": kernel}
    monkeypatch.setattr(classifier, "params", classifier.params | {"classifier": head})
    with pytest.raises(UserError, match="logits of layer 1 are not finite"):
        inspection.trace(classifier, "profit")


@pytest.fixture(scope="module")
def outputs():
    steps = np.random.default_rng(3).normal(0, 0.8, (7, 30, 3))
    return steps.cumsum(0).astype(np.float32)


def test_rules_apart_fire_where_they_do_together(outputs):
    criterion = AnyOf(tuple(CRITERIA))
    leaves = exits.exit_layer(criterion, outputs)
    names = exits.rule_names(criterion)
    for text in range(outputs.shape[1]):
        apart = rules.replay(criterion, outputs[:, text])
        first = min((rule.first for rule in apart if rule.first), default=7)
        rule = next((rule.name for rule in apart if rule.first == first), names[0])
        assert (first, rule) == (leaves.layer[text], names[leaves.rule[text]])
    assert len(set(leaves.layer.tolist())) > 2


@pytest.mark.parametrize(
    ("criterion", "field"),
    [
        (ConfidenceWindow(0.0, 3), "window"),
        (ConfidenceWindow(0.0, 3, "range", epsilon=0.1), "window"),
        (Elbert2021(0.0, 3, "bias_2"), "window"),
        (Patience(2), "patience"),
    ],
)
def test_held_is_the_longest_window_that_would_fire(outputs, criterion, field):
    extra = field == "patience"  # which counts repeats
    held = np.zeros((7, 30), int)
    for w in (1, 2, 3):
        shorter = dataclasses.replace(criterion, **{field: w - extra})
        held = np.where(rules_by_layer(shorter, outputs) > 0, w, held)
    for text in range(30):
        got = rules._held(criterion, 3, outputs[:, text])
        np.testing.assert_array_equal(got, held[:, text])
