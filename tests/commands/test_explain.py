"""What `explain` shows of traces: examples and a page; and the command."""

import html.parser

import numpy as np
import orjson
import pytest

from elbert_jax import ConfidenceWindow
from elbert_jax.explanation import inspection, patterns, trace_page, trace_text
from tests.command_line import start

TEXTS = ['a\t& <script>"$x\'"</script> \U0001f600', "שלום <b>"]


@pytest.fixture(scope="module")
def trace(classifier):
    return inspection.trace(classifier, *TEXTS, true_label="<i>neutral</i>")


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append((self.open[-1] if self.open else "", data))


def test_the_page_is_whole_and_escaped(trace):
    text = trace_page.render('<b>"title"</b>', {"<u>heading": [trace, trace]})
    page = Page(text)
    assert page.open == []
    assert text.count("<script") == 2 and text.count("</script>") == 2
    for tag in ("<b>", "<i>neutral", "<u>"):
        assert tag not in text
    shown = "".join(data for tag, data in page.words if tag not in ("style", "script"))
    for given in (*TEXTS, "<u>heading", '<b>"title"</b>', "true label: <i>neutral</i>"):
        assert "".join(given.split()) in "".join(shown.split()).replace("[SEP]", "")


def test_the_page_needs_nothing_else(trace):
    text = trace_page.render("title", {"": [trace]})
    assert "http:" not in text and "https:" not in text and "url(" not in text
    page = Page(text)
    assert not {"src", "href"} & {name for _, attrs in page.tags for name in attrs}
    assert not {"link", "img", "iframe"} & {tag for tag, _ in page.tags}
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_the_page_shows_the_exit_and_holds_every_layer(trace):
    page = Page(trace_page.render("title", {"": [trace]}))
    (slider,) = [a for tag, a in page.tags if a.get("type") == "range"]
    assert slider["value"] == str(trace.exit_layer) and slider["max"] == "5"
    assert ("label", {"for": slider["id"]}) in page.tags
    marks = [a for _, a in page.tags if "token" in a.get("class", "")]
    depths = [float(a["style"].partition(":")[2]) for a in marks]
    largest = trace.largest(trace.cumulative)
    want = np.sqrt(trace.cumulative[trace.exit_layer - 1] / largest).clip(max=1)
    np.testing.assert_allclose(depths, want, atol=1e-4)
    data = orjson.loads(next(d for tag, d in page.words if tag == "script"))[0]
    np.testing.assert_allclose(data["single"]["amounts"], trace.attention, atol=1e-4)
    np.testing.assert_allclose(
        data["cumulative"]["amounts"], trace.cumulative, atol=1e-4
    )
    assert len(data["names"]) == len(marks) and len(data["says"]) == len(data["x"]) == 5


def test_the_text_of_a_trace(trace):
    lines = trace_text.render(trace).splitlines()
    assert lines[:2] == TEXTS and len(lines) == 4 + 1 + 5
    label, score = trace.prediction(trace.exit_layer)
    assert f"Exits at layer {trace.exit_layer} of 5" in lines[2]
    assert (
        f"{label} {score:.4f}" in lines[2] and "true label: <i>neutral</i>" in lines[2]
    )
    assert [i for i, line in enumerate(lines) if line.endswith("<- exit")] == [
        4 + trace.exit_layer
    ]
    amounts = np.zeros(len(trace.segments))
    amounts[0], amounts[1], amounts[-4:-1] = 99, 4, 3  # [CLS], "a"; "<", "b" and ">"
    assert trace_text.most_attended(trace, amounts).startswith("<b> 9.00 · a 4.00 · ")


def test_patterns_by_hand():
    # Log-odds of class 1 by layer; normalised entropy is below 0.5 beyond +-2.
    odds = {
        "simple, later": [1, 3, 4],
        "simple, at once": [5, 5, 5],
        "simple, surer": [9, 5, 5],
        "changes its mind after": [3, -1, 3],
        "mended": [3, 1, -1],
        "mended, further apart": [3, 1, -4],
        "harmed": [-3, 1, 1],
        "wrong": [-3, -3, -3],
        "full depth": [1, 1, 5],
    }
    logits = np.zeros((3, len(odds), 2), np.float32)
    logits[..., 1] = np.array(list(odds.values())).T
    names = np.array(list(odds))
    labels = np.ones(len(odds), int)
    found = patterns.find(logits, labels, ConfidenceWindow(0.5, criterion="none"))
    assert {pattern: names[rows].tolist() for pattern, rows in found.items()} == {
        patterns.SIMPLE: ["simple, surer", "simple, at once", "simple, later"],
        patterns.MENDED: ["mended, further apart", "mended"],
        patterns.HARMED: ["harmed"],
    }


@pytest.mark.slow
def test_the_command_finds_examples(classifier, tmp_path):
    classifier.save_pretrained(tmp_path / "model")
    texts = ["bank", "fell", "rose", "<b>"]  # of one length, once padded
    labels = [answer["label"] for answer in classifier(texts)]  # all are right
    rows = ["a\tb", *("\t".join(row) for row in zip(texts, labels))]
    (tmp_path / "texts.tsv").write_text("\n".join(rows) + "\n")
    done = start(
        "explain",
        f"--model={tmp_path}/model",
        f"--file={tmp_path}/texts.tsv",
        "--text_column=a",
        "--label_column=b",
        "--examples=1",
        f"--output={tmp_path}/page.html",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "== Simple input, simple exit: " in done.stdout
    assert f"the page is {tmp_path}/page.html" in done.stdout
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    assert 1 <= sum(tag == "article" for tag, _ in page.tags) <= 3


def test_a_mistake_is_one_line_and_status_2(run_here):
    done = run_here("explain", "--model=nowhere", "--text=x", "--file=y")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "--text=TEXT" in done.stderr
