"""The small pretrained encoder that comes with the project, on your own texts.

Run:    python -m elbert_jax.train --config=configs/mini.py --workdir=runs/mine \
            --config.data.train_file=train.tsv --config.data.validation_file=dev.tsv
Expect: on 12,000 texts of SST-2 and two epochs, dev accuracy 0.76, which is what a
        model from scratch has there; more texts are not yet measured.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.init = "models/albert-mini-en"
    config.batch_size = 64
    config.learning_rate = 3e-4
    return config
