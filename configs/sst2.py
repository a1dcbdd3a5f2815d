"""ALBERT-large on SST-2: the sentiment of a sentence about a film.

Run:    python -m elbert_jax.train --config=configs/sst2.py --workdir=runs/sst2
        From GLUE's own files: --config.data.train_file=train.tsv
        --config.data.validation_file=dev.tsv
Expect: accuracy; not yet measured.

The values below, the length and the dropouts are the ALBERT paper's (Table 14).
"""

from configs import albert_large


def get_config():
    config = albert_large.get_config()
    config.data.task = "glue/sst2"
    config.learning_rate = 1e-5
    config.batch_size = 32
    config.steps = 20935
    config.warmup_ratio = 1256 / config.steps
    return config
