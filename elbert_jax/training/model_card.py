"""The README.md of a model directory: what was measured, on what, with what."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

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
    pieces: int,
    effort: tuple[int, float],
    layers: Mapping[str, np.ndarray],
) -> str:
    """Returns the card of a pretrained encoder as Markdown.

    Args:
      model: the model's shape.
      config: of the run.
      phases: depth, length of a row and share of the steps of each.
      names: the text files.
      documents: how many there are in them.
      pieces: how many the tokenizer makes of them.
      effort: tokens seen, and seconds spent.
      layers: what the heads reach on held-out documents after every layer, [D].
    """
    tokens, seconds = effort
    start = f"from {config.init}" if config.init else "from random weights"
    if config.mimetic and not config.init:
        start += f" and word vectors of the text, reading the {config.mimetic}"
    objective = "masked pieces, sentence order" if config.steps else "no training"
    if config.steps and config.bag_of_words:
        objective += f", bag of words (weight {config.bag_of_words:g})"
    if config.steps and config.freeze_words:
        objective += ", word vectors frozen"
    depth = len(layers["mlm_loss"])
    schedule = _table(
        ["depth", "tokens of a row", "share of the steps"],
        [(d, length, f"{share:g}") for d, length, share in phases],
    )
    columns = {
        "masked pieces": "mlm_accuracy",
        "perplexity": "mlm_perplexity",
        "sentence order": "sop_accuracy",
    }
    if config.bag_of_words:
        columns["bag of words, nats"] = "bow_loss"
    scores = _table(
        ["layer", *columns],
        zip(range(1, depth + 1), *(map(_number, layers[c]) for c in columns.values())),
    )
    return f"""---
library_name: elbert_jax
pipeline_tag: fill-mask
---
# ALBERT, pretrained on {", ".join(names)}

- Begun {start}; then {objective}; seed {config.seed}.
- {documents:,} documents of {pieces:,} pieces, {config.data.held_out:.0%} of the
  documents held out.
- {tokens:,} tokens seen in {config.steps:,} steps; {seconds / 3600:.2f} hours.
- {model.num_hidden_layers} layers that share their weights, hidden size
  {model.hidden_size}, {model.vocab_size:,} pieces, float numbers as
  {config.export_dtype}.

Fine-tune it: `python -m elbert_jax.train --config=... --config.init=DIR`.
`transformers` opens the directory as `AlbertForPreTraining` or `AlbertForMaskedLM`.

## Phases

{schedule}

## Held-out documents, read after every layer

{scores}
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
