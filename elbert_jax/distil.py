"""Distils a BERT-family encoder into an ALBERT on plain text, without labels.

Run:    python -m elbert_jax.distil --config=configs/distil.py --workdir=runs/distil \
            --config.teacher=DIR_OR_HUB_ID --config.data.files=books.txt.xz
"""

from absl import flags
from ml_collections import config_flags

from elbert_jax import machine
from elbert_jax.cli import app
from elbert_jax.errors import UserError
from elbert_jax.training import distillation

_CONFIG = config_flags.DEFINE_config_file("config", None, "Experiment.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Checkpoints, logs and the model.")


def main(argv):
    del argv
    machine.enable_compilation_cache()
    if _CONFIG.value is None or _WORKDIR.value is None:
        raise UserError("give --config=FILE, an existing one, and --workdir=DIR")
    distillation.distil(_CONFIG.value, _WORKDIR.value)


if __name__ == "__main__":
    app.run(main)
