"""ALBERT-large on MRPC: whether two sentences say the same.

Run:    python -m elbert_jax.train --config=configs/mrpc.py --workdir=runs/mrpc
        From GLUE's own files: --config.data.train_file=train.tsv
        --config.data.validation_file=dev.tsv --config.data.label_column=Quality
        --config.data.text_column='#1 String' --config.data.text_pair_column='#2 String'
Expect: F1, which selects the best step, and accuracy; not yet measured.

The values below, the length and the dropouts are the ALBERT paper's (Table 14).
"""

from configs import albert_large


def get_config():
    config = albert_large.get_config()
    config.data.task = "glue/mrpc"
    config.learning_rate = 2e-5
    config.batch_size = 32
    config.steps = 800
    config.warmup_ratio = 200 / config.steps
    return config
