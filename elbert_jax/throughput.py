"""Wall-clock of slot refill beside what it replaces, on the same texts in one run."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from elbert_jax import albert, engine, flops, ladder
from elbert_jax.albert import AlbertConfig, Params
from elbert_jax.classifier import Classifier
from elbert_jax.data import batching
from elbert_jax.data.batching import Batch, Encoded
from elbert_jax.ladder import Answers

System = Callable[[Classifier, Encoded], Answers]


@dataclasses.dataclass(frozen=True)
class Timed:
    """What a system answered, and how long each run took."""

    answers: Answers
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def texts_per_second(self) -> float:
        return len(self.answers.layers) / self.median


@functools.partial(jax.jit, static_argnames="config")
def _last_layer(params: Params, batch: Batch, *, config: AlbertConfig) -> Array:
    model = albert.bind(config, params)
    tokens, mask, types = batch.inputs

    def step(x: Array, _: None) -> tuple[Array, None]:
        return model.layer(x, mask), None

    x = model.embed(tokens, types)
    x, _ = jax.lax.scan(step, x, length=config.num_hidden_layers)
    return model.classify(x)


def full_depth(classifier: Classifier, encoded: Encoded) -> Answers:
    """Answers at the last layer, in length-sorted batches as large as the slots."""
    config = classifier.config
    depth, answers = config.num_hidden_layers, Answers.empty(config, len(encoded))
    buckets = classifier.buckets_for(encoded)
    batches = batching.eval_batches(encoded, classifier.slots, buckets)
    for batch in batches:
        real = batch.weight > 0
        logits = _last_layer(classifier.params, batch, config=config)
        answers.logits[batch.index[real]] = np.asarray(logits)[real]
        answers.slot_steps += depth * len(real)
    answers.layers[:] = depth
    answers.busy_steps = depth * len(encoded)
    return answers


def static_batches(classifier: Classifier, encoded: Encoded) -> Answers:
    """Answers length-sorted batches with early exit; each waits for its slowest text.

    It is the engine on queues no longer than its slots, so that nothing refills.
    """
    config, slots = classifier.config, classifier.slots
    buckets = classifier.buckets_for(encoded)
    answers = Answers.empty(config, len(encoded))
    ids = np.arange(len(encoded), dtype=np.int32)
    order = np.argsort(encoded.lengths, kind="stable")
    for start in range(0, len(order), slots):
        rows = order[start : start + slots]
        length = next(b for b in buckets if b >= encoded.lengths[rows].max())
        _, finished = engine.advance(
            classifier.params,
            engine.start(config, classifier.exit, slots, length),
            ladder.queue(encoded, rows, ids, length, slots),
            classifier.exit,
            0,
            config=config,
        )
        answers.take(finished)
        answers.count(finished)
    return answers


def refill(classifier: Classifier, encoded: Encoded) -> Answers:
    """Answers by slot refill."""
    return classifier.run(encoded)


SYSTEMS: Mapping[str, System] = {
    "full depth, length-sorted batches": full_depth,
    "early exit, static batches": static_batches,
    "early exit, slot refill": refill,
}


def measure(
    systems: Mapping[str, System],
    classifier: Classifier,
    encoded: Encoded,
    repeats: int,
) -> dict[str, Timed]:
    """Times systems in turn, A B A B ..., after a warm-up of each."""
    answers = {name: system(classifier, encoded) for name, system in systems.items()}
    seconds = {name: [] for name in systems}
    for _ in range(repeats):
        for name, system in systems.items():
            start = time.perf_counter()
            system(classifier, encoded)
            seconds[name].append(time.perf_counter() - start)
    return {name: Timed(answers[name], tuple(seconds[name])) for name in systems}


def compare(
    timed: Mapping[str, Timed], config: AlbertConfig, encoded: Encoded
) -> list[dict[str, Any]]:
    """Returns a row a system, against the first, which answers at full depth.

    "of D / mean exit" is the speed over full depth as a share of what the layers saved
    would give were all texts alike; "of FLOPs saved" weighs each by its real tokens.
    """
    first, labels = next(iter(timed.values())), encoded.labels
    full_cost = flops.full_text(config, encoded.lengths).sum()
    rows = []
    for name, each in timed.items():
        answers = each.answers
        ideal = float(first.answers.layers.mean() / answers.layers.mean())
        ratio = first.median / each.median
        cost = full_cost
        if each is not first:
            cost = flops.text(config, encoded.lengths, answers.layers).sum()
        rows.append(
            {
                "system": name,
                "texts/s": each.texts_per_second,
                "fastest": len(labels) / min(each.seconds),
                "slowest": len(labels) / max(each.seconds),
                "accuracy": float((answers.logits.argmax(-1) == labels).mean()),
                "mean exit layer": float(answers.layers.mean()),
                "slots in use": answers.busy_steps / answers.slot_steps,
                "over full depth": ratio,
                "of D / mean exit": ratio / ideal,
                "of FLOPs saved": float(ratio * cost / full_cost),
            }
        )
    return rows
