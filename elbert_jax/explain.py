"""Shows what a model predicts for a text after every layer, and where the text exits.

    python -m elbert_jax.explain --model=DIR --text="a gripping film"
    python -m elbert_jax.explain --model=DIR --file=dev.tsv --examples=3

The second, which also takes a named --task, searches labelled texts for examples of
what early exit does. Both print traces and write a page to open in a browser.
"""

from absl import flags

from elbert_jax import filesystem
from elbert_jax.cli import app, dataset_flags
from elbert_jax.errors import UserError
from elbert_jax.explanation import inspection, patterns, trace_page, trace_text
from elbert_jax.inference.classifier import Classifier

_MODEL = flags.DEFINE_string("model", None, "Model directory, or hub id.")
_TEXT = flags.DEFINE_string("text", None, "The text to explain.")
_PAIR = flags.DEFINE_string("text_pair", None, "The second text of a pair.")
_FILE = flags.DEFINE_string("file", None, "Labelled .tsv .csv .jsonl or .parquet.")
_TASK = flags.DEFINE_string("task", None, "A named task instead of a file.")
flags.adopt_module_key_flags(dataset_flags)
_EXAMPLES = flags.DEFINE_integer("examples", 3, "Examples of each pattern.", 1, 10)
_DELTA = flags.DEFINE_float("delta", None, "Stage 1's threshold; default: the model's.")
_OUTPUT = flags.DEFINE_string("output", "explain.html", "The page to write.")


def main(argv):
    del argv
    one = _TEXT.value is not None
    several = bool(_FILE.value or _TASK.value)
    if not _MODEL.value or one == several or (_PAIR.value and not one):
        raise UserError(
            "give --model=DIR, and --text=TEXT (and --text_pair), --file=FILE or "
            "--task=NAME"
        )
    page = filesystem.target(_OUTPUT.value)
    if not page or page.suffix != ".html":
        raise UserError(f"--output={_OUTPUT.value} should end with .html")
    classifier = Classifier.from_pretrained(_MODEL.value)
    if _DELTA.value is not None:
        classifier.set_delta(_DELTA.value)
    sections = _sections(classifier)
    for heading, traces in sections.items():
        print(*[f"== {heading}\n"] * bool(heading), sep="", end="")
        for trace in traces:
            print(trace_text.render(trace), end="\n\n")
    if not any(sections.values()):
        raise UserError("no text shows one of the patterns")
    title = f"Looking inside {_MODEL.value}"
    with filesystem.replacing(page) as file:
        file.write(trace_page.render(title, sections).encode())
    print(f"the page is {page}")


def _sections(classifier):
    if _TEXT.value is not None:
        return {"": [inspection.trace(classifier, _TEXT.value, _PAIR.value)]}
    _, examples = dataset_flags.read(_FILE.value, _TASK.value)
    return patterns.collect(classifier, examples, _EXAMPLES.value)


if __name__ == "__main__":
    app.run(main)
