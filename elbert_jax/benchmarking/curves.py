"""The parts of a benchmark that are looked at, and give no ratio."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from elbert_jax.benchmarking import baselines, workload
from elbert_jax.benchmarking.bench import FULL, REFILL, STATIC, Bench, Part, speed
from elbert_jax.data import batching
from elbert_jax.data.batching import Encoded, Room
from elbert_jax.inference.buckets import Ladder
from elbert_jax.inference.classifier import Classifier

_POOL = 4  # texts, for each whose length is taken
_ROUNDS = 4  # texts for each slot
_DRAWS = 32  # texts at least, over whose exits the latency of a batch is a mean


def _alike(bench: Bench, count: int) -> Encoded:
    """Returns so many texts of about the median length."""
    texts = bench.texts(_POOL * count)
    off = np.abs(texts.lengths - np.median(texts.lengths))
    return batching.take(texts, off.argsort(kind="stable")[:count])


def _just(size: int) -> Room:
    """Returns batches of so many texts, be they ever so long."""
    return lambda length: np.full_like(length, size)


def _ladder(classifier: Classifier, buckets: Sequence[int], slots: int) -> Ladder:
    """Returns the engine with so many slots, be the texts ever so few, or long."""
    return Ladder(
        classifier.params,
        classifier.config,
        classifier.exit,
        buckets,
        [slots] * len(buckets),
        unroll=classifier.layout.budget.unroll,
        mesh=classifier.layout.mesh,
    )


def slots(bench: Bench) -> Part:
    """Times full depth and refill with more and more slots, on texts much alike."""
    sizes, calls = bench.suite.sizes, {}
    encoded = _alike(bench, _ROUNDS * max(sizes))
    buckets = bench.classifier().layout.buckets_for(encoded.lengths)
    for size in sizes:
        classifier = bench.classifier(slots=size)
        classifier.layout.buckets = buckets
        most = _just(size)
        calls[FULL, size] = partial(classifier.full_depth, encoded, most)
        ladder = _ladder(classifier, buckets, size)
        calls[REFILL, size] = partial(ladder.answer, encoded)
    timed = bench.measure(calls)
    full = timed[FULL, sizes[0]].result
    return Part(
        [
            bench.row(name, each, encoded, full, batch=size)
            for (name, size), each in timed.items()
        ]
    )


def latency(bench: Bench) -> Part:
    """Times batches of more and more texts of about a length, one after the other."""
    texts, calls = _alike(bench, max(_DRAWS, *bench.suite.sizes)), {}
    for size in bench.suite.sizes:
        batches = min(max(1, _DRAWS // size), len(texts) // size)
        if batches:
            few = workload.first(texts, batches * size)
            given = bench.classifier(slots=size), few, _just(size)
            calls["full depth", size] = partial(Classifier.full_depth, *given)
            calls["early exit", size] = partial(baselines.static_batches, *given)
    return Part(
        [
            {"system": f"one batch, {name}", "batch": size}
            | {"latency_ms": 1000 * each.median * size / len(each.result.layers)}
            | speed(each, len(each.result.layers))
            for (name, size), each in bench.measure(calls).items()
        ]
    )


def exits(bench: Bench) -> Part:
    """Times refill and static batches at more and more of the compute."""
    encoded, usual = bench.texts(bench.suite.texts), bench.classifier()
    calls: dict = {(FULL, 1.0): partial(Classifier.full_depth, usual, encoded)}
    depth = bench.load.config.num_hidden_layers
    for ratio in (each for each in bench.suite.ratios if each * depth > 1):
        classifier = bench.classifier(ratio=ratio)
        calls[STATIC, ratio] = partial(baselines.static_batches, classifier, encoded)
        calls[REFILL, ratio] = partial(classifier.run, encoded)
    timed = bench.measure(calls)
    full = timed[FULL, 1.0].result
    return Part(
        [
            bench.row(name, each, encoded, full, batch=usual.slots)
            for (name, _), each in timed.items()
        ]
    )


def mixes(bench: Bench) -> Part:
    """Times full depth and refill on texts of other lengths, with PyTorch beside."""
    classifier, rows = bench.classifier(), []
    peers, unavailable = bench.peers([*({"sdpa"} & {*bench.suite.peers})])
    for mix, count in bench.suite.mixes:
        encoded = bench.texts(count, mix)
        calls = {
            FULL: partial(Classifier.full_depth, classifier, encoded),
            REFILL: partial(classifier.run, encoded),
        } | {name: partial(peer, encoded) for name, peer in peers.items()}
        timed = bench.measure(calls)
        full = timed[FULL].result
        rows += [
            bench.row(name, each, encoded, full, mix=mix)
            for name, each in timed.items()
        ]
    return Part(rows, skipped=unavailable)
