"""What a benchmark runs on: a model, texts, and exits at given compute ratios.

Speed does not depend on what a model has learned, so any shape can be measured with
random weights and tokens: `Drawn` has real lengths and random exit layers.
"""

import abc
import tempfile
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from elbert_jax import exits
from elbert_jax.data import batching, corpus, synthetic
from elbert_jax.data.encoded import Encoded
from elbert_jax.data.tokenization import Tokenizer
from elbert_jax.data.vocabulary import train_tokenizer
from elbert_jax.errors import UserError
from elbert_jax.evaluation.curve import LayerOutputs
from elbert_jax.exits import Criterion, FixedDepth
from elbert_jax.inference import full_depth
from elbert_jax.inference.classifier import Classifier
from elbert_jax.inference.text_chunks import Text
from elbert_jax.model import albert
from elbert_jax.model.albert import Params
from elbert_jax.model.config import AlbertConfig

SHAPES = {
    "tiny": (32, 4, 2),  # hidden size, layers, heads
    "small": (256, 12, 4),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}
# Lengths of texts in tokens of ALBERT's own vocabulary, truncated to 512: the values
# at these quantiles, interpolated linearly.
_QUANTILES = (*(step / 20 for step in range(20)), 0.975, 0.99, 0.997, 1.0)
# fmt: off
MIXES = {
    "sst2": (3, 4, 4, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 19, 22, 25, 30, 36,
             43, 49, 57, 81),  # train: 67,349 phrases, mean 14.3
    "fpb": (5, 14, 17, 19, 21, 23, 24, 26, 27, 29, 31, 33, 34, 37, 39, 42, 45, 49, 55,
            63, 69, 77, 84, 195),  # 50Agree: 4,846 sentences, mean 33.6
    "fpb_balanced": (3, 9, 11, 13, 15, 17, 19, 20, 21, 23, 24, 26, 27, 29, 31, 33, 36,
                     40, 46, 53, 60, 69, 74, 129),  # 1,815 without stop words, 26.6
    "imdb": (11, 83, 123, 147, 160, 170, 180, 191, 205, 220, 238, 256, 279, 305, 339,
             381, 433, 510, 512, 512, 512, 512, 512, 512),  # 6,000 of test, mean 276
}
# fmt: on
_GOLDEN = (5**0.5 - 1) / 2
_SAMPLE = 2000  # texts whose exits are replayed
_CONCENTRATION = 2  # of the Beta distribution in `exit_layers`
_MAX_TEXTS = 1 << 15  # as exit layers of all are one array: each size compiles
_HEADLINES = 2000  # synthetic texts whose words raw texts are made of


class Workload(abc.ABC):
    """A model and texts: random ones (`Drawn`), or a user's own (`Labelled`)."""

    config: AlbertConfig
    params: Params
    labels: Sequence[str]
    tokenizer: Tokenizer
    mixes: Sequence[str]  # kinds of texts by length; the first is the usual one

    @abc.abstractmethod
    def texts(self, mix: str, count: int) -> Encoded:
        """Returns `count` texts, or all there are; fewer are the first of more."""

    @abc.abstractmethod
    def strings(self, count: int) -> Sequence[Text]:
        """Returns `count` raw texts of the usual mix, or all there are."""

    @abc.abstractmethod
    def exit_at(self, ratio: float) -> Criterion:
        """Returns a criterion with this compute ratio."""

    def classifier(self, ratio: float, slots: int | str) -> Classifier:
        """Returns the model on one device, with exits at a compute ratio."""
        model = self.config, self.params, self.labels, self.tokenizer
        one = jax.local_devices()[:1]
        return Classifier(*model, self.exit_at(ratio), slots=slots, devices=one)


class Labelled(Workload):
    """A trained model and the labelled texts of a file."""

    mixes = ("file",)

    def __init__(
        self, model: str, file: str, dtype: str = "float32", texts: int | None = None
    ):
        """Opens a model and a file; `texts` of it are drawn at random, or all."""
        opened = Classifier.from_pretrained(model, dtype=dtype)
        if opened.exit.varies != "delta":
            raise UserError(
                f"{model} exits by {opened.exit}, which has no delta to set"
            )
        self.config, self.params = opened.config, opened.params
        self.labels, self.tokenizer = opened.labels, opened.tokenizer
        examples = corpus.read_file(file)
        drawn = np.random.default_rng(0).permutation(len(examples))[:texts]
        examples = [examples[row] for row in drawn]
        longest = opened.max_length
        encoded = corpus.encode(self.tokenizer, examples, self.labels, longest)
        # The first texts are to have the lengths of all.
        by_length = np.argsort(encoded.lengths, kind="stable")
        order = by_length[spread(len(encoded)).argsort().argsort()]
        self.inputs = [examples[row].input for row in order]
        self.encoded = encoded.take(order)
        some = self.texts("file", _SAMPLE)
        logits = opened.every_layer(some)
        outputs = LayerOutputs(self.config, logits, some.labels, some.lengths)
        self.flops_ratios = flops_ratios(opened.exit, outputs)

    def texts(self, mix: str, count: int) -> Encoded:
        return self.encoded.take(np.arange(len(self.encoded))[:count])

    def strings(self, count: int) -> Sequence[Text]:
        return self.inputs[:count]

    def exit_at(self, ratio: float) -> Criterion:
        ratios = self.flops_ratios
        return min(ratios, key=lambda exit: abs(ratios[exit] - ratio))


def flops_ratios(exit: Criterion, outputs: LayerOutputs) -> dict[Criterion, float]:
    """Returns the FLOPs ratios of an exit with each delta from 0 to 1 in hundredths."""
    ratios = {}
    for step in range(101):
        criterion = exit.replace(delta=step / 100)
        layers = np.asarray(exits.exit_layer(criterion, outputs.logits).layer)
        ratios[criterion] = outputs.flops_ratio(layers)
    return ratios


class Drawn(Workload):
    """A random model, texts and exits, the same at every time."""

    labels = ("negative", "neutral", "positive")

    def __init__(
        self,
        shape: str,
        dtype: str = "float32",
        mix: str = "sst2",
        tokenizer: str | None = None,
    ):
        """Draws a model; without a `tokenizer` directory, a small one is trained."""
        hidden, layers, heads = SHAPES[shape]
        self.config = AlbertConfig(
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            initializer_range=hidden**-0.5,  # which tells texts apart
            num_labels=len(self.labels),
            dtype=dtype,
        )
        self.mixes = (mix, *(name for name in MIXES if name != mix))
        if tokenizer:
            self.tokenizer = Tokenizer.load(tokenizer)
            positions = self.config.max_position_embeddings
            self.tokenizer.limit(positions, self.tokenizer.truncation)
        else:
            with tempfile.TemporaryDirectory() as folder:
                self.tokenizer = train_tokenizer(_headlines(), 1000, folder)
        init = jax.jit(albert.init, static_argnums=0)
        self.params = self._centred(init(self.config, jax.random.key(0)))

    def _centred(self, params: Params) -> Params:
        """Shifts and scales the last layer's logits to N(0, 1), so that labels vary."""
        sample = self.texts("sst2", 64)
        batches = batching.eval_batches(sample, len(sample))
        logits = full_depth.every_layer(self.config, params, batches, len(sample))[-1]
        head, scale = params["classifier"], 1 / logits.std(0)
        bias = (head["bias"] - logits.mean(0)) * scale
        kernel = head["kernel"] * scale[None]
        return params | {"classifier": {"kernel": kernel, "bias": bias}}

    def texts(self, mix: str, count: int) -> Encoded:
        if count > _MAX_TEXTS:
            raise UserError(f"{count:,} texts: drawn are {_MAX_TEXTS:,} at most")
        offsets = np.cumsum([0, *lengths(mix, count)])
        random = np.random.default_rng(0)
        tokens = random.integers(5, self.config.vocab_size, offsets[-1], np.int32)
        tokens[offsets[:-1]], tokens[offsets[1:] - 1] = 2, 3  # [CLS], [SEP]
        types, labels = np.zeros(len(tokens), np.int8), np.full(count, -1, np.int32)
        return Encoded(tokens, types, offsets, labels, truncated=0)

    def strings(self, count: int) -> Sequence[Text]:
        words = sorted({word for text in _headlines() for word in text.split()})
        tokens = np.array([len(each) for each in self.tokenizer.token_ids(words)])
        random, texts = np.random.default_rng(0), []
        for length in lengths(self.mixes[0], count):
            drawn = random.integers(0, len(words), length)
            fit = int((tokens[drawn].cumsum() <= length - 2).sum())
            texts.append(" ".join(words[number] for number in drawn[: max(fit, 1)]))
        return texts

    def exit_at(self, ratio: float) -> Criterion:
        layers = exit_layers(self.config.num_hidden_layers, ratio, _MAX_TEXTS, seed=1)
        return FixedDepth(jnp.asarray(layers))


def _headlines() -> list[str]:
    return [example.text for example in synthetic.examples("train")[:_HEADLINES]]


def spread(count: int) -> np.ndarray:
    """Returns numbers in [0, 1), any first of which are evenly spread."""
    return (0.5 + np.arange(count) * _GOLDEN) % 1


def lengths(mix: str, count: int) -> np.ndarray:
    """Returns tokens of texts, int [M]; any first of them are distributed as all."""
    return np.interp(spread(count), _QUANTILES, MIXES[mix]).round().astype(np.int64)


def exit_layers(layers: int, ratio: float, count: int, seed: int) -> np.ndarray:
    """Returns exit layers, int32 [M], drawn independently of the lengths.

    The distribution is beta-binomial: 1 + Binomial(D - 1, p), where p of each text is
    drawn from Beta(2m, 2 - 2m) and m = (ratio D - 1) / (D - 1), so that the mean is
    ratio D. Early layers are the most frequent, and some texts reach the last: at a
    ratio of 1/3 and 12 layers, 29% exit at the first and 2% at the last.

    Raises:
      UserError: no such distribution has this ratio.
    """
    mean = (ratio * layers - 1) / (layers - 1)
    if not 0 < mean < 1:
        raise UserError(
            f"a compute ratio of {ratio} cannot be drawn: of {layers} layers it lies "
            f"between {1 / layers:.3f} and 1"
        )
    random = np.random.default_rng(seed)
    a, b = _CONCENTRATION * mean, _CONCENTRATION * (1 - mean)
    return 1 + random.binomial(layers - 1, random.beta(a, b, count)).astype(np.int32)
