"""A trace's curves as SVG for its page: probabilities, puzzlement, exit and rules.

Colours are the page's.
"""

import html

import numpy as np

from elbert_jax.explanation import trace_text
from elbert_jax.explanation.inspection import Trace

_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH = 92, 704, 20, 180, 720  # of the curves
_RULE = 20  # height of a rule's row below them


def columns(trace: Trace) -> list[float]:
    """Returns where each layer stands in the chart, from left to right."""
    return np.linspace(_LEFT + 12, _RIGHT - 12, trace.depth).round(1).tolist()


def render(trace: Trace) -> str:
    """Returns the chart, and its key."""
    x, last = columns(trace), _BOTTOM + _RULE * len(trace.rules)
    exit_x = x[trace.exit_layer - 1]

    def curve(values: np.ndarray, name: str, color: str) -> str:
        y = _BOTTOM - (_BOTTOM - _TOP) * values
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y))
        return f'<polyline class="curve {name}" {color} points="{points}"/>'

    parts = [
        f'<line class="cursor" y1="{_TOP}" y2="{last}" '
        f'transform="translate({exit_x})"/>'
    ]
    for value in (0, 0.5, 1):
        y = _BOTTOM - (_BOTTOM - _TOP) * value
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y}" y2="{y}"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>'
        )
    parts.append(
        f'<line class="exit" x1="{exit_x}" x2="{exit_x}" y1="{_TOP}" y2="{_BOTTOM}"/>'
        f'<text class="exit-name" x="{exit_x}" y="{_TOP - 6}" text-anchor="middle">'
        "exit</text>"
    )
    parts.append(curve(trace.puzzlement, "puzzlement", ""))
    for color, c in enumerate(trace_text.leading(trace)):
        stroke = f'style="stroke:var(--c{color})"'
        parts.append(curve(trace.probabilities[:, c], "probability", stroke))
    for row, rule in enumerate(trace.rules):
        y = _BOTTOM + _RULE * row + 6
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">'
            f"{html.escape(rule.name)}</text>"
        )
        for layer, left in enumerate(x, start=1):
            parts.append(_cell(trace, row, layer, left - 6, y))
    for layer, left in enumerate(x, start=1):
        parts.append(
            f'<text x="{left}" y="{last + 20}" text-anchor="middle">{layer}</text>'
        )
    label = html.escape(trace_text.verdict(trace), quote=True)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {last + 26}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg><figcaption>{_key(trace)}</figcaption>"
    )


def _cell(trace: Trace, row: int, layer: int, left: float, top: float) -> str:
    """Returns a box that fills as a rule comes nearer, and is red where it fires."""
    rule = trace.rules[row]
    fires = bool(rule.fires[layer - 1])
    share = fires if rule.held is None else rule.held[layer - 1] / (rule.window or 1)
    height = 14 * float(share)
    says = f"{rule.name} {trace_text.state(rule, layer)}"
    return (
        f"<g><title>{html.escape(f'layer {layer}: {says}')}</title>"
        f'<rect class="room" x="{left:.1f}" y="{top}" width="12" height="14"/>'
        f'<rect class="held{" fires" * fires}" x="{left:.1f}" '
        f'y="{top + 14 - height:.1f}" width="12" height="{height:.1f}"/></g>'
    )


def _key(trace: Trace) -> str:
    keys = [
        f'<span class="key"><i style="color:var(--c{color})"></i>probability of '
        f"{html.escape(trace.labels[c])}</span>"
        for color, c in enumerate(trace_text.leading(trace))
    ]
    keys.append('<span class="key"><i class="dashed"></i>puzzlement</span>')
    keys.append("<br>A box fills as its rule comes nearer, and is red where it fires.")
    return "".join(keys)
