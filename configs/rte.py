"""ALBERT-large on RTE: whether one text entails another.

Run:    python -m elbert_jax.train --config=configs/rte.py --workdir=runs/rte
        From GLUE's own files: --config.data.train_file=train.tsv
        --config.data.validation_file=dev.tsv
Expect: accuracy; not yet measured.

The values below, the length and the dropouts are the ALBERT paper's (Table 14).
"""

from configs import albert_large


def get_config():
    config = albert_large.get_config()
    config.data.task = "glue/rte"
    config.model.hidden_dropout_prob = 0.1
    config.model.attention_probs_dropout_prob = 0.1
    config.learning_rate = 3e-5
    config.batch_size = 32
    config.steps = 800
    config.warmup_ratio = 200 / config.steps
    return config
