"""The engine beside the replay: the same exits, and how fast it gets there.

Letters: D layers, M texts, C classes.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jaxtyping import Bool, Float

from elbert_jax import exits
from elbert_jax.data.encoded import Encoded
from elbert_jax.evaluation import timing
from elbert_jax.exits import Criterion
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.predictions import Predictions

EDGE = 1e-5  # within this distance of a threshold, float noise may decide
FACTS = (
    "texts_per_second",
    "full_depth_texts_per_second",
    "wall_clock_ratio",  # median time over that of full depth
    "edge_texts",  # number of texts `near_edge`
    "moved_texts",  # those with another exit, rule or label in the engine
)


class Disagreement(Exception):
    """The engine and the replay give a text different exits: one of them is wrong."""


def near_edge(
    criterion: Criterion, logits: Float[np.ndarray, "D M C"]
) -> Bool[np.ndarray, " M"]:
    """Returns which texts are within `EDGE` of another exit layer, rule or label.

    Each threshold is moved by `EDGE` both ways; two classes tie that are as near.
    """
    p = np.sort(np.asarray(exits.probabilities(jnp.asarray(logits))), axis=-1)
    near = np.any(p[..., -1] - p[..., -2] < EDGE, axis=0)
    here = exits.exit_layer(criterion, logits)
    for moved in (*criterion.nudged(-EDGE), *criterion.nudged(EDGE)):
        there = exits.exit_layer(moved, logits)
        near |= np.asarray((there.layer != here.layer) | (there.rule != here.rule))
    return near


def confirm(
    classifier: Classifier,
    encoded: Encoded,
    logits: Float[np.ndarray, "D M C"],
    criteria: Sequence[Criterion],
    repeats: int,
) -> list[dict[str, Any]]:
    """Returns `FACTS` of each criterion, from the engine timed in turn with full depth.

    The last criterion is left as the classifier's exit. Raises Disagreement where a
    text that is not `near_edge` has another exit, rule or label in the engine.
    """
    near = [near_edge(each, logits) for each in criteria]
    expected = [exits.exit_layer(each, logits) for each in criteria]
    expected = jax.tree.map(np.asarray, expected)
    moved = [0] * len(criteria)
    runs = (len(criteria) + 1) * (repeats + 1)
    bar = tqdm.tqdm(total=runs, unit="run", leave=False, disable=None)

    def full_depth() -> Predictions:
        bar.update()
        return classifier.full_depth(encoded)

    def run(number: int) -> Predictions:  # compared each time, also before it is timed
        bar.update()
        classifier.exit = criterion = criteria[number]
        predictions = classifier.run(encoded)
        moved[number] = _moved(criterion, predictions, expected[number], near[number])
        return predictions

    calls = {number: functools.partial(run, number) for number in range(len(criteria))}
    with bar:
        timed = timing.measure({"full depth": full_depth} | calls, repeats)
    texts, full = len(encoded), timed["full depth"].median
    facts = []
    for number in calls:
        seconds = timed[number].median
        speeds = texts / seconds, texts / full, seconds / full
        counts = int(near[number].sum()), moved[number]
        facts.append(dict(zip(FACTS, speeds + counts, strict=True)))
    return facts


def _moved(
    criterion: Criterion,
    predictions: Predictions,
    expected: exits.Exits,
    near: Bool[np.ndarray, " M"],
) -> int:
    """Returns how many texts near an edge differ; raises where another text does."""
    differs = (
        (predictions.layers != expected.layer)
        | (predictions.rules != expected.rule)
        | (predictions.logits.argmax(-1) != expected.logits.argmax(-1))
    )
    if wrong := np.flatnonzero(differs & ~near).tolist():
        text = wrong[0]
        raise Disagreement(
            f"the engine and the replay disagree on {len(wrong)} of {len(differs)} "
            f"texts under {criterion}: text {text} exits at layer "
            f"{predictions.layers[text]}, in the replay at {expected.layer[text]}, "
            f"and no threshold is within {EDGE:g}"
        )
    return int(differs.sum())
