"""Every exit criterion of several models, from one full-depth pass of each.

Letters: D layers, M texts, C classes, W window.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import tqdm
from jaxtyping import Float

from elbert_jax.data import corpus
from elbert_jax.data.batching import Encoded
from elbert_jax.data.example import Example
from elbert_jax.exits import ConfidenceWindow, Criterion, FixedDepth, registry
from elbert_jax.hub import download
from elbert_jax.inference.classifier import Classifier
from elbert_jax.sweeps import confirmation, lineage, logit_cache, replay, trade_off
from elbert_jax.sweeps.replay import Row, Run

# Points timed in turn. On a CPU the programs of one hold up to 3,500 memory maps; XLA
# dies where all need more than the 65,530 that Linux gives, so they are freed.
_IN_TURN = 5


class LabelledSet(NamedTuple):
    """Labelled texts, and the score that they are judged by."""

    name: str
    metric: str
    examples: Sequence[Example]


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a sweep goes about it."""

    window: int  # W, of all criteria that have one; ELBERT's own is tried with others
    speed_ups: Sequence[float]  # points near these are confirmed by the engine
    repeats: int  # timed runs of each of these
    slots: int | str | None  # texts of 16 tokens in a batch
    cache: pathlib.Path  # where logits are kept


def sweep(
    models: Sequence[str],
    sets: Sequence[LabelledSet],
    plan: Plan,
    groups: Sequence[str],
) -> tuple[list[Run], list[Row]]:
    """Tries every model on its set.

    Args:
      models: directories, or ids of the hub.
      sets: of each model.
      plan: see there.
      groups: see `lineage.methods`.

    Returns:
      The runs, and the rows of `replay`. Some points are confirmed, which adds what
      `confirmation.confirm` tells: of every criterion in the first model of a set, of
      a method's own in the first of the method. FLOPs are in proportion to full depth
      in the dearest model of the set.

    Raises:
      UserError: a model or a set cannot be used.
      Disagreement: the engine does otherwise than the replay.
    """
    origins = [lineage.read(download.directory(model)) for model in models]
    names = [each.name for each in sets]
    methods = lineage.methods(models, names, origins, groups)
    runs, rows, confirmed = [], [], set[tuple[str, ...]]()
    encodings = dict[tuple, Encoded]()
    for number in tqdm.trange(len(models), unit="model", disable=None):
        classifier = Classifier.from_pretrained(models[number], slots=plan.slots)
        encoded = _encode(classifier, sets[number], encodings)
        run = Run(
            model=models[number],
            method=methods[number],
            seed=origins[number].seed,
            set=sets[number].name,
            metric=sets[number].metric,
            own=_own(classifier.exit, methods[number]),
            config=classifier.config,
            logits=_every_layer(classifier, encoded, plan, models[number]),
            labels=encoded.labels,
            lengths=encoded.lengths,
        )
        ours = replay.replay(run, plan.window)
        _confirm(classifier, encoded, run, _near(ours, plan), plan.repeats, confirmed)
        runs.append(run)
        rows.append(ours)
    for run, ours in zip(runs, rows):
        dearest = max(each.cost for each in runs if each.set == run.set)
        for row in ours:
            row["flops_ratio"] *= run.cost / dearest
    return runs, list(itertools.chain(*rows))


def _encode(
    classifier: Classifier, texts: LabelledSet, encodings: dict[tuple, Encoded]
) -> Encoded:
    """Returns the texts tokenised: once for all models that read them alike."""
    tokenizer, labels = classifier.tokenizer, classifier.labels
    length = classifier.max_length
    key = texts.name, tokenizer.fingerprint, tokenizer.truncation, length, labels
    if key not in encodings:
        encodings[key] = corpus.encode(tokenizer, texts.examples, labels, length)
    return encodings[key]


def _confirm(
    classifier: Classifier,
    encoded: Encoded,
    run: Run,
    points: Sequence[Row],
    repeats: int,
    confirmed: set[tuple[str, ...]],
) -> None:
    """Adds to each row what the engine tells of it, unless it has told that before."""
    due = []
    for row in points:
        own = (run.method,) if row["criterion"] == run.own else ()
        if (run.set, row["criterion"], *own) not in confirmed:
            due.append(row)
    if not due:
        return
    confirmed |= {(run.set, row["criterion"]) for row in due}
    confirmed |= {(run.set, row["criterion"], run.method) for row in due}
    for few in (due[i : i + _IN_TURN] for i in range(0, len(due), _IN_TURN)):
        criteria = [registry.from_dict(row["exit"]) for row in few]
        told = confirmation.confirm(classifier, encoded, run.logits, criteria, repeats)
        for row, facts in zip(few, told, strict=True):
            row |= facts
        jax.clear_caches()


def _own(exit: Criterion, method: str) -> str:
    """Returns the name of a model's own criterion, one of those that are swept."""
    if lineage.is_plain(method):
        return FixedDepth.name
    name, _ = exit.variant
    known = [each.variant[0] for each in replay.criteria(1)]
    return name if name in known else ConfidenceWindow().variant[0]


def _every_layer(
    classifier: Classifier, encoded: Encoded, plan: Plan, model: str
) -> Float[np.ndarray, "D M C"]:
    config, params = classifier.config, classifier.params
    path = logit_cache.path(plan.cache, config, params, encoded)
    logits = logit_cache.read(path, config, len(encoded))
    if logits is not None:
        tqdm.tqdm.write(f"{model}: the logits of {len(encoded):,} texts are in {path}")
        return logits
    logits = classifier.every_layer(encoded)
    logit_cache.write(path, logits)
    return logits


def _near(rows: Sequence[Row], plan: Plan) -> list[Row]:
    """Returns the rows nearest to the speed-ups, of each criterion, with W."""
    chosen = {}
    for criterion, window in trade_off.distinct(rows, "criterion", "window"):
        if window in (None, plan.window):
            ours = trade_off.select(rows, criterion=criterion, window=window)
            near = [trade_off.nearest(ours, 1 / each) for each in plan.speed_ups]
            chosen |= {id(row): row for row in near}
    return list(chosen.values())
