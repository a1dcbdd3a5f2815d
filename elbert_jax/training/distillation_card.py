"""The README.md of a distilled encoder's model directory."""

import pathlib
from collections.abc import Mapping

from elbert_jax.data.documents import TokenStore
from elbert_jax.hub.teacher import Teacher
from elbert_jax.model.config import AlbertConfig
from elbert_jax.tables import markdown
from elbert_jax.training.config import DistillationConfig


def render(
    model: AlbertConfig,
    config: DistillationConfig,
    *,
    source: Teacher,
    store: TokenStore,
    step: int,
    effort: tuple[int, float],
    errors: tuple[Mapping[int, float], Mapping[int, float]],
) -> str:
    """Returns the card as Markdown.

    Args:
      effort: tokens seen in training, and seconds spent.
      errors: held-out errors of hidden states and of text vectors, by layer.
    """
    seen, seconds = effort
    name = source.name
    start = f"from {config.init}" if config.init else f"in closed form from {name}"
    files = ", ".join(pathlib.Path(path).name for path in config.text.paths)
    lengths = ", ".join(f"{size} ({share:g})" for size, share in config.buckets)
    hidden, vectors = errors
    table = markdown(
        ["layer", "hidden states", "text vectors"],
        [
            (n, f"{hidden[n]:.4f}" if n in hidden else "", f"{error:.4f}")
            for n, error in vectors.items()
        ],
    )
    licence = f"\nlicense: {source.licence}" if source.licence else ""
    says = f", whose model card says {source.licence}" if source.licence else ""
    return f"""---
library_name: elbert_jax
pipeline_tag: feature-extraction{licence}
---
# ALBERT, distilled from {name}

- Teacher: {name} ({source.config.num_hidden_layers} layers, hidden size
  {source.config.hidden_size}){says}; its tokenizer.
- Initialised {start}; then trained on the teacher's hidden states and text vectors at
  every layer, without labels; seed {config.loop.seed}.
- Text: {files}: {len(store):,} documents of {len(store.tokens):,} tokens,
  {config.text.held_out:.1%} of the documents held out. Row lengths in tokens, and their
  shares of the batches: {lengths}.
- {seen:,} tokens seen in {step:,} steps; {seconds / 3600:.2f} hours.
- {model.num_hidden_layers} layers that share their weights, hidden size
  {model.hidden_size}, embedding size {model.embedding_size}, {model.vocab_size:,}
  tokens in the vocabulary, weights stored as {config.export_dtype}.
- Positions beyond the longest row were not trained.

Fine-tune it: `python -m elbert_jax.train --config=... --config.init=DIR`.
`transformers` opens the directory with `AutoModel` and `AutoTokenizer`.

## Held-out documents, after every layer

Mean squared errors; predicting the mean gives 1.

{table}
"""
