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

from elbert_jax.explanation import trace_chart, trace_text
from elbert_jax.explanation.inspection import Trace

_ISOLATED = "\u2068{}\u2069"  # so that a right-to-left word moves nothing else


def render(title: str, sections: Mapping[str, Sequence[Trace]]) -> str:
    """Returns the page for traces by heading; the heading "" is not shown."""
    article, parts, traces = _template("trace_article.html"), [], []
    for heading, members in sections.items():
        parts += [f"<h2>{html.escape(heading)}</h2>"] * bool(heading)
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


def _article(trace: Trace) -> dict[str, Any]:
    layer = trace.exit_layer
    attended = _most_attended(trace, trace.cumulative[layer - 1])
    return {
        "texts": "".join(_texts(trace)),
        "verdict": html.escape(trace_text.verdict(trace)),
        "layer": layer,
        "depth": trace.depth,
        "says": html.escape(_says(trace, layer)),
        "attended": html.escape(attended),
        "chart": trace_chart.render(trace),
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

    return {
        "names": [
            each.surface
            if each.word is None or trace.words[each.word] == each.surface
            else f"{each.surface} (in {trace.words[each.word]})"
            for each in trace.segments
        ],
        "says": [_says(trace, layer) for layer in range(1, trace.depth + 1)],
        "x": trace_chart.columns(trace),
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
            spans.append(_between(text[shown : segment.start]))
            shade = f'style="--depth:{depth:.4f}"'
            surface = html.escape(segment.surface)
            if segment.word is None:  # isolated: it does not set the text's direction
                spans.append(f'<bdi class="token special" {shade}>{surface}</bdi>')
            else:
                spans.append(f'<span class="token" {shade}>{surface}</span>')
            shown = segment.end
        spans.append(_between(text[shown:]))
        yield f'<p class="text" dir="auto">{"".join(spans)}</p>'


def _between(text: str) -> str:
    """Returns what stands between segments: blanks, or what truncation removed."""
    escaped = html.escape(text)
    return f'<span class="cut">{escaped}</span>' if text.strip() else escaped


def _table(trace: Trace) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)

    header, rows = trace_text.table(trace)
    lines = [f"<tr>{cells('td', row)}</tr>" for row in rows]
    at_exit = trace.exit_layer - 1
    lines[at_exit] = lines[at_exit].replace("<tr>", '<tr class="at-exit">', 1)
    head, body = cells("th", header), "".join(lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
