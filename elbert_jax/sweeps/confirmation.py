"""The engine beside the replay: the same exits, and how fast it gets there.

Letters: D layers, M texts, C classes.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jaxtyping import Bool, Float

from elbert_jax import exits
from elbert_jax.data.batching import Encoded
from elbert_jax.evaluation import timing
from elbert_jax.exits import Criterion
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.predictions import Predictions

EDGE = 1e-5  # a text this near to its rule's edge may leave on either side of it
FACTS = (
    "texts_per_second",
    "full_depth_texts_per_second",
    "wall_clock_ratio",
    "edge_texts",
    "moved_texts",
)


class Disagreement(Exception):
    """The engine let a text out elsewhere than the replay: one of them is wrong."""


def near_edge(
    criterion: Criterion, logits: Float[np.ndarray, "D M C"]
) -> Bool[np.ndarray, " M"]:
    """Returns which texts would leave otherwise, were a threshold or a tie moved.

    Otherwise is at another layer or by another rule. Each threshold is moved by `EDGE`
    both ways; two classes tie that are as near.
    """
    p = np.sort(np.asarray(exits.probabilities(jnp.asarray(logits))), axis=-1)
    near = np.any(p[..., -1] - p[..., -2] < EDGE, axis=0)
    here = exits.exit_layer(criterion, logits)
    for moved in (*criterion.nudged(-EDGE), *criterion.nudged(EDGE)):
        there = exits.exit_layer(moved, logits)
        near |= np.asarray(there.layer != here.layer)
        near |= np.asarray(there.rule != here.rule)
    return near


@dataclasses.dataclass
class _Claim:
    """What a replay says of a criterion; called, it answers by the engine, to compare.

    So every run is compared, the first of them before any is timed.
    """

    criterion: Criterion
    replayed: exits.Exits
    near: Bool[np.ndarray, " M"]
    moved: int = 0  # texts near an edge that left elsewhere

    def __call__(self, classifier: Classifier, encoded: Encoded) -> Predictions:
        classifier.exit = self.criterion
        answers = classifier.run(encoded)
        differs = (
            (answers.layers != self.replayed.layer)
            | (answers.rules != self.replayed.rule)
            | (answers.logits.argmax(-1) != self.replayed.logits.argmax(-1))
        )
        if wrong := np.flatnonzero(differs & ~self.near).tolist():
            text = wrong[0]
            raise Disagreement(
                f"the engine and the replay disagree on {len(wrong)} of {len(differs)} "
                f"texts under {self.criterion}: text {text} leaves at layer "
                f"{answers.layers[text]}, by the replay at "
                f"{self.replayed.layer[text]}, and no threshold is within {EDGE:g}"
            )
        self.moved = int(differs.sum())
        return answers


def confirm(
    classifier: Classifier,
    encoded: Encoded,
    logits: Float[np.ndarray, "D M C"],
    criteria: Sequence[Criterion],
    repeats: int,
) -> list[dict[str, Any]]:
    """Runs the engine with each criterion, timed beside full depth, all in turn.

    Args:
      classifier: the model; its exit is left as the last criterion.
      encoded: M texts.
      logits: of all its layers.
      criteria: when the texts leave.
      repeats: runs that are timed, after one that is not.

    Returns:
      By criterion: `texts_per_second`; `full_depth_texts_per_second`;
      `wall_clock_ratio`, its time over that of full depth, medians both;
      `edge_texts`, those near an edge, and `moved_texts`, those of them that left
      elsewhere, by another rule or with another label.

    Raises:
      Disagreement: a text that is not near an edge did.
    """
    claims = [
        _Claim(
            each,
            jax.tree.map(np.asarray, exits.exit_layer(each, logits)),
            near_edge(each, logits),
        )
        for each in criteria
    ]
    calls = {"full depth": Classifier.full_depth}
    calls |= {str(each.criterion): each for each in claims}
    total = len(calls) * (repeats + 1)
    with tqdm.tqdm(total=total, unit="run", leave=False, disable=None) as bar:

        def counted(call: Callable[[Classifier, Encoded], Predictions]) -> Predictions:
            answers = call(classifier, encoded)
            bar.update()
            return answers

        counting = {n: functools.partial(counted, call) for n, call in calls.items()}
        timed = timing.measure(counting, repeats)
    full, *others = timed.values()
    return [
        {
            "texts_per_second": len(encoded) / each.median,
            "full_depth_texts_per_second": len(encoded) / full.median,
            "wall_clock_ratio": each.median / full.median,
            "edge_texts": int(claim.near.sum()),
            "moved_texts": claim.moved,
        }
        for claim, each in zip(claims, others, strict=True)
    ]
