"""Traces as one self-contained HTML page: no network, no other file.

Without JavaScript it shows each text at its exit layer; a script moves it to the
others. Everything that comes from a user is escaped.
"""

import html
import importlib.resources
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from elbert_jax.exits.rules import Rule
from elbert_jax.explanation import trace_text
from elbert_jax.explanation.inspection import Trace

_ISOLATED = "\u2068{}\u2069"  # so that a right-to-left word moves nothing else
_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH = 92, 704, 20, 180, 720  # of the chart's curves
_RULE = 20  # height of a rule's row below them


def render(title: str, sections: Mapping[str, Sequence[Trace]]) -> str:
    """Returns the page for traces by heading; the heading "" is not shown."""
    article, parts, traces = _template("trace_article.html"), [], []
    for heading, members in sections.items():
        parts += [_element("h2", html.escape(heading))] * bool(heading)
        for trace in members:
            parts.append(article.substitute(_article(trace), number=len(traces)))
            traces.append(trace)
    data = orjson.dumps([_data(trace) for trace in traces]).decode()
    return _template("trace_page.html").substitute(
        title=html.escape(title),
        body="\n".join(parts),
        data=data.replace("<", "\\u003c"),  # or "</script>" would end it
    )


def _template(name: str) -> string.Template:
    folder = importlib.resources.files("elbert_jax.explanation")
    return string.Template((folder / name).read_text("utf-8"))


def _element(tag: str, *content: str, **attributes: Any) -> str:
    """Returns an element whose content is HTML; the attributes are escaped here.

    In their names _ stands for -, and a _ at the end is dropped.
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{given}>{''.join(content)}</{tag}>"


def _article(trace: Trace) -> dict[str, Any]:
    layer = trace.exit_layer
    return {
        "texts": "".join(_texts(trace)),
        "verdict": html.escape(trace_text.verdict(trace)),
        "layer": layer,
        "depth": trace.depth,
        "says": html.escape(_says(trace, layer)),
        "attended": html.escape(_most_attended(trace, trace.cumulative[layer - 1])),
        "chart": _chart(trace) + _legend(trace),
        "first_fires": html.escape(trace_text.first_fires(trace)),
        "table": _table(trace),
    }


def _data(trace: Trace) -> dict[str, Any]:
    """Returns what the page's script shows by layer."""

    def shading(amounts: np.ndarray) -> dict[str, Any]:
        return {
            "amounts": amounts.round(4).tolist(),
            "largest": trace.largest(amounts),
            "attended": [_most_attended(trace, row) for row in amounts],
        }

    names = []
    for each in trace.segments:
        word = each.surface if each.word is None else trace.words[each.word]
        part = f"{each.surface} (in {word})"
        names.append(word if word == each.surface else part)
    return {
        "names": names,
        "says": [_says(trace, layer) for layer in range(1, trace.depth + 1)],
        "x": _columns(trace),
        "cumulative": shading(trace.cumulative),
        "single": shading(trace.attention),
    }


def _most_attended(trace: Trace, amounts: np.ndarray) -> str:
    return trace_text.most_attended(trace, amounts, _ISOLATED)


def _says(trace: Trace, layer: int) -> str:
    label, score = trace.prediction(layer)
    rules = (f"{rule.name} {trace_text.state(rule, layer)}" for rule in trace.rules)
    entropy = f"normalised entropy {trace.normalised_entropy[layer - 1]:.4f}"
    return " · ".join([f"{label} {score:.4f}", entropy, *rules])


def _texts(trace: Trace) -> Iterator[str]:
    """Yields a paragraph per text: its characters unchanged, its segments shaded."""
    amounts = trace.cumulative
    shades = np.sqrt(amounts[trace.exit_layer - 1] / trace.largest(amounts)).clip(max=1)
    for number, text in enumerate(trace.texts):
        spans, shown = [], 0
        for segment, depth in zip(trace.segments, shades):
            if segment.text != number:
                continue
            special = segment.word is None  # isolated: it sets no text's direction
            tag, kind = ("bdi", "token special") if special else ("span", "token")
            surface, style = html.escape(segment.surface), f"--depth:{depth:.4f}"
            spans.append(_between(text[shown : segment.start]))
            spans.append(_element(tag, surface, class_=kind, style=style))
            shown = segment.end
        yield _element("p", *spans, _between(text[shown:]), class_="text", dir="auto")


def _between(text: str) -> str:
    """Returns what stands between segments: blanks, or what truncation removed."""
    escaped = html.escape(text)
    return _element("span", escaped, class_="cut") if text.strip() else escaped


def _table(trace: Trace) -> str:
    def row(tag: str, cells: Sequence[str], **attributes: str) -> str:
        cells = [_element(tag, html.escape(cell)) for cell in cells]
        return _element("tr", *cells, **attributes)

    header, rows = trace_text.table(trace)
    lines = [row("td", cells) for cells in rows]
    at_exit = trace.exit_layer - 1
    lines[at_exit] = row("td", rows[at_exit], class_="at-exit")
    head = _element("thead", row("th", header))
    return _element("table", head, _element("tbody", *lines))


def _columns(trace: Trace) -> list[float]:
    """Returns the x coordinate of each layer in the chart."""
    return np.linspace(_LEFT + 12, _RIGHT - 12, trace.depth).round(1).tolist()


def _chart(trace: Trace) -> str:
    """Returns the curves by layer and the rules as SVG; the page has the colours."""
    x, bottom = _columns(trace), _BOTTOM + _RULE * len(trace.rules)
    exit_x, height = x[trace.exit_layer - 1], bottom + 26
    moved = f"translate({exit_x})"
    marks = [_element("line", class_="cursor", y1=_TOP, y2=bottom, transform=moved)]
    for value in (0, 0.5, 1):
        y = _height(value)
        marks.append(_element("line", class_="grid", x1=_LEFT, x2=_RIGHT, y1=y, y2=y))
        marks.append(_text(f"{value:g}", _LEFT - 8, y + 4, "end"))
    ends = {"x1": exit_x, "x2": exit_x, "y1": _TOP, "y2": _BOTTOM}
    marks.append(_element("line", class_="exit", **ends))
    marks.append(_text("exit", exit_x, _TOP - 6, class_="exit-name"))
    curves = {"entropy": trace.normalised_entropy}
    for color, c in enumerate(trace_text.leading(trace)):
        curves[f"c{color}"] = trace.probabilities[:, c]
    for name, values in curves.items():
        points = " ".join(f"{a:.1f},{_height(b):.1f}" for a, b in zip(x, values))
        marks.append(_element("polyline", class_=f"curve {name}", points=points))
    for row, rule in enumerate(trace.rules):
        y = _BOTTOM + _RULE * row + 6
        marks.append(_text(rule.name, _LEFT - 8, y + 11, "end"))
        marks += [_box(rule, i, left - 6, y) for i, left in enumerate(x, start=1)]
    marks += [_text(str(i), left, bottom + 20) for i, left in enumerate(x, start=1)]
    box, label = f"0 0 {_WIDTH} {height}", trace_text.verdict(trace)
    return _element("svg", *marks, viewBox=box, role="img", aria_label=label)


def _legend(trace: Trace) -> str:
    keys = [
        (f"c{color}", f"probability of {trace.labels[c]}")
        for color, c in enumerate(trace_text.leading(trace))
    ]
    keys.append(("dashed", "normalised entropy"))
    marks = [
        _element("span", _element("i", class_=look), html.escape(name), class_="key")
        for look, name in keys
    ]
    filling = "<br>A box fills as its rule comes nearer, and is red where it fires."
    return _element("figcaption", *marks, filling)


def _height(value: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * value


def _text(text: str, x: float, y: float, anchor: str = "middle", **more: str) -> str:
    return _element("text", html.escape(text), x=x, y=y, text_anchor=anchor, **more)


def _box(rule: Rule, layer: int, left: float, top: float) -> str:
    """Returns a box that fills as a rule comes nearer, and is red where it fires."""
    fires = bool(rule.fires[layer - 1])
    share = fires if rule.held is None else rule.held[layer - 1] / (rule.window or 1)
    height, kind = 14 * float(share), "held fires" if fires else "held"
    title = html.escape(f"layer {layer}: {rule.name} {trace_text.state(rule, layer)}")

    def rect(class_: str, height: float) -> str:
        y = f"{top + 14 - height:.1f}"
        size = {"width": 12, "height": f"{height:.1f}"}
        return _element("rect", class_=class_, x=f"{left:.1f}", y=y, **size)

    return _element(
        "g", _element("title", title), rect("frame", 14), rect(kind, height)
    )
