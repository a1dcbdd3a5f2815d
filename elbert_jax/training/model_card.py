"""The README.md of a model directory: how it was trained, and what was measured."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from elbert_jax.data.documents import TokenStore
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
      report: `curve.report` of the held-out texts, and as `parts` their `curve.scores`.
      exit: the exit criterion as JSON.
      step: the training step of the exported parameters.
      config: the run's.
    """
    start = f"from {config.init}" if config.init else "from scratch, not pretrained"
    depth, metric = model.num_hidden_layers, config.metric or data.metric
    exit_setting = ", ".join(f"{name} = {value}" for name, value in exit.items())
    weighting = f" (weights: {config.weighting})" if config.weighting else ""
    unlabelled = len(data.unlabelled)
    more = f", and {unlabelled:,} without labels" if unlabelled else ""
    rows = _scores("", report, depth)
    for name, part in report["parts"].items():
        rows += _scores(f"{name}: ", part, depth)
    scores = markdown(["", *report["full_depth"], "mean exit layer", "FLOPs"], rows)
    header = ["stage 2", "delta", metric, "mean exit layer", "layers", "FLOPs"]
    formats = {"criterion": "", "delta": "", metric: ".4f"}
    formats |= {"mean_exit_layer": ".2f", "layer_ratio": ".3f", "flops_ratio": ".3f"}
    rows = [
        [format(r[name], f) for name, f in formats.items()] for r in report["curve"]
    ]
    curve = markdown(header, rows)
    accuracy = enumerate(report["layer_accuracy"], start=1)
    layers = markdown(["layer", "accuracy"], ((n, f"{a:.4f}") for n, a in accuracy))
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
    phases: Sequence[Phase],
    store: TokenStore,
    effort: tuple[int, float],
    scores: Mapping[str, float],
) -> str:
    """Returns the card of a pretrained encoder as Markdown.

    Args:
      model: the model's shape.
      config: the run's.
      phases: its phases, with the model's depth in place of 0.
      store: its text, held-out documents included.
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
- {len(store):,} documents of {len(store.tokens):,} tokens, \
{config.text.held_out:.0%} of the documents held out.
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


def _scores(prefix: str, report: Mapping[str, Any], depth: int) -> list[list[Any]]:
    """Returns the scores at full depth and with early exit, as rows of a table."""
    full, point = report["full_depth"], report["at_exit"]
    exits = [f"{point['mean_exit_layer']:.2f}", f"{point['flops_ratio']:.3f}"]
    return [
        [f"{prefix}full depth", *(f"{x:.4f}" for x in full.values()), depth, 1],
        [f"{prefix}early exit", *(f"{point[name]:.4f}" for name in full), *exits],
    ]
