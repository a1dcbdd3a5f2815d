"""One text's trace through the layers: outputs, rules, and where [CLS] looked.

Attention weights are computed here and nowhere else, from a layer's own queries and
keys; the model that answers texts never holds them.

Letters: B texts, L pieces, T tokens, H hidden size, N attention heads, D layers,
C classes.

References:
    Xie et al., "ELBERT: Fast ALBERT with Confidence-Window Based Early Exit",
    ICASSP 2021, Section 4.5, Figs. 4 and 5: Figs. 8 and 9 of the journal's version.
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
from elbert_jax.data.batching import Batch, Encoded
from elbert_jax.data.tokenization import Tokenizer, TokenSpan
from elbert_jax.errors import UserError
from elbert_jax.exits import rules
from elbert_jax.exits.rules import Rule
from elbert_jax.inference.classifier import Classifier, Result
from elbert_jax.model import albert
from elbert_jax.model.albert import AlbertConfig, Attention, Params


@dataclasses.dataclass(frozen=True)
class Token:
    """Characters of a text, and the pieces that stand for them: mostly one.

    A full stop after a space is two: the beginning of a word, and ".".
    """

    surface: str  # the characters; the pieces, where they stand for none
    pieces: tuple[str, ...]
    word: int | None  # its number in `Trace.words`; None: [CLS] or [SEP]
    text: int  # 0, or 1 in the second text of a pair
    start: int  # its first character in that text
    end: int  # the one after its last


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """A text's way through all layers, also beyond the one where it leaves."""

    texts: tuple[str, ...]  # one, or a pair
    truth: str | None  # the label that it should have, where that is known
    labels: tuple[str, ...]  # [C], names of the classes
    tokens: tuple[Token, ...]  # [T], with [CLS] and [SEP]
    words: tuple[str, ...]  # that the tokens are of
    probabilities: Float[np.ndarray, "D C"]
    puzzlement: Float[np.ndarray, " D"]
    rules: tuple[Rule, ...]  # in the criterion's order
    exit_layer: int  # 1-based
    rule: str  # which let it leave; "last_layer" if none did
    attention: Float[np.ndarray, "D T"]  # of [CLS], over the tokens; rows sum to 1

    @property
    def depth(self) -> int:
        """D."""
        return len(self.puzzlement)

    @property
    def cumulative(self) -> Float[np.ndarray, "D T"]:
        """The attention of all layers so far, added up: row i sums to i."""
        return self.attention.cumsum(0)

    def largest(self, amounts: Float[np.ndarray, "D T"]) -> float:
        """Returns the largest amount that falls to a token of the text itself."""
        own = [token.word is not None for token in self.tokens]
        return float(amounts[:, own].max(initial=0.0)) or 1.0

    def answer(self, layer: int) -> tuple[str, float]:
        """Returns the label after a layer, 1-based, and its probability."""
        p = self.probabilities[layer - 1]
        return self.labels[p.argmax()], float(p.max())

    @property
    def result(self) -> Result:
        """What the classifier answers."""
        label, score = self.answer(self.exit_layer)
        left = {"exit_layer": self.exit_layer, "rule": self.rule}
        return {"label": label, "score": score} | left


def cls_attention(
    attention: Attention, x: Float[Array, "B L H"], mask: Bool[Array, "B L"]
) -> Float[Array, "B N L"]:
    """Returns how much each head looks at each piece from the first; 0 at padding.

    Args:
      attention: of a layer.
      x: what goes into that layer.
      mask: True at the real pieces.
    """

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
    """Returns the logits of every layer, and where [CLS] looks in it.

    That is the mean over the heads, and over the layers that make up one depth.
    """
    model = albert.bind(config, params)
    tokens, mask, types = batch.inputs

    def step(x: Array, number: Array) -> tuple[Array, tuple[Array, Array]]:
        seen = []
        for layer in model.albert_layers:
            seen.append(cls_attention(layer.attention, x, mask).mean(1))
            x = layer(x, mask)
        return x, (model.classify(x, mask, number), jnp.stack(seen).mean(0))

    numbers = jnp.arange(1, config.num_hidden_layers + 1)
    return jax.lax.scan(step, model.embed(tokens, types), numbers)[1]


def trace(
    classifier: Classifier,
    text: str,
    text_pair: str | None = None,
    *,
    truth: str | None = None,
) -> Trace:
    """Follows one text, or a pair, through all layers.

    Args:
      classifier: the model, and when texts leave.
      text: the text.
      text_pair: the second one of a pair.
      truth: the label that it should have.

    Raises:
      UserError: a text is not valid Unicode, or the model's output is not finite.
    """
    longest = classifier.max_length
    encoded = Encoded.build(
        classifier.tokenizer, [text], [text_pair], max_length=longest
    )
    if encoded.truncated:
        warnings.warn(f"the text is cut to {longest} tokens", stacklevel=2)
    buckets = classifier.padded_lengths or batching.bucket_lengths(longest)
    room = next(b for b in buckets if b >= len(encoded.tokens))
    batch = batching.pad(encoded, np.zeros(1, np.int64), room)
    seen = look(classifier.config, classifier.params, batch)
    logits, attention = (np.asarray(each)[:, 0] for each in seen)
    if not np.isfinite(logits).all():
        layer = int(np.isfinite(logits).all(1).argmin()) + 1
        raise UserError(
            f"the logits of layer {layer} are not finite: check the model's weights"
        )
    leaves = exits.exit_layer(classifier.exit, logits[:, None])
    texts = (text,) if text_pair is None else (text, text_pair)
    kept = np.bincount(encoded.types)[: len(texts)] - [2, 1][: len(texts)]
    tokens, words = _tokens(classifier.tokenizer, texts, kept.tolist())
    starts = np.cumsum([0, *(len(token.pieces) for token in tokens[:-1])])
    return Trace(
        texts=texts,
        truth=truth,
        labels=classifier.labels,
        tokens=tuple(tokens),
        words=tuple(words),
        probabilities=scipy.special.softmax(logits, axis=-1),
        puzzlement=np.asarray(exits.normalised_entropy(jnp.asarray(logits))),
        rules=rules.replay(classifier.exit, logits),
        exit_layer=int(leaves.layer[0]),
        rule=exits.rule_names(classifier.exit)[int(leaves.rule[0])],
        attention=np.add.reduceat(attention[:, : len(encoded.tokens)], starts, axis=1),
    )


def _tokens(
    tokenizer: Tokenizer, texts: Sequence[str], kept: Sequence[int]
) -> tuple[list[Token], list[str]]:
    """Returns the tokens of the pieces of each text that are kept, and their words."""
    cls, sep = str(tokenizer.hf.cls_token), str(tokenizer.hf.sep_token)
    tokens, words = [Token(cls, (cls,), None, 0, 0, 0)], []
    for number, (text, count) in enumerate(zip(texts, kept, strict=True)):
        end = 0
        pieces = tokenization.truncate(
            tokenizer.align(text), count, tokenizer.truncation
        )
        for _, groups in itertools.groupby(_overlapping(pieces), lambda g: g[0].word):
            begin = None
            for group in groups:
                start, end = group[0].start, group[-1].end
                begin = start if begin is None else begin
                names = tuple(piece.token for piece in group)
                surface = text[start:end] or "".join(names)
                tokens.append(Token(surface, names, len(words), number, start, end))
            words.append(text[begin:end])
        tokens.append(Token(sep, (sep,), None, number, end, end))
    return tokens, words


def _overlapping(pieces: Sequence[TokenSpan]) -> list[list[TokenSpan]]:
    groups: list[list[TokenSpan]] = []
    for piece in pieces:
        if groups and piece.start < groups[-1][-1].end:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups
