"""ALBERT-large on QQP: whether two questions ask the same.

Run:    python -m elbert_jax.train --config=configs/qqp.py --workdir=runs/qqp
        From GLUE's own files: --config.data.train_file=train.tsv
        --config.data.validation_file=dev.tsv
        --config.data.label_column=is_duplicate
Expect: F1, which selects the best step, and accuracy; not yet measured.

The values below, the length and the dropouts are the ALBERT paper's (Table 14).
"""

from configs import albert_large


def get_config():
    config = albert_large.get_config()
    config.data.task = "glue/qqp"
    config.model.hidden_dropout_prob = 0.1
    config.model.attention_probs_dropout_prob = 0.1
    config.learning_rate = 5e-5
    config.batch_size = 128
    config.steps = 14000
    config.warmup_ratio = 1000 / config.steps
    return config
