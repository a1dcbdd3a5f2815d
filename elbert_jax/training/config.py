"""The configurations of training runs, parsed once and validated."""

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from elbert_jax.data.pretraining_text import TextConfig
from elbert_jax.data.sentence_batches import Bucket
from elbert_jax.data.training_data import DataConfig
from elbert_jax.errors import UserError
from elbert_jax.evaluation import metrics
from elbert_jax.exits import Criterion, registry
from elbert_jax.hub import pretrained
from elbert_jax.model.config import DTYPES, AlbertConfig
from elbert_jax.settings import FRACTION, SHARE, Config, at_least, one_of, section
from elbert_jax.training import methods, optimizer
from elbert_jax.training.methods import Method

_Positive = Annotated[int, at_least(1)]
_NonNegative = Annotated[int, at_least(0)]


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """The settings of the training loop and its optimizer."""

    seed: _NonNegative
    dtype: Annotated[str, one_of(DTYPES)]  # of the computation
    accumulate: _Positive  # batches per update
    optimizer: Annotated[str, one_of(optimizer.OPTIMIZERS)]
    warmup_ratio: Annotated[float, SHARE]  # of the updates of a stage
    weight_decay: float
    clip_norm: float  # largest global norm of the gradient
    log_every: _Positive  # steps
    checkpoint_every: _Positive  # steps


@dataclasses.dataclass(frozen=True)
class FineTuningConfig:
    """A fine-tuning run; `configs/default.py` explains its keys."""

    loop: LoopConfig
    data: DataConfig
    model: Mapping[str, Any]  # fields of AlbertConfig
    method: Method
    weighting: str  # as configured; "": the method's own
    exit: Mapping[str, Any]  # see `registry.chosen`
    init: str
    metric: Annotated[str, one_of(("", *metrics.NAMES))]
    batch_size: _Positive
    eval_batch_size: _Positive
    epochs: _NonNegative
    steps: _NonNegative
    learning_rate: float
    t_learning_rate: float
    head_epochs: _Positive
    head_learning_rate: float

    def __post_init__(self):
        method = self.method
        if self.heads_only and not (self.init and method.freezes):
            able = methods.names(lambda other: other.freezes)
            raise UserError(
                "config.epochs is 0, which trains only the exit heads of a fine-tuned "
                f"model: only {able} can, and config.init must name it"
            )
        if self.data.unlabelled_file and not method.distils:
            able = methods.names(lambda other: other.distils)
            raise UserError(
                f"config.data.unlabelled_file is of no use to {method.name}; it is to "
                f"{able}"
            )
        self.criterion(1)  # raises if config.exit is wrong

    @property
    def heads_only(self) -> bool:
        """Whether the run only adds exit heads to a fine-tuned model."""
        return self.epochs == 0

    def criterion(self, num_layers: int) -> Criterion:
        """Returns the exit criterion that the model directory recommends."""
        try:
            return registry.chosen(self.exit, self.method.exit(num_layers))
        except ValueError as error:
            raise UserError(f"config.exit: {error}") from error


def fine_tuning(config: Config) -> FineTuningConfig:
    """Parses `configs/default.py`; a UserError names the value that cannot be used."""
    tokenizer = config.data.tokenizer or config.init
    return section(
        FineTuningConfig,
        config,
        loop=section(LoopConfig, config),
        data=section(DataConfig, config.data, "config.data", tokenizer=tokenizer),
        model=_set_values(config.model),
        method=methods.find(config.method, config.weighting),
        exit=config.exit.to_dict(),
    )


class Phase(NamedTuple):
    """A row of `config.phases`: a depth and a row length for a share of the steps."""

    depth: int  # layer applications; 0: those of the model
    length: int  # tokens of a row
    share: float  # of the steps, relative to the other phases


@dataclasses.dataclass(frozen=True)
class MaskingConfig:
    """How tokens are masked; see `masking.choose`."""

    mask_rate: Annotated[float, FRACTION]
    max_ngram: _Positive


@dataclasses.dataclass(frozen=True)
class PretrainingConfig:
    """A pretraining run; `configs/pretrain_default.py` explains its keys."""

    loop: LoopConfig
    text: TextConfig
    masking: MaskingConfig
    model: Mapping[str, Any]  # fields of AlbertConfig
    phases: tuple[Phase, ...]
    init: str
    export_dtype: Annotated[str, one_of(pretrained.DTYPES)]
    remat: bool
    steps: _Positive
    batch_tokens: _Positive
    learning_rate: float
    eval_every: _Positive
    eval_tokens: _Positive


def pretraining(config: Config) -> PretrainingConfig:
    """Parses `configs/pretrain_default.py`; see `fine_tuning`."""
    data, seed = config.data, config.seed
    tokenizer = data.tokenizer or config.init
    return section(
        PretrainingConfig,
        config,
        loop=section(LoopConfig, config),
        text=section(TextConfig, data, "config.data", tokenizer=tokenizer, seed=seed),
        masking=section(MaskingConfig, data, "config.data"),
        model=_set_values(config.model),
        phases=_rows(
            *("phases", config.phases, Phase),
            lambda depth, length, _: depth >= 0 and length >= 16,
            "(depth >= 0, length >= 16, share of the steps > 0)",
        ),
    )


@dataclasses.dataclass(frozen=True)
class DistillationConfig:
    """A distillation run; `configs/distil.py` explains its keys."""

    loop: LoopConfig
    text: TextConfig
    model: Mapping[str, Any]  # fields of AlbertConfig; others are the teacher's
    buckets: tuple[Bucket, ...]
    teacher: str
    teacher_name: str
    teacher_dtype: Annotated[str, one_of(("", *DTYPES))]
    init: str
    export_dtype: Annotated[str, one_of(pretrained.DTYPES)]
    hidden_weight: Annotated[float, at_least(0)]
    vector_weight: Annotated[float, at_least(0)]
    steps: _Positive
    batch_tokens: _Positive
    learning_rate: float
    b2: Annotated[float, FRACTION]
    decay_ratio: Annotated[float, SHARE]
    eval_every: _Positive
    eval_tokens: _Positive


def distillation(config: Config) -> DistillationConfig:
    """Parses `configs/distil.py`; see `fine_tuning`."""
    if not config.teacher:
        raise UserError("name a BERT's directory or hub id in config.teacher")
    text = {"tokenizer": config.data.tokenizer or config.teacher, "vocab_size": 0}
    return section(
        DistillationConfig,
        config,
        loop=section(LoopConfig, config),
        text=section(TextConfig, config.data, "config.data", seed=config.seed, **text),
        model=_set_values(config.model),
        buckets=_rows(
            *("lengths", config.lengths, Bucket),
            lambda length, _: length >= 8,
            "(length >= 8, share > 0)",
        ),
    )


def _rows(
    name: str, rows: Any, kind: Callable[..., Any], good: Callable[..., bool], want: str
) -> Any:
    """Returns rows of whole numbers, and a share at the end, as tuples of a kind."""
    try:
        parsed = tuple(
            kind(*map(operator.index, numbers), float(share))
            for *numbers, share in rows
        )
    except (TypeError, ValueError):
        parsed = ()
    if not parsed or not all(good(*row) and 0 < row.share < math.inf for row in parsed):
        raise UserError(f"config.{name} is {rows}; it must hold rows of {want}")
    return parsed


def _set_values(config: Config) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value is not None}


def albert_config(model: Mapping[str, Any], **others: Any) -> AlbertConfig:
    """Returns the shape that `config.model` and other fields describe, or UserError."""
    try:
        return AlbertConfig(**model, **others)
    except (TypeError, ValueError) as error:
        raise UserError(f"config.model: {error}") from error
