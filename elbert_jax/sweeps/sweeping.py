"""Every exit criterion of several models, from one full-depth pass of each."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import tqdm

from elbert_jax.data import corpus
from elbert_jax.data.encoded import Encoded
from elbert_jax.data.example import Example
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.exits import ConfidenceWindow, Criterion, FixedDepth, registry
from elbert_jax.hub import download
from elbert_jax.inference.classifier import Classifier
from elbert_jax.sweeps import confirmation, lineage, logit_cache, replay, trade_off
from elbert_jax.sweeps.replay import Row, Run

# Points timed in turn. On a CPU the programs of one hold up to 3,500 memory maps; XLA
# dies where all need more than the 65,530 that Linux gives, so they are freed.
_IN_TURN = 5


class LabelledSet(NamedTuple):
    """Labelled texts, and the metric that models are judged by."""

    name: str
    metric: str
    examples: Sequence[Example]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a sweep tries, and what it measures."""

    window: int  # length of every window; ELBERT's own criterion is tried with others
    speed_ups: Sequence[float]  # the engine confirms the points nearest to these
    repeats: int  # timed runs of each of these
    slots: int | str | None  # texts of 16 tokens in a batch
    cache: pathlib.Path  # the folder of cached logits


def sweep(
    models: Sequence[str],
    sets: Sequence[LabelledSet],
    plan: Plan,
    groups: Sequence[str],
) -> tuple[list[Run], list[Row]]:
    """Replays every criterion for every model, a directory or hub id, on its set.

    Names of groups are for `lineage.methods`.

    Returns:
      The runs, and the rows of `replay.replay`. Some points are confirmed, which adds
      `confirmation.FACTS`: of every criterion in the first model of a set, of a
      method's own criterion in the first model of the method. FLOPs ratios are
      relative to full depth in the most expensive model of the set.

    Raises:
      UserError: a model or a set cannot be used.
      Disagreement: the engine and the replay disagree.
    """
    origins = [lineage.read(download.directory(model)) for model in models]
    names = [each.name for each in sets]
    methods = lineage.methods(models, names, origins, groups)
    runs, rows, confirmed = [], [], set[tuple[str, ...]]()
    encodings = dict[tuple, Encoded]()
    for number in tqdm.trange(len(models), unit="model", disable=None):
        classifier = Classifier.from_pretrained(models[number], slots=plan.slots)
        encoded = _encode(classifier, sets[number], encodings)
        logits = logit_cache.every_layer(classifier, encoded, plan.cache)
        labels, lengths = encoded.labels, encoded.lengths
        run = Run(
            model=models[number],
            method=methods[number],
            seed=origins[number].seed,
            set=sets[number].name,
            metric=sets[number].metric,
            own=_own(classifier.exit, methods[number]),
            outputs=LayerOutputs(classifier.config, logits, labels, lengths),
        )
        ours = replay.replay(run, plan.window)
        due = _due(ours, run, plan, confirmed)
        _confirm(classifier, encoded, run, due, plan.repeats)
        runs.append(run)
        rows.append(ours)
    costs = [run.cost(run.config) for run in runs]
    for run, cost, ours in zip(runs, costs, rows):
        most = max(c for c, each in zip(costs, runs) if each.set == run.set)
        for row in ours:
            row["flops_ratio"] *= cost / most
    return runs, list(itertools.chain(*rows))


def _encode(
    classifier: Classifier, texts: LabelledSet, encodings: dict[tuple, Encoded]
) -> Encoded:
    """Returns the tokenised texts: once for all models that tokenise them alike."""
    tokenizer, labels = classifier.tokenizer, classifier.labels
    length = classifier.max_length
    key = texts.name, tokenizer.fingerprint, tokenizer.truncation, length, labels
    if key not in encodings:
        encodings[key] = corpus.encode(tokenizer, texts.examples, labels, length)
    return encodings[key]


def _own(exit: Criterion, method: str) -> str:
    """Returns the variant of a model's own criterion, or what is swept in its place."""
    if lineage.is_plain(method):
        return FixedDepth.name
    known = [each.variant[0] for each in replay.criteria(window=1)]
    own = exit if exit.variant[0] in known else ConfidenceWindow()
    return own.variant[0]


def _due(
    rows: Sequence[Row], run: Run, plan: Plan, confirmed: set[tuple[str, ...]]
) -> list[Row]:
    """Returns the rows nearest to the speed-ups, of criteria not confirmed before.

    These are added to `confirmed`.
    """
    due = {}
    for (criterion, window), ours in trade_off.groups(rows, "criterion", "window"):
        by_set, by_method = (run.set, criterion), (run.set, criterion, run.method)
        needed = by_method if criterion == run.own else by_set
        if window in (None, plan.window) and needed not in confirmed:
            near = [trade_off.nearest(ours, 1 / each) for each in plan.speed_ups]
            due |= {id(row): row for row in near}
            confirmed |= {by_set, by_method}
    return list(due.values())


def _confirm(
    classifier: Classifier,
    encoded: Encoded,
    run: Run,
    rows: Sequence[Row],
    repeats: int,
) -> None:
    """Adds `confirmation.FACTS` to each row."""
    logits = run.outputs.logits
    for few in (rows[i : i + _IN_TURN] for i in range(0, len(rows), _IN_TURN)):
        criteria = [registry.from_dict(row["exit"]) for row in few]
        facts = confirmation.confirm(classifier, encoded, logits, criteria, repeats)
        for row, each in zip(few, facts, strict=True):
            row |= each
        jax.clear_caches()
