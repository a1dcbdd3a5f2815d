"""The classifier: any number of texts, in any form, each as if it were alone."""

import jax
import jax.numpy as jnp
import numpy as np
import orjson
import pytest
import safetensors.numpy

from elbert_jax import Classifier, ConfidenceWindow, Patience, UserError
from elbert_jax.data.encoded import Encoded
from elbert_jax.inference import predictor, text_chunks
from elbert_jax.inference.slots import Queue
from tests.inference.reference import run_one_by_one

TEXTS = [
    "profit rose",
    "",
    "although sales fell in the first quarter, operating profit rose",
    ("the bank said profit rose", "sales fell"),
    "zeta 123",
    "profit " * 60,  # too long for the model
]


@pytest.fixture(scope="module")
def classify(classifier):
    with pytest.warns(UserWarning, match="cut to 40 tokens"):
        classifier(TEXTS[-1])
    return classifier


def same(one, other):
    for a, b in zip(one, other, strict=True):
        assert {k: a[k] for k in ("label", "exit_layer", "rule")} == {
            k: b[k] for k in ("label", "exit_layer", "rule")
        }
        assert a["score"] == pytest.approx(b["score"], abs=1e-5)


@pytest.mark.exactness
def test_each_text_is_answered_as_if_alone(classify):
    alone = [classify(text) for text in TEXTS]
    same(classify(TEXTS), alone)
    same(classify(TEXTS[::-1]), alone[::-1])
    same(classify(TEXTS * 3), alone * 3)
    same(list(classify.stream(iter(TEXTS))), alone)
    assert len({answer["exit_layer"] for answer in alone}) > 1


@pytest.mark.exactness
def test_an_answer_is_that_of_the_reference(classify):
    encoded = Encoded.build(classify.tokenizer, TEXTS[:3:2])
    for row, text in enumerate(TEXTS[:3:2]):
        tokens = encoded.tokens[encoded.offsets[row] : encoded.offsets[row + 1]][None]
        lengths = np.full(1, tokens.shape[1], np.int32)
        arrays = (tokens, np.zeros_like(tokens), lengths, lengths * 0, np.int32(1))
        queue = Queue(*map(jnp.asarray, arrays))
        want = run_one_by_one(
            classify.params, queue, classify.exit, config=classify.config
        )
        got = classify(text)
        assert got["exit_layer"] == want.layer[0]
        assert got["label"] == classify.labels[int(want.logits[0].argmax())]


def test_forms_of_input(classify):
    assert classify([]) == [] and list(classify.stream([])) == []
    assert set(classify("x")) == {"label", "score", "exit_layer", "rule"}
    same([classify(("a", "b"))], classify([("a", "b")]))
    same(classify(["a", "b"]), [classify("a"), classify("b")])
    for wrong in (["fine", 3], [None], "\ud800", ("a", "b", "c"), ("a",), [["a", "b"]]):
        with pytest.raises(UserError, match="text"):
            classify(wrong)
    with pytest.raises(UserError, match="text 1 is neither"):
        classify.warmup(["a", ("a", "b", "c")])


def test_what_comes_before_a_wrong_text_is_answered(classify, monkeypatch):
    monkeypatch.setattr("elbert_jax.inference.classifier._CHUNK", 4)
    stream = classify.stream(["profit rose"] * 6 + [["a", "b"], "sales fell"])
    assert len([next(stream) for _ in range(6)]) == 6
    with pytest.raises(UserError, match="text 6 is neither"):
        next(stream)


def test_all_layers_of_any_texts(classify):
    encoded = classify._encode(TEXTS[:5] * 3)
    logits = classify.every_layer(encoded)
    np.testing.assert_allclose(logits[:, 5:10], logits[:, :5], atol=1e-5)
    answers = classify.run(encoded)
    texts = np.arange(len(encoded))
    want = logits[answers.layers - 1, texts]
    np.testing.assert_allclose(answers.logits, want, atol=1e-5)
    assert classify.every_layer(classify._encode([])).shape == (5, 0, 3)


def test_longer_texts_than_the_model_reads_are_refused(classify):
    encoded = Encoded.build(classify.tokenizer, [TEXTS[-1]])
    for answer in (classify.run, classify.every_layer):
        with pytest.raises(
            ValueError, match="a text of .* exceeds the last bucket, 40"
        ):
            answer(encoded)


def test_the_exit_may_be_set_while_a_stream_goes_on(classify, monkeypatch):
    monkeypatch.setattr("elbert_jax.inference.classifier._CHUNK", 4)
    monkeypatch.setattr(classify, "exit", classify.exit)
    want = list(classify.stream(["profit rose"] * 12))
    stream = classify.stream(["profit rose"] * 12)
    got = [next(stream)]
    classify.exit = Patience(2)
    same([*got, *stream], want)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"id2label": {"0": "score"}}, "has one class only"),
        (
            {"problem_type": "multi_label_classification"},
            "is for multi_label_classification, not for",
        ),
    ],
)
def test_a_model_that_is_no_classifier_of_one_label(
    classify, tmp_path, settings, message
):
    classify.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_bytes(orjson.dumps(orjson.loads(config.read_bytes()) | settings))
    if "id2label" in settings:
        weights = safetensors.numpy.load_file(tmp_path / "model.safetensors")
        weights |= {n: weights[n][:1] for n in ("classifier.weight", "classifier.bias")}
        safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=message):
        Classifier.from_pretrained(tmp_path)


def test_a_stream_holds_no_more_than_its_chunk(classify, monkeypatch):
    monkeypatch.setattr("elbert_jax.inference.classifier._CHUNK", 4)
    taken = []

    def endless():
        while True:
            taken.append(None)
            yield "profit rose"

    stream = classify.stream(endless())
    for _ in range(9):
        next(stream)
    assert len(taken) <= 9 + 3 * 4


def test_saved_and_opened_again_it_answers_the_same(classify, tmp_path):
    classify.training = {"method": "elbert", "seed": 3}
    classify.save_pretrained(tmp_path / "model")
    again = Classifier.from_pretrained(tmp_path / "model", slots=2)
    assert again.exit == classify.exit and again.labels == classify.labels
    assert again.training == {"method": "elbert", "seed": 3}
    same(again(TEXTS[:5]), classify(TEXTS[:5]))
    other = Classifier.from_pretrained(tmp_path / "model", exit=Patience(2))
    assert {answer["rule"] for answer in other(TEXTS[:5])} <= {"patience", "last_layer"}


def test_no_early_exit_is_full_depth(classify):
    exit = classify.exit
    classify.exit = ConfidenceWindow(0.0, criterion="none")
    answers = classify(TEXTS[:5])
    classify.exit = exit
    assert {answer["exit_layer"] for answer in answers} == {5}
    assert {answer["rule"] for answer in answers} == {"last_layer"}


def test_logits_that_are_not_finite_are_said_so(classify):
    params = classify.params
    classify.params = params | {
        "classifier": {
            "kernel": np.full((16, 3), np.nan, "f"),
            "bias": np.zeros(3, "f"),
        }
    }
    with pytest.warns(UserWarning, match="of some texts are not finite"):
        answer = classify("profit rose")
    classify.params = params
    assert answer["exit_layer"] == 5 and np.isnan(answer["score"])


def test_set_delta(classify):
    exit = classify.exit
    classify.set_delta(np.linspace(0, 1, 3)[-1])
    assert classify("profit rose")["exit_layer"] == 1
    classify.exit = Patience(2)
    with pytest.raises(UserError, match="delta"):
        classify.set_delta(0.5)
    classify.exit = exit


def test_nothing_compiles_after_a_warmup(classify):
    compiled = []

    def listen(event, *_, **__):
        if "backend_compile" in event:
            compiled.append(event)

    exit, classify.exit = classify.exit, ConfidenceWindow(0.1, 2)  # new programs
    classify.warmup(TEXTS, calls=(1, 5, None))
    jax.monitoring.register_event_duration_secs_listener(listen)
    classify("profit rose")
    classify(TEXTS[:5])
    list(classify.stream(TEXTS * 3))
    assert not compiled
    classify.exit = ConfidenceWindow(0.1, 4)
    classify("profit rose")
    assert compiled  # that it would have been seen
    classify.exit, classify.padded_lengths = exit, None


def test_an_error_of_the_iterable_comes_after_what_was_read(classify, monkeypatch):
    monkeypatch.setattr("elbert_jax.inference.classifier._CHUNK", 4)

    def texts():
        yield from ["profit rose"] * 5
        raise OSError("the disk is gone")

    seen = []
    with pytest.raises(OSError, match="disk"):
        for result in classify.stream(texts()):
            seen.append(result)
    assert len(seen) == 5


def test_a_stream_yields_what_exists_before_it_reads_on(classify, monkeypatch):
    monkeypatch.setattr("elbert_jax.inference.classifier._CHUNK", 4)
    given = 0

    def slow():
        for number in range(30):
            if number >= 8:  # two chunks are read ahead, but no third
                assert given > number - 9
            yield "profit rose"

    for result in classify.stream(slow()):
        assert result["label"]
        given += 1
    assert given == 30


def test_an_iterator_is_left_alone_while_there_are_results(classify, monkeypatch):
    stops = []
    read = text_chunks.TextChunks.read

    def reading(self, stop=None):
        stops.append(stop)
        return read(self, stop and (lambda: True))

    monkeypatch.setattr(text_chunks.TextChunks, "read", reading)
    monkeypatch.setattr("elbert_jax.inference.classifier._CHUNK", 4)
    texts = ["profit rose", "", "zeta 123"] * 3
    same(list(classify.stream(iter(texts))), classify(texts))
    assert stops[0] is None and stops[1] is not None and stops[-1] is None


def test_parameters_go_to_the_devices_once(classify, monkeypatch):
    copied, replicate = [], predictor.devices_lib.replicate
    monkeypatch.setattr(
        predictor.devices_lib,
        "replicate",
        lambda *given: copied.append(given) or replicate(*given),
    )
    params = classify.params
    want = classify("profit rose")
    classify.params = jax.tree.map(lambda x: x + 0, params)
    same([classify("profit rose"), classify("profit rose")], [want, want])
    assert len(copied) == 1
    classify.params = params
