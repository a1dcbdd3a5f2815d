"""The parts of a benchmark: each times some systems in turn; some give ratios."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from elbert_jax.benchmarking import baselines, workload
from elbert_jax.benchmarking.bench import (
    ALONE_EXIT,
    ALONE_FULL,
    FULL,
    REFILL,
    REFILL_04,
    SHRINKING,
    STATIC,
    Bench,
    Part,
    System,
    speed,
)
from elbert_jax.benchmarking.peers import PEERS
from elbert_jax.data import batching
from elbert_jax.data.batching import MaxBatchSize
from elbert_jax.data.encoded import Encoded
from elbert_jax.inference import predictions
from elbert_jax.inference.buckets import Buckets
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.predictions import Predictions
from elbert_jax.inference.session import Session
from elbert_jax.inference.tasks import Classification

_LARGE = 17408  # tokens of a batch at most: with one text less, still over 16,384
_POOL = 4  # texts drawn for each one chosen by its length
_ROUNDS = 4  # texts for each slot
_DRAWS = 32  # texts at least that the latency of a batch is averaged over


def systems(bench: Bench) -> Part:
    """Times everything that a user could run, on the same texts."""
    suite, texts = bench.suite, bench.texts(bench.suite.texts)
    few, one = workload.first(texts, suite.alone), bench.classifier(slots=1)
    usual, at_04 = bench.classifier(), bench.classifier(ratio=0.4)
    static = baselines.static_batches
    shrinking, slots = partial(baselines.shrinking_batches, usual), usual.slots
    own = [
        System(FULL, usual.full_depth, texts, slots),
        System(STATIC, partial(static, usual), texts, slots, like=REFILL),
        System(SHRINKING, shrinking, texts, slots, like=REFILL),
        System(REFILL, usual.run, texts, slots),
        System(REFILL_04, at_04.run, texts, slots),
        System(ALONE_FULL, one.full_depth, few, 1),
        System(ALONE_EXIT, partial(static, one), few, 1, like=REFILL),
    ]
    peers, unavailable = bench.peers.available(suite.peers)
    others = [System(name, peer, texts, peer.rows) for name, peer in peers.items()]
    rows = bench.compare(own + others)
    rates = {row["system"]: row["texts_per_second"] for row in rows}

    def best(*names: str) -> float:
        """Returns the speed of the fastest peer; infinity if none was timed."""
        there = [rates[PEERS[name]] for name in names if PEERS[name] in rates]
        return max(there, default=np.inf)

    ratios = {
        "refill_over_static": rates[REFILL] / rates[STATIC],
        "refill_over_shrinking": rates[REFILL] / rates[SHRINKING],
        "refill_over_batch1_exit": rates[REFILL] / rates[ALONE_EXIT],
        "refill_over_batch1_full": rates[REFILL] / rates[ALONE_FULL],
        "full_over_torch": rates[FULL] / best("eager", "sdpa", "compile"),
        "full_over_onnx_fp32": rates[FULL] / best("onnx_fp32"),
        "refill_over_onnx_best": rates[REFILL_04] / best("onnx_fp32", "onnx_int8"),
    }
    return Part(
        rows,
        {name: ratio for name, ratio in ratios.items() if ratio},
        f"{len(texts):,} texts of {bench.mix('')}, {slots} slots",
        unavailable,
    )


def queue(bench: Bench) -> Part:
    """Times full depth and slot refill by the number of texts; the last give ratios."""
    rows, ratios, classifier = [], {}, bench.classifier()
    once = partial(classifier.full_depth, once_per_shape=True)
    for mix, count in bench.suite.queues:
        texts, slots = bench.texts(count, mix), classifier.slots
        both = [
            System(FULL, classifier.full_depth, texts, slots, warm_up=once),
            System(REFILL, classifier.run, texts, slots),
        ]
        full, refill = bench.compare(both, mix)
        faster = refill["texts_per_second"] / full["texts_per_second"]
        ratios = {
            "refill_over_ideal": faster * refill["compute_ratio"],
            "mfu_refill_over_full": refill["useful_mfu"] / full["useful_mfu"],
        }
        rows += [full, refill | ratios]
    last = rows[-1]
    return Part(rows, ratios, f"{last['texts']:,} texts of {last['mix']}")


def large(bench: Bench) -> Part:
    """Times full depth in batches of 16,384 tokens and more, some of a long queue's."""
    mix, count, batches = bench.suite.large
    texts, classifier = bench.texts(count, mix), bench.classifier()
    lengths = classifier.fitting_lengths(texts.lengths, len(texts))

    def most(length: np.ndarray) -> np.ndarray:
        return np.asarray(_LARGE // length)

    cut = [rows for rows, _ in batching.cut(texts.lengths, lengths, most)]
    some = batching.some_batches(texts, cut, batches)
    full = partial(classifier.full_depth, max_batch_size=most, lengths=lengths)
    (row,) = bench.compare([System(FULL, full, some, None)], mix)
    if len(cut) == 1:
        return Part([row], skipped={"mfu_full": "all texts together are one batch"})
    tokens = int(some.lengths.sum())
    where = f"{tokens:,} tokens of {row['mix']}, in batches of {_LARGE:,} at most"
    return Part([row], {"mfu_full": row["useful_mfu"]}, where)


def raw(bench: Bench) -> Part:
    """Times slot refill on strings, and on the same texts tokenised beforehand."""
    texts, classifier = bench.load.strings(bench.suite.texts), bench.classifier()
    pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
    encoded = Encoded.build(
        classifier.tokenizer,
        [text for text, _ in pairs],
        [second for _, second in pairs],
        max_length=classifier.max_length,
    )
    calls = {
        "slot refill, raw text": partial(classifier, texts),
        "slot refill, tokenised": partial(classifier.run, encoded),
    }
    rows = [
        {"system": name, "mix": bench.mix("")} | speed(each, len(texts))
        for name, each in bench.measure(calls).items()
    ]
    raw, tokenised = (row["texts_per_second"] for row in rows)
    where = f"{len(texts):,} texts, a vocabulary of {len(classifier.tokenizer):,}"
    return Part(rows, {"raw_over_tokenized": raw / tokenised}, where)


def slots(bench: Bench) -> Part:
    """Times full depth and slot refill by the number of slots; texts of one length."""
    sizes, compared = bench.suite.sizes, []
    texts = _of_median_length(bench, _ROUNDS * max(sizes))
    lengths = bench.classifier().fitting_lengths(texts.lengths, len(texts))
    for size in sizes:
        classifier, most = bench.classifier(slots=size), _exactly(size)
        full = partial(classifier.full_depth, max_batch_size=most, lengths=lengths)
        refill = partial(_refill, classifier, lengths, size)
        compared += [
            System(FULL, full, texts, size),
            System(REFILL, refill, texts, size),
        ]
    return Part(bench.compare(compared))


def latency(bench: Bench) -> Part:
    """Times single batches by their size; texts of one length."""
    texts, calls = _of_median_length(bench, max(_DRAWS, *bench.suite.sizes)), {}
    for size in bench.suite.sizes:
        batches = min(max(1, _DRAWS // size), len(texts) // size)
        if batches:
            few = workload.first(texts, batches * size)
            given = bench.classifier(slots=size), few, _exactly(size)
            calls["full depth", size] = partial(Classifier.full_depth, *given)
            calls["early exit", size] = partial(baselines.static_batches, *given)
    rows = []
    for (name, size), each in bench.measure(calls).items():
        count = len(each.result.layers)
        milliseconds = 1000 * each.median * size / count
        row = {"system": f"one batch, {name}", "batch": size}
        rows.append(row | {"latency_ms": milliseconds} | speed(each, count))
    return Part(rows)


def exits(bench: Bench) -> Part:
    """Times slot refill and static batches by their compute ratio."""
    texts, usual = bench.texts(bench.suite.texts), bench.classifier()
    compared = [System(FULL, usual.full_depth, texts, usual.slots)]
    for ratio in bench.suite.ratios:
        if ratio * bench.load.config.num_hidden_layers > 1:
            classifier = bench.classifier(ratio=ratio)
            static = partial(baselines.static_batches, classifier)
            compared += [
                System(STATIC, static, texts, usual.slots),
                System(REFILL, classifier.run, texts, usual.slots),
            ]
    return Part(bench.compare(compared))


def mixes(bench: Bench) -> Part:
    """Times full depth, slot refill and PyTorch on texts of other lengths."""
    classifier, rows = bench.classifier(), []
    peers, unavailable = bench.peers.available([*({"sdpa"} & {*bench.suite.peers})])
    for mix, count in bench.suite.mixes:
        texts = bench.texts(count, mix)
        compared = [
            System(FULL, classifier.full_depth, texts, classifier.slots),
            System(REFILL, classifier.run, texts, classifier.slots),
        ]
        compared += [System(name, it, texts, it.rows) for name, it in peers.items()]
        rows += bench.compare(compared, mix)
    return Part(rows, skipped=unavailable)


PARTS: Mapping[str, Callable[[Bench], Part]] = {
    part.__name__: part
    for part in (systems, queue, large, raw, slots, latency, exits, mixes)
}


def _of_median_length(bench: Bench, count: int) -> Encoded:
    """Returns so many texts, whose lengths are the nearest to the median."""
    texts = bench.texts(_POOL * count)
    distance = np.abs(texts.lengths - np.median(texts.lengths))
    return texts.take(distance.argsort(kind="stable")[:count])


def _exactly(size: int) -> MaxBatchSize:
    """Returns a batch size that does not depend on the length."""
    return lambda length: np.full_like(length, size)


def _refill(
    classifier: Classifier, lengths: Sequence[int], slots: int, encoded: Encoded
) -> Predictions:
    """Predicts with a given number of slots, whatever the texts' number and lengths."""
    session = Session(
        Classification(classifier.exit),
        classifier.params,
        classifier.config,
        Buckets(tuple(lengths), (slots,) * len(lengths)),
        classifier.mesh,
        unroll=classifier.budget.unroll,
    )
    return predictions.predict(session, encoded)
