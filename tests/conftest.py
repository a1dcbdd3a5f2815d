"""Strict globals for every test, set before the first JAX operation."""

import pathlib

import jax
import pytest
from absl import flags

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
flags.FLAGS.mark_as_parsed()  # grain reads absl flags when it starts

SHARED_DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> pathlib.Path:
    """The folder of real data, which lies beside the checkout; skips without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data of real data is not here")
    return SHARED_DATA
