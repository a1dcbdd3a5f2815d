"""ALBERT-large on MNLI: entailment, neutral or contradiction.

Run:    python -m elbert_jax.train --config=configs/mnli.py --workdir=runs/mnli
        From GLUE's own files: --config.data.train_file=train.tsv
        --config.data.validation_file=dev_matched.tsv,dev_mismatched.tsv
        --config.data.label_column=gold_label
Expect: accuracy on the matched and the mismatched half, and on both; not yet measured.

The values below, the length and the dropouts are the ALBERT paper's (Table 14).
"""

from configs import albert_large


def get_config():
    config = albert_large.get_config()
    config.data.task = "glue/mnli"
    config.learning_rate = 3e-5
    config.batch_size = 128
    config.steps = 10000
    config.warmup_ratio = 1000 / config.steps
    return config
