"""The table of tasks."""

import pytest

from elbert_jax.data import tasks
from elbert_jax.errors import UserError


def test_the_table_agrees_with_tfds(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    import tensorflow_datasets.text.glue  # noqa: F401

    for task in tasks.TASKS.values():
        if task.name == "synthetic":
            continue
        features = tfds.builder(task.name, data_dir=tmp_path).info.features
        assert tuple(features["label"].names) == task.labels
        texts = {name for name, f in features.items() if "Text" in type(f).__name__}
        wanted = {task.text, task.text_pair} - {None}
        assert wanted == texts - {"title"}  # of AG News


def test_find_names_what_there_is():
    assert tasks.find("glue/rte").text_pair == "sentence2"
    assert tasks.find("glue/mnli").validation == (
        "validation_matched",
        "validation_mismatched",
    )
    with pytest.raises(UserError, match="no task 'sst2'; there are glue/sst2, "):
        tasks.find("sst2")
