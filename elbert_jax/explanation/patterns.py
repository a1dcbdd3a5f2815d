"""Texts that show what early exit does: the patterns of ELBERT's Section 4.5.

Letters: M texts, D layers, C classes.
"""

from collections.abc import Sequence

import jax
import numpy as np
import scipy.special
from jaxtyping import Float, Int

from elbert_jax import exits
from elbert_jax.data import corpus
from elbert_jax.data.example import Example
from elbert_jax.exits import Criterion
from elbert_jax.explanation import inspection
from elbert_jax.explanation.inspection import Trace
from elbert_jax.inference.classifier import Classifier

SIMPLE = "Simple input, simple exit"  # and all layers beyond agree
MENDED = "Overthinking, mended by early exit"  # full depth is wrong
HARMED = "Harmed by early exit"  # full depth is right


def find(
    logits: Float[np.ndarray, "D M C"],
    labels: Int[np.ndarray, " M"],
    criterion: Criterion,
) -> dict[str, Int[np.ndarray, " P"]]:
    """Returns the indices of the texts of each pattern, the clearest first.

    A simple text exits before the last layer and is right from there on; the earlier
    its exit, and the lower its entropy, the clearer. In the other patterns the exit and
    full depth disagree; the further apart the probabilities that they give the true
    label, the clearer.
    """
    at = jax.tree.map(np.asarray, exits.exit_layer(criterion, logits))
    depth, column = len(logits), np.arange(len(labels))
    right = logits.argmax(-1) == labels
    at_exit, at_last = right[at.layer - 1, column], right[-1]
    beyond = np.arange(1, depth + 1)[:, None] >= at.layer
    simple = (right | ~beyond).all(0) & (at.layer < depth)
    p = scipy.special.softmax(logits, axis=-1)[:, column, labels]
    apart = np.abs(p[at.layer - 1, column] - p[-1])
    uncertainty = np.asarray(exits.normalised_entropy(at.logits))
    earliest = np.lexsort([uncertainty, at.layer])
    furthest = np.argsort(-apart, kind="stable")
    return {
        SIMPLE: earliest[simple[earliest]],
        MENDED: furthest[(at_exit & ~at_last)[furthest]],
        HARMED: furthest[(~at_exit & at_last)[furthest]],
    }


def collect(
    classifier: Classifier, examples: Sequence[Example], most: int
) -> dict[str, list[Trace]]:
    """Returns, by heading, at most so many traces of each pattern."""
    labels, length = classifier.labels, classifier.max_length
    encoded = corpus.encode(classifier.tokenizer, examples, labels, length)
    found = find(classifier.every_layer(encoded), encoded.labels, classifier.exit)
    sections = {}
    for name, rows in found.items():
        traces = []
        for row in rows[:most]:
            given, label = examples[row], labels[encoded.labels[row]]
            texts = given.text, given.text_pair
            traces.append(inspection.trace(classifier, *texts, label))
        sections[f"{name}: {len(rows):,} of {len(examples):,} texts"] = traces
    return sections
