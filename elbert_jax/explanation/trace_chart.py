"""A trace's curves and rules as SVG for its page, which has the colours."""

import html

import numpy as np

from elbert_jax.explanation import trace_text
from elbert_jax.explanation.inspection import Trace

_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH = 92, 704, 20, 180, 720  # of the curves
_RULE = 20  # height of a rule's row below them


def columns(trace: Trace) -> list[float]:
    """Returns the x coordinate of each layer."""
    return np.linspace(_LEFT + 12, _RIGHT - 12, trace.depth).round(1).tolist()


def render(trace: Trace) -> str:
    """Returns the chart and its legend."""
    x, bottom = columns(trace), _BOTTOM + _RULE * len(trace.rules)
    exit_x = x[trace.exit_layer - 1]
    marks = [
        f'<line class="cursor" y1="{_TOP}" y2="{bottom}" '
        f'transform="translate({exit_x})"/>'
    ]
    for value in (0, 0.5, 1):
        y = _height(value)
        marks.append(_line("grid", _LEFT, y, _RIGHT, y))
        marks.append(_text(f"{value:g}", _LEFT - 8, y + 4, "end"))
    marks.append(_line("exit", exit_x, _TOP, exit_x, _BOTTOM))
    marks.append(_text("exit", exit_x, _TOP - 6, "middle", "exit-name"))
    marks.append(_curve("entropy", x, trace.normalised_entropy))
    legend = ['<span class="key"><i class="dashed"></i>normalised entropy</span>']
    for color, c in enumerate(trace_text.leading(trace)):
        marks.append(_curve(f"c{color}", x, trace.probabilities[:, c]))
        name = f"probability of {html.escape(trace.labels[c])}"
        legend.insert(color, f'<span class="key"><i class="c{color}"></i>{name}</span>')
    for row, rule in enumerate(trace.rules):
        y = _BOTTOM + _RULE * row + 6
        marks.append(_text(html.escape(rule.name), _LEFT - 8, y + 11, "end"))
        marks += [_box(trace, row, layer, x[layer - 1] - 6, y) for layer in _layers(x)]
    marks += [_text(str(i), x[i - 1], bottom + 20, "middle") for i in _layers(x)]
    label = html.escape(trace_text.verdict(trace), quote=True)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {bottom + 26}" role="img" aria-label="{label}">'
        f"{''.join(marks)}</svg><figcaption>{''.join(legend)}"
        "<br>A box fills as its rule comes nearer, and is red where it fires."
        "</figcaption>"
    )


def _layers(x: list[float]) -> range:
    return range(1, len(x) + 1)


def _height(value: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * value


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}"/>'


def _text(text: str, x: float, y: float, anchor: str, name: str = "") -> str:
    return f'<text class="{name}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _curve(name: str, x: list[float], values: np.ndarray) -> str:
    points = " ".join(f"{a:.1f},{_height(b):.1f}" for a, b in zip(x, values))
    return f'<polyline class="curve {name}" points="{points}"/>'


def _box(trace: Trace, row: int, layer: int, left: float, top: float) -> str:
    """Returns a box that fills as a rule comes nearer, and is red where it fires."""
    rule = trace.rules[row]
    fires = bool(rule.fires[layer - 1])
    share = fires if rule.held is None else rule.held[layer - 1] / (rule.window or 1)
    height = 14 * float(share)
    title = html.escape(f"layer {layer}: {rule.name} {trace_text.state(rule, layer)}")
    return (
        f'<g><title>{title}</title><rect class="frame" x="{left:.1f}" y="{top}" '
        f'width="12" height="14"/><rect class="held{" fires" * fires}" x="{left:.1f}" '
        f'y="{top + 14 - height:.1f}" width="12" height="{height:.1f}"/></g>'
    )
