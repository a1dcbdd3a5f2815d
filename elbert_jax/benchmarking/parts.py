"""The parts of a benchmark: each times some systems in turn; some give ratios."""

import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np

from elbert_jax import interruption
from elbert_jax.benchmarking import baselines
from elbert_jax.benchmarking.bench import FULL, REFILL, Bench, Part, System, speed
from elbert_jax.benchmarking.peers import PEERS
from elbert_jax.benchmarking.record import Record
from elbert_jax.data import batching
from elbert_jax.data.encoded import Encoded
from elbert_jax.errors import UserError

STATIC, SHRINKING = "early exit, static batches", "early exit, shrinking batches"
ALONE_FULL, ALONE_EXIT = "full depth, one at a time", "early exit, one at a time"
REFILL_04 = "slot refill, 0.4 of the compute"
_LARGE = 17408  # tokens of a batch at most: with one text less, still over 16,384


def systems(bench: Bench) -> Part:
    """Times everything that a user could run, on the same texts."""
    suite, texts = bench.suite, bench.texts(bench.suite.texts)
    few = texts.take(np.arange(len(texts))[: suite.alone])
    usual, one = bench.classifier(), bench.classifier(slots=1)
    at_04 = bench.classifier(ratio=0.4)
    static, slots = baselines.static_batches, usual.slots
    shrinking = partial(baselines.shrinking_batches, usual)
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
        return max(rates.get(PEERS[name], 0.0) for name in names) or np.inf

    ratios = {
        "refill_over_static": rates[REFILL] / rates[STATIC],
        "refill_over_shrinking": rates[REFILL] / rates[SHRINKING],
        "refill_over_batch1_exit": rates[REFILL] / rates[ALONE_EXIT],
        "refill_over_batch1_full": rates[REFILL] / rates[ALONE_FULL],
        "full_over_torch": rates[FULL] / best("eager", "sdpa", "compile"),
        "full_over_onnx_fp32": rates[FULL] / best("onnx_fp32"),
        "refill_over_onnx_best": rates[REFILL_04] / best("onnx_fp32", "onnx_int8"),
    }
    timed = {name: ratio for name, ratio in ratios.items() if ratio}
    where = f"{len(texts):,} texts of {bench.mix('')}, {slots} slots"
    return Part(rows, timed, where, unavailable)


def queue(bench: Bench) -> Part:
    """Times full depth and slot refill by the number of texts; the last give ratios."""
    rows, ratios, classifier = [], {}, bench.classifier()
    for mix, count in bench.suite.queues:
        texts, slots = bench.texts(count, mix), classifier.slots
        both = [
            System(FULL, classifier.full_depth, texts, slots),
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
    pairs = (text if isinstance(text, tuple) else (text, None) for text in texts)
    tokenizer, longest = classifier.tokenizer, classifier.max_length
    firsts, seconds = zip(*pairs)
    encoded = Encoded.build(tokenizer, firsts, seconds, max_length=longest)
    calls = {
        "slot refill, raw text": partial(classifier, texts),
        "slot refill, tokenised": partial(classifier.run, encoded),
    }
    rows = [
        {"system": name, "mix": bench.mix("")} | speed(each, len(texts))
        for name, each in bench.measure(calls).items()
    ]
    raw, tokenised = (row["texts_per_second"] for row in rows)
    where = f"{len(texts):,} texts, a vocabulary of {len(tokenizer):,}"
    return Part(rows, {"raw_over_tokenized": raw / tokenised}, where)


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


PARTS: Mapping[str, Callable[[Bench], Part]] = {
    part.__name__: part for part in (systems, queue, large, raw, exits)
}


def check_names(flag: str, names: Sequence[str], known: Collection[str]) -> None:
    """Raises a UserError if a flag has a name that there is not."""
    for name in names:
        if name not in known:
            raise UserError(f"--{flag}: no {name!r}; there are {', '.join(known)}")


def run(bench: Bench, record: Record, names: Sequence[str]) -> bool:
    """Measures the parts that the record lacks, and prints each.

    A part that fails does not stop the others. None begins when the suite's minutes
    are over.

    Returns:
      Whether the record now has all of them.
    """
    start = time.monotonic()
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
        print(record.table(name), flush=True)
    return all(name in record for name in names)
