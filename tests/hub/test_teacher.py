"""Teachers: hidden states as transformers has them, and clear refusals."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from elbert_jax.errors import UserError
from elbert_jax.hub import teacher
from elbert_jax.model import bert
from tests.hub import bert_teachers


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("BertModel", {}),
        ("BertForSequenceClassification", {"num_labels": 3}),
        ("BertModel", {"hidden_act": "gelu_new"}),
        ("DistilBertModel", {}),
        ("DistilBertForSequenceClassification", {}),
    ],
)
def test_hidden_states_are_those_of_transformers(tmp_path, name, sizes):
    model = bert_teachers.save(tmp_path, name, **sizes)
    draw = np.random.default_rng(0)
    tokens = draw.integers(0, len(bert_teachers.VOCABULARY), (3, 12)).astype(np.int32)
    mask = np.arange(12) < np.array([[12], [7], [3]])
    types = ((np.arange(12) >= 4) & mask).astype(np.int32)
    inputs = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": types}
    if name.startswith("Distil"):
        types = np.zeros_like(types)
        del inputs["token_type_ids"]
    torch = bert_teachers.torch
    with torch.no_grad():
        tensors = {k: torch.tensor(v, dtype=torch.long) for k, v in inputs.items()}
        wanted = model(**tensors, output_hidden_states=True).hidden_states

    loaded = teacher.load(tmp_path)
    got = bert.bind(loaded.config, loaded.params)(
        *map(jnp.asarray, (tokens, mask, types))
    )
    assert len(got) == len(wanted) == loaded.config.num_hidden_layers + 1
    for ours, theirs in zip(got, wanted):
        np.testing.assert_allclose(ours[mask], theirs.numpy()[mask], atol=1e-5)


def test_the_name_and_the_licence_are_told(tmp_path):
    folder = tmp_path / "my-teacher"
    bert_teachers.save(folder)
    assert (teacher.load(folder).name, teacher.load(folder).licence) == (
        folder.name,
        "",
    )
    card = "---\nlanguage: en\nlicense: apache-2.0\n---\n# Card\nlicense: none\n"
    (folder / "README.md").write_text(card)
    loaded = teacher.load(folder, "MyBERT")
    assert (loaded.name, loaded.licence) == ("MyBERT", "apache-2.0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "a model of type 'roberta'; a teacher may be of"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"num_hidden_layers": 3}, "missing tensor encoder.layer.2.attention"),
        ({"intermediate_size": 64}, r"has the shape \(32,\); by config.json it is"),
    ],
)
def test_what_cannot_be_a_teacher_is_named(tmp_path, change, message):
    bert_teachers.save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        teacher.load(tmp_path)
