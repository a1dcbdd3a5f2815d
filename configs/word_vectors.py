"""A start for fine-tuning on few texts: word vectors of plain text, no training.

Run:    python -m elbert_jax.pretrain --config=configs/word_vectors.py \
            --workdir=runs/word_vectors --config.data.files=books.txt.xz
        then --config.init=runs/word_vectors/model of a fine-tuning run
Expect: three minutes for 140 MB of books on two CPU cores. ELBERT fine-tuned from it
        has 0.833 at full depth on 5,000 texts of AG News (median of three seeds), and
        0.787 on 12,000 of SST-2 (likewise).
"""

from configs import methods, pretrain_default


def get_config():
    config = pretrain_default.get_config()
    config.model = methods.get_config().model
    config.phases = ((0, 64, 1.0),)
    config.mimetic = "mean"  # few texts do not teach it to make use of neighbours
    config.steps = 0
    return config
