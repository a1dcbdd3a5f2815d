"""Traces as one HTML page that needs nothing else: no network, no other file.

As it is written it shows each text at its exit layer; a little JavaScript moves it to
the others. All that comes from a user is escaped.

Letters: D layers, T tokens.
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

_ISOLATED = "\u2068{}\u2069"  # so that a word from right to left moves nothing else
_INTRODUCTION = """<p class="faint">ALBERT reads a text by applying one layer again and
again; after each, the first token, [CLS], gives an answer. The stronger a token's
shade, the more attention [CLS] has paid to it; every layer has 1 to share out. Move the
slider with the mouse or the arrow keys.</p>
<fieldset><legend>Shade by</legend>
<label><input type="radio" name="shading" value="cumulative" checked>
attention of all layers so far</label>
<label><input type="radio" name="shading" value="single"> of this layer alone</label>
</fieldset>"""


def render(title: str, sections: Mapping[str, Sequence[Trace]]) -> str:
    """Returns the page.

    Args:
      title: of the page.
      sections: traces by heading; "" is none.
    """
    parts, traces = [_INTRODUCTION], []
    for heading, members in sections.items():
        parts += [f"<h2>{html.escape(heading)}</h2>"] * bool(heading)
        for trace in members:
            parts.append(_article(trace, len(traces)))
            traces.append(trace)
    template = importlib.resources.files("elbert_jax.explanation") / "trace_page.html"
    data = orjson.dumps([_data(trace) for trace in traces]).decode()
    return string.Template(template.read_text("utf-8")).substitute(
        title=html.escape(title),
        body="\n".join(parts),
        data=data.replace("<", "\\u003c"),  # or "</script>" would end it
    )


def _article(trace: Trace, number: int) -> str:
    layer, depth = trace.exit_layer, trace.depth
    looked_at = _looked_at(trace, trace.cumulative[layer - 1])
    return f"""<article id="trace-{number}">
{"".join(_texts(trace))}
<p>{html.escape(trace_text.verdict(trace))}.</p>
<div class="controls"><label for="layer-{number}">Layer</label>
<input type="range" id="layer-{number}" min="1" max="{depth}" value="{layer}">
<output for="layer-{number}">{layer} of {depth}</output>
<button type="button" value="{layer}">exit</button>
<button type="button" value="{depth}">full depth</button></div>
<p class="now"><span class="says">{html.escape(_says(trace, layer))}</span><br>
<span class="faint">[CLS] looked at
<span class="looked-at">{html.escape(looked_at)}</span></span></p>
<figure>{trace_chart.render(trace)}</figure>
<p class="faint">{html.escape(trace_text.first_fires(trace))}.</p>
<details><summary>All layers in numbers</summary><div class="scroll">{_table(trace)}
</div></details>
</article>"""


def _data(trace: Trace) -> dict[str, Any]:
    """Returns what the page's script moves between."""

    def shading(amounts: np.ndarray) -> dict[str, Any]:
        return {
            "amounts": amounts.round(4).tolist(),
            "largest": trace.largest(amounts),
            "looked_at": [_looked_at(trace, row) for row in amounts],
        }

    return {
        "names": [
            token.surface
            if token.word is None or trace.words[token.word] == token.surface
            else f"{token.surface} (in {trace.words[token.word]})"
            for token in trace.tokens
        ],
        "says": [_says(trace, layer) for layer in range(1, trace.depth + 1)],
        "x": trace_chart.columns(trace),
        "cumulative": shading(trace.cumulative),
        "single": shading(trace.attention),
    }


def _looked_at(trace: Trace, amounts: np.ndarray) -> str:
    return trace_text.looked_at(trace, amounts, _ISOLATED)


def _says(trace: Trace, layer: int) -> str:
    label, score = trace.answer(layer)
    rules = (f"{rule.name} {trace_text.state(rule, layer)}" for rule in trace.rules)
    puzzled = f"puzzlement {trace.puzzlement[layer - 1]:.4f}"
    return " · ".join([f"{label} {score:.4f}", puzzled, *rules])


def _texts(trace: Trace) -> Iterator[str]:
    """Yields a paragraph a text: its characters as they are, its tokens shaded."""
    amounts = trace.cumulative
    shades = np.sqrt(amounts[trace.exit_layer - 1] / trace.largest(amounts)).clip(max=1)
    for number, text in enumerate(trace.texts):
        spans, shown = [], 0
        for token, depth in zip(trace.tokens, shades):
            if token.text != number:
                continue
            spans.append(_unread(text[shown : token.start]))
            shade = f'style="--depth:{depth:.4f}"'
            surface = html.escape(token.surface)
            if token.word is None:  # isolated: it does not set the text's direction
                spans.append(f'<bdi class="token special" {shade}>{surface}</bdi>')
            else:
                spans.append(f'<span class="token" {shade}>{surface}</span>')
            shown = token.end
        rest = _unread(text[shown:])
        yield f'<p class="text" dir="auto">{"".join(spans)}{rest}</p>'


def _unread(between: str) -> str:
    """Returns what stands between tokens: blanks, or what was cut from a long text."""
    escaped = html.escape(between)
    return f'<span class="cut">{escaped}</span>' if between.strip() else escaped


def _table(trace: Trace) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in trace_text.header(trace))
    lines = []
    for layer, row in enumerate(trace_text.rows(trace), start=1):
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        name = ' class="leaves"' if layer == trace.exit_layer else ""
        lines.append(f"<tr{name}>{cells}</tr>")
    body = "".join(lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
