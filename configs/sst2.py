"""ALBERT-base on SST-2, from the pretrained checkpoint.

Run:    python -m elbert_jax.train --config=configs/sst2.py --workdir=runs/sst2
        From local files: --config.data.train_file=train.tsv
        --config.data.validation_file=dev.tsv --config.init=DIR
Expect: not yet measured.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.init = "albert/albert-base-v2"
    config.data.task = "glue/sst2"
    config.data.max_seq_length = 64
    config.batch_size = 32
    config.epochs = 3
    config.learning_rate = 1e-5
    config.warmup_ratio = 0.06
    return config
