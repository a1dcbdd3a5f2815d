"""Named data sets: their columns, labels, splits and metric."""

import dataclasses

from elbert_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Task:
    """A named data set; columns and label order are TensorFlow Datasets'.

    The column of labels is "label", and the training split is "train".
    """

    name: str
    text: str
    text_pair: str | None
    labels: tuple[str, ...]
    metric: str = "accuracy"  # or f1, matthews
    validation: tuple[str, ...] = ("validation",)
    host: str = "dl.fbaipublicfiles.com"  # from which TFDS downloads it


_ENTAILMENT = ("entailment", "not_entailment")
_NLI = ("entailment", "neutral", "contradiction")
_MATCHED = ("validation_matched", "validation_mismatched")
_NEWS = ("World", "Sports", "Business", "Sci/Tech")
_TEST = ("test",)  # where it is the only other labelled split
_AI, _DRIVE = "ai.stanford.edu", "drive.google.com"
_ALL = (
    Task("glue/sst2", "sentence", None, ("negative", "positive")),
    Task("glue/cola", "sentence", None, ("unacceptable", "acceptable"), "matthews"),
    Task("glue/mrpc", "sentence1", "sentence2", ("not_equivalent", "equivalent"), "f1"),
    Task("glue/qqp", "question1", "question2", ("not_duplicate", "duplicate"), "f1"),
    Task("glue/rte", "sentence1", "sentence2", _ENTAILMENT),
    Task("glue/wnli", "sentence1", "sentence2", _ENTAILMENT[::-1]),
    Task("glue/qnli", "question", "sentence", _ENTAILMENT),
    Task("glue/mnli", "premise", "hypothesis", _NLI, validation=_MATCHED),
    Task("imdb_reviews", "text", None, ("neg", "pos"), validation=_TEST, host=_AI),
    Task("ag_news_subset", "description", None, _NEWS, validation=_TEST, host=_DRIVE),
    Task("synthetic", "text", None, ("negative", "neutral", "positive"), host=""),
)
TASKS = {task.name: task for task in _ALL}


def find(name: str) -> Task:
    """Returns the task called `name`; a UserError lists the known names."""
    if name not in TASKS:
        raise UserError(f"no task {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]
