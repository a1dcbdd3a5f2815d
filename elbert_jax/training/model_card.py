"""The README.md of a model directory: how it was trained, and what was measured."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from elbert_jax.data.training_data import TrainingData
from elbert_jax.model.config import AlbertConfig
from elbert_jax.tables import markdown
from elbert_jax.training.config import FineTuningConfig, Phase, PretrainingConfig


def render(
    model: AlbertConfig,
    data: TrainingData,
    report: Mapping[str, Any],
    exit: Mapping[str, Any],
    step: int,
    config: FineTuningConfig,
) -> str:
    """Returns the card of a classifier as Markdown.

    Args:
      model: the model's shape.
      data: the texts of the run.
      report: of `curve.report` on the held-out texts, with their `parts`.
      exit: the exit criterion of the report, as `Criterion.to_dict` gives it.
      step: the training step of the exported parameters.
      config: of the run.
    """
    start = f"from {config.init}" if config.init else "from scratch, not pretrained"
    depth, metric = model.num_hidden_layers, config.metric or data.metric
    exit_setting = ", ".join(f"{name} = {value}" for name, value in exit.items())
    weighting = f" (weights: {config.weighting})" if config.weighting else ""
    unlabelled = len(data.unlabelled)
    more = f", and {unlabelled:,} without labels" if unlabelled else ""
    parts = [
        [f"{name}: {row[0]}", *row[1:]]
        for name, part in report["parts"].items()
        for row in _scores(part, depth)
    ]
    scores = markdown(
        ["", *report["full_depth"], "mean exit layer", "FLOPs"],
        _scores(report, depth) + parts,
    )
    curve = markdown(
        ["stage 2", "delta", metric, "mean exit layer", "layers", "FLOPs"],
        (_curve_row(row, metric) for row in report["curve"]),
    )
    layers = markdown(
        ["layer", "accuracy"], enumerate(map(_number, report["layer_accuracy"]), 1)
    )
    return f"""---
library_name: elbert_jax
pipeline_tag: text-classification
---
# ALBERT with early exit: {", ".join(data.labels)}

- Trained {start}, by the method {config.method.name}{weighting}; the parameters of step
  {step}, seed {config.loop.seed}.
- Trained on {data.train_name}: {len(data.train):,} texts{more}.
- Evaluated on {data.validation_name}: {len(data.validation):,} texts, which also
  chose the best step by {metric}.
- Of texts beyond {config.data.max_seq_length} tokens it reads the \
{config.data.truncation}.
- {depth} layers, hidden size {model.hidden_size}, a vocabulary of \
{model.vocab_size:,} tokens; exit heads: {model.exit_heads}.
- Early exit by {exit_setting}.

{scores}

```python
from elbert_jax import Classifier

classify = Classifier.from_pretrained("path/to/this/directory")
classify("some text")
```

`transformers` opens the directory too, and gives the full-depth logits.

## Exit curve

"layers" is the mean exit layer divided by {depth}; "FLOPs" counts those of real tokens,
relative to full depth. "none" is stage 1 alone.

{curve}

## All texts exiting at the same layer

{layers}
"""


def render_pretrained(
    model: AlbertConfig,
    config: PretrainingConfig,
    *,
    phases: Sequence[Phase],
    documents: int,
    tokens: int,
    effort: tuple[int, float],
    scores: Mapping[str, float],
) -> str:
    """Returns the card of a pretrained encoder as Markdown.

    Args:
      model: the model's shape.
      config: of the run.
      phases: of the run, with the model's depth in place of 0.
      documents: number of documents in the text files.
      tokens: number of tokens in them.
      effort: tokens seen in training, and seconds spent.
      scores: on held-out documents, at the depth of the last phase.
    """
    names = [pathlib.Path(path).name for path in config.text.paths]
    seen, seconds = effort
    start = f"from {config.init}" if config.init else "from random weights"
    schedule = markdown(
        ["depth", "tokens of a row", "share of the steps"],
        [(p.depth, p.length, f"{p.share:g}") for p in phases],
    )
    return f"""---
library_name: elbert_jax
pipeline_tag: fill-mask
---
# ALBERT, pretrained on {", ".join(names)}

- Trained {start} on masked tokens and sentence order; seed {config.loop.seed}.
- {documents:,} documents of {tokens:,} tokens, {config.text.held_out:.0%} of the
  documents held out.
- {seen:,} tokens seen in {config.steps:,} steps; {seconds / 3600:.2f} hours.
- {model.num_hidden_layers} layers that share their weights, hidden size
  {model.hidden_size}, a vocabulary of {model.vocab_size:,} tokens, weights stored as
  {config.export_dtype}.
- On held-out documents, at depth {phases[-1].depth}: accuracy on masked tokens
  {scores["mlm_accuracy"]:.4f}, perplexity {scores["mlm_perplexity"]:.2f}; accuracy of
  sentence order {scores["sop_accuracy"]:.4f}, where chance is 0.5.

Fine-tune it: `python -m elbert_jax.train --config=... --config.init=DIR`.
`transformers` opens the directory as `AlbertForPreTraining` or `AlbertForMaskedLM`.

## Phases

{schedule}
"""


def _scores(report: Mapping[str, Any], depth: int) -> list[list[Any]]:
    full, point = report["full_depth"], report["at_exit"]
    exits = [f"{point['mean_exit_layer']:.2f}", f"{point['flops_ratio']:.3f}"]
    return [
        ["full depth", *map(_number, full.values()), depth, 1],
        ["early exit", *(_number(point[name]) for name in full), *exits],
    ]


def _curve_row(row: Mapping[str, Any], metric: str) -> list[Any]:
    return [
        row["criterion"],
        row["delta"],
        _number(row[metric]),
        f"{row['mean_exit_layer']:.2f}",
        f"{row['layer_ratio']:.3f}",
        f"{row['flops_ratio']:.3f}",
    ]


def _number(value: float) -> str:
    return f"{value:.4f}"
