"""One text's trace through the layers: outputs, rules and the attention of [CLS].

Attention weights are computed here and nowhere else, from a layer's own queries and
keys; the model never stores them. (ELBERT, ICASSP 2021, Figs. 4 and 5)

Letters: B texts, L tokens, T segments of a text, H hidden size, N attention heads,
D layers, C classes.
"""

import dataclasses
import functools
import itertools
import warnings
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float

from elbert_jax import exits
from elbert_jax.data import batching, tokenization
from elbert_jax.data.batching import Batch
from elbert_jax.data.encoded import Encoded
from elbert_jax.data.tokenization import Tokenizer, TokenSpan
from elbert_jax.errors import UserError
from elbert_jax.exits import rules
from elbert_jax.exits.rules import Rule
from elbert_jax.inference.classifier import Classifier
from elbert_jax.model import albert
from elbert_jax.model.albert import Attention, Params
from elbert_jax.model.config import AlbertConfig


@dataclasses.dataclass(frozen=True)
class Segment:
    """Characters of a text, and the tokens that stand for them: mostly one.

    A full stop after a space has two: the beginning of a word, and ".".
    """

    surface: str  # the characters; the tokens, where these stand for none
    tokens: tuple[str, ...]
    word: int | None  # its index in `Trace.words`; None: [CLS] or [SEP]
    text: int  # 0, or 1 in the second text of a pair
    start: int  # its first character in that text
    end: int  # the one after its last


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """What a model computes for a text at every layer, also beyond its exit."""

    texts: tuple[str, ...]  # one, or a pair
    true_label: str | None  # where it is known
    labels: tuple[str, ...]  # [C], names of the classes
    segments: tuple[Segment, ...]  # [T], with [CLS] and [SEP]
    words: tuple[str, ...]  # that the segments belong to
    probabilities: Float[np.ndarray, "D C"]
    normalised_entropy: Float[np.ndarray, " D"]
    rules: tuple[Rule, ...]  # in the criterion's order
    exit_layer: int  # 1-based
    rule: str  # that fires there; "last_layer" if none does
    attention: Float[np.ndarray, "D T"]  # of [CLS] to the segments; rows sum to 1

    @property
    def depth(self) -> int:
        """D."""
        return len(self.probabilities)

    @property
    def cumulative(self) -> Float[np.ndarray, "D T"]:
        """The attention summed over the layers so far: row i sums to i."""
        return self.attention.cumsum(0)

    def largest(self, amounts: Float[np.ndarray, "D T"]) -> float:
        """Returns the largest amount at a segment that is no [CLS] or [SEP]."""
        own = [segment.word is not None for segment in self.segments]
        return float(amounts[:, own].max(initial=0.0)) or 1.0

    def prediction(self, layer: int) -> tuple[str, float]:
        """Returns the label predicted after a layer, 1-based, and its probability."""
        p = self.probabilities[layer - 1]
        return self.labels[p.argmax()], float(p.max())


def cls_attention(
    attention: Attention, x: Float[Array, "B L H"], mask: Bool[Array, "B L"]
) -> Float[Array, "B N L"]:
    """Returns each head's attention weights of the first token; 0 at padding."""

    def heads(y: Array) -> Array:
        return y.reshape(*y.shape[:2], attention.num_heads, -1)

    query, key = heads(attention.query(x[:, :1]))[:, 0], heads(attention.key(x))
    scores = jnp.einsum("bnk,bsnk->bns", query, key).astype(jnp.float32)
    scores = scores * query.shape[-1] ** -0.5
    lowest = jnp.finfo(jnp.float32).min
    return jax.nn.softmax(jnp.where(mask[:, None], scores, lowest))


@functools.partial(jax.jit, static_argnames="config")
def look(
    config: AlbertConfig, params: Params, batch: Batch
) -> tuple[Float[Array, "D B C"], Float[Array, "D B L"]]:
    """Returns the logits and the attention of [CLS] at every depth.

    The attention is the mean over the heads and the layers that make up one depth.
    """
    model = albert.bind(config, params)
    tokens, mask, types = batch.inputs

    def step(x: Array, number: Array) -> tuple[Array, tuple[Array, Array]]:
        weights = []
        for layer in model.albert_layers:
            weights.append(cls_attention(layer.attention, x, mask).mean(1))
            x = layer(x, mask)
        return x, (model.classify(x, mask, number), jnp.stack(weights).mean(0))

    numbers = jnp.arange(1, config.num_hidden_layers + 1)
    return jax.lax.scan(step, model.embed(tokens, types), numbers)[1]


def trace(
    classifier: Classifier,
    text: str,
    text_pair: str | None = None,
    true_label: str | None = None,
) -> Trace:
    """Follows one text, or a pair, through all layers.

    Raises:
      UserError: a text is not valid Unicode, or the logits are not finite.
    """
    longest, tokenizer = classifier.max_length, classifier.tokenizer
    criterion = classifier.exit
    encoded = Encoded.build(tokenizer, [text], [text_pair], max_length=longest)
    if encoded.truncated:
        warnings.warn(f"the text is cut to {longest} tokens", stacklevel=2)
    batch = batching.pad(encoded, np.zeros(1, np.int64), longest)
    both = look(classifier.config, classifier.params, batch)
    logits, attention = (np.asarray(each)[:, 0] for each in both)
    if not np.isfinite(logits).all():
        layer = int(np.isfinite(logits).all(1).argmin()) + 1
        raise UserError(
            f"the logits of layer {layer} are not finite: check the model's weights"
        )
    at_exit = exits.exit_layer(criterion, logits[:, None])
    texts = (text,) if text_pair is None else (text, text_pair)
    kept = np.bincount(encoded.types)[: len(texts)] - [2, 1][: len(texts)]
    segments, words = _segments(tokenizer, texts, kept.tolist())
    starts = np.cumsum([0, *(len(each.tokens) for each in segments[:-1])])
    return Trace(
        texts=texts,
        true_label=true_label,
        labels=classifier.labels,
        segments=tuple(segments),
        words=tuple(words),
        probabilities=scipy.special.softmax(logits, axis=-1),
        normalised_entropy=np.asarray(exits.normalised_entropy(jnp.asarray(logits))),
        rules=rules.replay(criterion, logits),
        exit_layer=int(at_exit.layer[0]),
        rule=exits.rule_names(criterion)[int(at_exit.rule[0])],
        attention=np.add.reduceat(attention[:, : len(encoded.tokens)], starts, axis=1),
    )


def _segments(
    tokenizer: Tokenizer, texts: Sequence[str], kept: Sequence[int]
) -> tuple[list[Segment], list[str]]:
    """Returns the segments and the words of texts, `kept` tokens of each."""
    cls, sep = str(tokenizer.hf.cls_token), str(tokenizer.hf.sep_token)
    segments, words = [Segment(cls, (cls,), None, 0, 0, 0)], []
    for number, (text, count) in enumerate(zip(texts, kept, strict=True)):
        spans, end = tokenizer.align(text), 0
        spans = tokenization.truncate(spans, count, tokenizer.truncation)
        for _, groups in itertools.groupby(_overlapping(spans), lambda g: g[0].word):
            groups = list(groups)
            for group in groups:
                start, end = group[0].start, group[-1].end
                names = tuple(span.token for span in group)
                surface = text[start:end] or "".join(names)
                segments.append(Segment(surface, names, len(words), number, start, end))
            words.append(text[groups[0][0].start : end])
        segments.append(Segment(sep, (sep,), None, number, end, end))
    return segments, words


def _overlapping(spans: Sequence[TokenSpan]) -> list[list[TokenSpan]]:
    """Groups tokens that stand for the same characters."""
    groups: list[list[TokenSpan]] = []
    for span in spans:
        if groups and span.start < groups[-1][-1].end:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups
