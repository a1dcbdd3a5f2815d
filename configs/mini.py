"""The small pretrained encoder that comes with the project, on your own texts.

Run:    python -m elbert_jax.train --config=configs/mini.py --workdir=runs/mine \
            --config.data.train_file=train.tsv --config.data.validation_file=dev.tsv
Expect: dev accuracy 0.778 on 12,000 texts of SST-2, and 0.771 on 3,873 sentences of
        Financial PhraseBank in batches of 16 (medians of three seeds, measured with
        METHODS=elbert launch/methods.sh, which truncates texts to 64 tokens); a model
        of this shape from scratch has 0.761 and 0.649.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.init = "models/albert-mini-en"
    config.batch_size = 64
    config.epochs = 2
    config.learning_rate = 5e-4
    return config
