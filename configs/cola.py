"""ALBERT-large on CoLA: whether a sentence is acceptable English.

Run:    python -m elbert_jax.train --config=configs/cola.py --workdir=runs/cola
        From GLUE's own files: --config.data.train_file=train.tsv
        --config.data.validation_file=dev.tsv
        --config.data.columns=source,label,mark,text
Expect: Matthews' correlation, which selects the best step; not yet measured.

The values below, the length and the dropouts are the ALBERT paper's (Table 14).
"""

from configs import albert_large


def get_config():
    config = albert_large.get_config()
    config.data.task = "glue/cola"
    config.learning_rate = 1e-5
    config.batch_size = 16
    config.steps = 5336
    config.warmup_ratio = 320 / config.steps
    return config
