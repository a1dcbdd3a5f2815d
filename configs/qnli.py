"""ALBERT-large on QNLI: whether a sentence holds the answer to a question.

Run:    python -m elbert_jax.train --config=configs/qnli.py --workdir=runs/qnli
        From GLUE's own files: --config.data.train_file=train.tsv
        --config.data.validation_file=dev.tsv
Expect: accuracy; not yet measured.

The values below, the length and the dropouts are the ALBERT paper's (Table 14).
"""

from configs import albert_large


def get_config():
    config = albert_large.get_config()
    config.data.task = "glue/qnli"
    config.learning_rate = 1e-5
    config.batch_size = 32
    config.steps = 33112
    config.warmup_ratio = 1986 / config.steps
    return config
