"""A trace in words, for the terminal and the page.

Letters: D layers, T segments of a text.
"""

import numpy as np
from jaxtyping import Float

from elbert_jax import tables
from elbert_jax.exits.rules import Rule
from elbert_jax.explanation.inspection import Trace

_CLASSES, _WORDS = 6, 3  # shown at most


def leading(trace: Trace) -> list[int]:
    """Returns the classes with the largest probabilities at any layer."""
    by_peak = trace.probabilities.max(0).argsort()[::-1]
    return sorted(by_peak[:_CLASSES].tolist())


def verdict(trace: Trace) -> str:
    """Returns in one line where the text exits, and what full depth predicts."""
    early, score = trace.prediction(trace.exit_layer)
    full, full_score = trace.prediction(trace.depth)
    line = (
        f"Exits at layer {trace.exit_layer} of {trace.depth} ({trace.rule}): "
        f"{early} {score:.4f}; full depth: {full} {full_score:.4f}"
    )
    return f"{line}; true label: {trace.true_label}" if trace.true_label else line


def first_fires(trace: Trace) -> str:
    """Returns in one line where each rule first fires, were it the only one."""
    first = (
        f"{rule.name} " + (f"at layer {rule.first}" if rule.first else "nowhere")
        for rule in trace.rules
    )
    return f"Alone, each rule would fire first: {', '.join(first)}"


def state(rule: Rule, layer: int) -> str:
    """Returns in a few characters what a rule says after a layer, 1-based."""
    held = "" if rule.held is None else f"{rule.held[layer - 1]}/{rule.window}"
    return f"{held} fires".strip() if rule.fires[layer - 1] else held or "waits"


def most_attended(
    trace: Trace, amounts: Float[np.ndarray, " T"], word: str = "{}"
) -> str:
    """Returns the words with the largest attention, formatted by `word`."""
    sums = np.zeros(len(trace.words))
    for segment, amount in zip(trace.segments, amounts):
        if segment.word is not None:
            sums[segment.word] += amount
    most = np.argsort(-sums, kind="stable")[:_WORDS]
    named = (f"{word.format(trace.words[w])} {sums[w]:.2f}" for w in most)
    return " · ".join(named) or "no word"


def table(trace: Trace) -> tuple[list[str], list[list[str]]]:
    """Returns a header, and a row of text per layer."""
    shown, cumulative = leading(trace), trace.cumulative
    header = ["layer", *(trace.labels[c] for c in shown), "normalised entropy"]
    header += [*(rule.name for rule in trace.rules), "[CLS] attends most to"]
    rows = [
        [
            str(layer),
            *(f"{p:.4f}" for p in trace.probabilities[layer - 1, shown]),
            f"{trace.normalised_entropy[layer - 1]:.4f}",
            *(state(rule, layer) for rule in trace.rules),
            most_attended(trace, cumulative[layer - 1]),
        ]
        for layer in range(1, trace.depth + 1)
    ]
    return header, rows


def render(trace: Trace) -> str:
    """Returns the whole trace for the terminal."""
    lines = tables.table(*table(trace)).splitlines()
    lines[trace.exit_layer] += "  <- exit"
    return "\n".join([*trace.texts, verdict(trace), first_fires(trace), *lines])
