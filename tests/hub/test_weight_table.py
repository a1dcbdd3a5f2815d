"""The weight table beside the parameters that it names."""

import jax
import numpy as np

from elbert_jax.hub import weight_table
from elbert_jax.model import albert
from elbert_jax.model.config import AlbertConfig
from tests.hugging_face import TINY


def test_table_names_every_parameter_once():
    config = AlbertConfig(**{**TINY, "inner_group_num": 3})
    rows = weight_table.weights(config)
    params = albert.init(config, jax.random.key(0))
    assert len({row.path for row in rows}) == len({row.key for row in rows})
    assert [np.prod(row.shape) for row in rows] == [
        leaf.size for leaf in jax.tree.leaves(params)
    ]
    assert {row.path for row in rows if row.transposed} == {
        row.path for row in rows if row.path.endswith(".kernel")
    }
