"""The README.md of a model directory: what was measured, on what, with what."""

from collections.abc import Mapping, Sequence
from typing import Any

from elbert_jax.data.corpus import Config, Corpus
from elbert_jax.model.albert import AlbertConfig


def render(
    model: AlbertConfig,
    data: Corpus,
    report: Mapping[str, Any],
    exit: Mapping[str, Any],
    step: int,
    config: Config,
) -> str:
    """Returns the card as Markdown.

    Args:
      model: the model's shape.
      data: what it was trained and measured on.
      report: what `evaluation.report` measured on the held-out texts.
      exit: the criterion that it was measured with, as `exit_settings` writes it.
      step: the training step whose parameters these are.
      config: of the run.
    """
    start = f"from {config.init}" if config.init else "from scratch, not pretrained"
    depth, metric = model.num_hidden_layers, data.metric
    exit_setting = ", ".join(f"{name} = {value}" for name, value in exit.items())
    weighting = f" (weights: {config.weighting})" if config.weighting else ""
    unlabelled = len(data.unlabelled)
    more = f", and {unlabelled:,} without labels" if unlabelled else ""
    scores = _table(
        ["", *report["full_depth"], "mean exit layer", "FLOPs"],
        _scores(report, depth, f"early exit ({exit_setting})")
        + [
            [f"{name}: {row[0]}", *row[1:]]
            for name, part in report["parts"].items()
            for row in _scores(part, depth, "early exit")
        ],
    )
    layers = _table(
        ["layer", "accuracy"], enumerate(map(_number, report["layer_accuracy"]), 1)
    )
    curve = _table(
        ["stage 2", "delta", metric, "mean exit layer", "layers", "FLOPs"],
        (
            [
                row["criterion"],
                row["delta"],
                _number(row[metric]),
                f"{row['mean_exit_layer']:.2f}",
                f"{row['layer_ratio']:.3f}",
                f"{row['flops_ratio']:.3f}",
            ]
            for row in report["curve"]
        ),
    )
    return f"""---
library_name: elbert_jax
pipeline_tag: text-classification
---
# ALBERT with early exit: {", ".join(data.labels)}

- Trained {start}, by the method {config.method}{weighting}; the parameters of step
  {step}, seed {config.seed}.
- Trained on {data.train_name}: {len(data.train):,} texts{more}.
- Measured on {data.validation_name}: {len(data.validation):,} texts, which also
  chose the best step by {metric}.
- Of texts beyond {config.data.max_seq_length} pieces it reads the \
{config.data.truncation}.
- {depth} layers, hidden size {model.hidden_size}, {model.vocab_size:,} pieces; exit
  heads: {model.exit_heads}.

{scores}

```python
from elbert_jax import Classifier

classify = Classifier.from_pretrained("path/to/this/directory")
classify("some text")
```

`transformers` opens the directory too, and gives the full-depth logits.

## Exit curve

"layers" is the mean exit layer over {depth}; "FLOPs" counts real tokens, over those of
full depth. "none" is stage 1 alone.

{curve}

## Every text at one layer

{layers}
"""


def render_pretrained(
    model: AlbertConfig,
    config: Config,
    *,
    phases: Sequence[tuple[int, int, float]],
    names: Sequence[str],
    documents: int,
    tokens: int,
    effort: tuple[int, float],
    scores: Mapping[str, float],
) -> str:
    """Returns the card of a pretrained encoder as Markdown.

    Args:
      model: the model's shape.
      config: of the run.
      phases: depth, length of a row and share of the steps of each.
      names: the text files.
      documents: number of documents in them.
      tokens: number of tokens in them.
      effort: tokens seen, and seconds spent.
      scores: on held-out documents, at the depth of the last phase.
    """
    seen, seconds = effort
    start = f"from {config.init}" if config.init else "from random weights"
    schedule = _table(
        ["depth", "tokens of a row", "share of the steps"],
        [(d, length, f"{share:g}") for d, length, share in phases],
    )
    columns = {
        "accuracy on masked tokens": "mlm_accuracy",
        "perplexity": "mlm_perplexity",
        "accuracy of sentence order": "sop_accuracy",
    }
    depth = phases[-1][0]
    held_out = _table(
        ["depth", *columns],
        [[depth, *(_number(scores[name]) for name in columns.values())]],
    )
    return f"""---
library_name: elbert_jax
pipeline_tag: fill-mask
---
# ALBERT, pretrained on {", ".join(names)}

- Trained {start} on masked tokens and sentence order; seed {config.seed}.
- {documents:,} documents of {tokens:,} tokens, {config.data.held_out:.0%} of the
  documents held out.
- {seen:,} tokens seen in {config.steps:,} steps; {seconds / 3600:.2f} hours.
- {model.num_hidden_layers} layers that share their weights, hidden size
  {model.hidden_size}, a vocabulary of {model.vocab_size:,} tokens, weights stored as
  {config.export_dtype}.

Fine-tune it: `python -m elbert_jax.train --config=... --config.init=DIR`.
`transformers` opens the directory as `AlbertForPreTraining` or `AlbertForMaskedLM`.

## Phases

{schedule}

## Held-out documents

{held_out}
"""


def _scores(report: Mapping[str, Any], depth: int, exit_name: str) -> list[list[Any]]:
    full, point = report["full_depth"], report["at_exit"]
    return [
        ["full depth", *map(_number, full.values()), depth, 1],
        [
            exit_name,
            *(_number(point[name]) for name in full),
            f"{point['mean_exit_layer']:.2f}",
            f"{point['flops_ratio']:.3f}",
        ],
    ]


def _number(value: float) -> str:
    return f"{value:.4f}"


def _table(header: Sequence[str], rows: Any) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
