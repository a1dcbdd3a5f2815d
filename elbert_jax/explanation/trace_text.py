"""A trace in words, for a terminal, a page or a picture.

Letters: D layers, T tokens.
"""

import numpy as np
from jaxtyping import Float

from elbert_jax import tables
from elbert_jax.exits.rules import Rule
from elbert_jax.explanation.inspection import Trace

_CLASSES, _WORDS = 6, 3  # how many there is room to name


def leading(trace: Trace) -> list[int]:
    """Returns the classes that are likeliest anywhere on the way, a few at most."""
    by_peak = trace.probabilities.max(0).argsort()[::-1]
    return sorted(by_peak[:_CLASSES].tolist())


def verdict(trace: Trace) -> str:
    """Returns in one line where a text leaves, and what full depth would say."""
    (label, score), (last, sure) = map(trace.answer, (trace.exit_layer, trace.depth))
    line = (
        f"Leaves at layer {trace.exit_layer} of {trace.depth} ({trace.rule}): "
        f"{label} {score:.4f}; full depth: {last} {sure:.4f}"
    )
    return line if trace.truth is None else f"{line}; it is {trace.truth}"


def first_fires(trace: Trace) -> str:
    """Returns in one line where each rule would let the text out, were it alone."""
    first = (
        f"{rule.name} " + (f"at layer {rule.first}" if rule.first else "nowhere")
        for rule in trace.rules
    )
    return f"Alone, each rule would fire first: {', '.join(first)}"


def state(rule: Rule, layer: int) -> str:
    """Returns what a rule says after a layer, 1-based, in a few characters."""
    held = "" if rule.held is None else f"{rule.held[layer - 1]}/{rule.window}"
    return f"{held} fires".strip() if rule.fires[layer - 1] else held or "waits"


def looked_at(trace: Trace, amounts: Float[np.ndarray, " T"], word: str = "{}") -> str:
    """Returns the words to which the largest amounts, by token, fall.

    Args:
      trace: of the words.
      amounts: attention.
      word: how to write one.
    """
    sums = np.zeros(len(trace.words))
    for token, amount in zip(trace.tokens, amounts):
        if token.word is not None:
            sums[token.word] += amount
    most = np.argsort(-sums, kind="stable")[:_WORDS]
    named = (f"{word.format(trace.words[w])} {sums[w]:.2f}" for w in most)
    return " · ".join(named) or "no word"


def header(trace: Trace) -> list[str]:
    """Returns what the columns of `rows` are."""
    labels = (trace.labels[c] for c in leading(trace))
    rules = (rule.name for rule in trace.rules)
    return ["layer", *labels, "puzzlement", *rules, "[CLS] has looked at"]


def rows(trace: Trace) -> list[list[str]]:
    """Returns a row of text a layer."""
    shown, cumulative = leading(trace), trace.cumulative
    return [
        [
            str(layer),
            *(f"{p:.4f}" for p in trace.probabilities[layer - 1, shown]),
            f"{trace.puzzlement[layer - 1]:.4f}",
            *(state(rule, layer) for rule in trace.rules),
            looked_at(trace, cumulative[layer - 1]),
        ]
        for layer in range(1, trace.depth + 1)
    ]


def render(trace: Trace) -> str:
    """Returns the whole trace for a terminal."""
    lines = tables.table(header(trace), rows(trace)).splitlines()
    lines[trace.exit_layer] += "  <- leaves"
    return "\n".join([*trace.texts, verdict(trace), first_fires(trace), *lines])
