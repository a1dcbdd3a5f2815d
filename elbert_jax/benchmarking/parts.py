"""The parts of a benchmark: each times some systems in turn, and gives ratios."""

import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from elbert_jax import interruption
from elbert_jax.benchmarking import baselines, curves, workload
from elbert_jax.benchmarking.bench import (
    ALONE_EXIT,
    ALONE_FULL,
    FULL,
    PEERS,
    REFILL,
    REFILL_04,
    SHRINKING,
    STATIC,
    Bench,
    Part,
    speed,
)
from elbert_jax.benchmarking.benchmark_record import Record
from elbert_jax.benchmarking.suite import Suite
from elbert_jax.data import batching
from elbert_jax.data.batching import Encoded
from elbert_jax.errors import UserError
from elbert_jax.inference.classifier import Classifier

_LARGE = 17408  # tokens of a batch at most: with one text less, still over 16,384


def systems(bench: Bench) -> Part:
    """Times everything that a user could run, on the same texts."""
    suite, encoded = bench.suite, bench.texts(bench.suite.texts)
    few, one = workload.first(encoded, suite.alone), bench.classifier(slots=1)
    usual, at_04 = bench.classifier(), bench.classifier(ratio=0.4)
    own = {
        FULL: (Classifier.full_depth, usual, encoded),
        STATIC: (baselines.static_batches, usual, encoded),
        SHRINKING: (baselines.shrinking_batches, usual, encoded),
        REFILL: (Classifier.run, usual, encoded),
        REFILL_04: (Classifier.run, at_04, encoded),
        ALONE_FULL: (Classifier.full_depth, one, few),
        ALONE_EXIT: (baselines.static_batches, one, few),
    }
    peers, unavailable = bench.peers(suite.peers)
    calls = {name: partial(*call) for name, call in own.items()}
    calls |= {name: partial(peer, encoded) for name, peer in peers.items()}
    batch = {name: classifier.slots for name, (_, classifier, _) in own.items()}
    batch |= {name: peer.rows for name, peer in peers.items()}
    timed = bench.measure(calls)
    full, refill = timed[FULL].result, timed[REFILL].result
    early = {STATIC, SHRINKING, ALONE_EXIT}
    rows = [
        bench.row(
            name,
            each,
            few if name in (ALONE_FULL, ALONE_EXIT) else encoded,
            full,
            like=refill if name in early else None,
            batch=batch[name],
        )
        for name, each in timed.items()
    ]
    rates = {row["system"]: row["texts_per_second"] for row in rows}

    def best(*peers: str) -> float:
        """Returns the speed of the fastest; infinity where none was timed."""
        there = [rates[PEERS[name]] for name in peers if PEERS[name] in rates]
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
        f"{len(encoded):,} texts of {bench.mix('')}, {usual.slots} slots",
        unavailable,
    )


def queue(bench: Bench) -> Part:
    """Times full depth and refill on more and more texts; the last give the ratios."""
    rows, ratios, classifier = [], {}, bench.classifier()
    for mix, count in bench.suite.queues:
        encoded = bench.texts(count, mix)
        calls = {
            FULL: partial(Classifier.full_depth, classifier, encoded),
            REFILL: partial(classifier.run, encoded),
        }
        warm = {FULL: partial(classifier.full_depth, encoded, once_per_shape=True)}
        timed = bench.measure(calls, warm=warm)
        answers = timed[FULL].result
        full, refill = (
            bench.row(name, each, encoded, answers, mix=mix, batch=classifier.slots)
            for name, each in timed.items()
        )
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
    buckets = classifier.layout.buckets_for(texts.lengths)

    def most(length: np.ndarray) -> np.ndarray:
        return np.asarray(_LARGE // length)

    cut = [rows for rows, _ in batching.cut(texts.lengths, buckets, most)]
    encoded = batching.some_batches(texts, cut, batches)
    call = partial(classifier.full_depth, encoded, most, lengths=buckets)
    timed = bench.measure({FULL: call})[FULL]
    row = bench.row(FULL, timed, encoded, timed.result, mix=mix)
    tokens = int(encoded.lengths.sum())
    on = f"{tokens:,} tokens of {row['mix']}, in batches of {_LARGE:,} at most"
    if len(cut) == 1:
        return Part([row], skipped={"mfu_full": "all texts together are one batch"})
    return Part([row], {"mfu_full": row["useful_mfu"]}, on)


def raw(bench: Bench) -> Part:
    """Times texts as strings, and the same texts tokenised beforehand."""
    texts = bench.load.strings(bench.suite.texts)
    pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
    classifier = bench.classifier()
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
    on = f"{len(texts):,} texts, a vocabulary of {len(classifier.tokenizer):,}"
    return Part(rows, {"raw_over_tokenized": raw / tokenised}, on)


PARTS: Mapping[str, Callable[[Bench], Part]] = {
    part.__name__: part
    for part in (
        systems,
        queue,
        large,
        raw,
        curves.slots,
        curves.latency,
        curves.exits,
        curves.mixes,
    )
}


def check(suite: Suite) -> None:
    """Raises a UserError where a suite names a part or a peer that there is not."""
    for flag, chosen, known in (
        ("parts", suite.parts, PARTS),
        ("peers", suite.peers, PEERS),
    ):
        for name in chosen:
            if name not in known:
                raise UserError(f"--{flag}: no {name!r}; there are {', '.join(known)}")


def run(bench: Bench, record: Record) -> bool:
    """Measures the suite's parts that the record lacks, and prints each.

    A part that fails does not take the others with it.

    Returns:
      Whether the record now has all of them.
    """
    start, names = time.monotonic(), bench.suite.parts
    for name in names:
        begun = time.monotonic()
        if name in record:
            print(f"\n{name}, measured before")
        elif begun - start > 60 * bench.suite.minutes:
            print(f"\n{name}: not begun, {bench.suite.minutes:g} minutes are over")
            continue
        else:
            print(f"\n{name}: {PARTS[name].__doc__}", flush=True)
            try:
                part = PARTS[name](bench)
            except UserError:
                raise
            except Exception as error:
                traceback.print_exc()
                record.fail(name, f"{type(error).__name__}: {error}".splitlines()[0])
                continue
            seconds = time.monotonic() - begun
            record.add(name, part, seconds=seconds, peak_flops=bench.peak)
        interruption.check()
        print(record.part(name), flush=True)
    return all(name in record for name in names)
