"""The shape of an ALBERT, as Hugging Face's config.json describes it."""

import dataclasses

from elbert_jax.settings import at_least, check, one_of

DTYPES = ("float32", "bfloat16")
EXIT_HEADS = ("shared", "pooler", "linear", "mlp", "attention")
_CHOICES = {
    "hidden_act": ("gelu_new", "gelu"),  # the tanh approximation, the exact (erf) form
    "dtype": DTYPES,
    "exit_heads": EXIT_HEADS,
}


@dataclasses.dataclass(frozen=True)
class AlbertConfig:
    """Shape of an ALBERT; field names are those of Hugging Face's config.json.

    Two fields are this library's own:
      dtype: Matmul input dtype; accumulation and all other operations are float32.
      exit_heads: Classification heads of the layers before the last: `shared` uses the
        last layer's head everywhere; see `heads` for the others.

    Raises:
      ValueError: A field is out of range.
    """

    vocab_size: int = 30000
    embedding_size: int = 128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    inner_group_num: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    num_labels: int = 2
    dtype: str = "float32"
    exit_heads: str = "shared"

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if type(field.default) is int:
                check(field.name, getattr(self, field.name), at_least(1))
        for name, choices in _CHOICES.items():
            check(name, getattr(self, name), one_of(choices))
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )
        if self.exit_heads != "shared" and self.num_hidden_layers < 2:
            raise ValueError(f"exit_heads {self.exit_heads!r} needs 2 layers or more")
