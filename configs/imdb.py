"""ALBERT-large on IMDB: the sentiment of a whole film review.

Run:    python -m elbert_jax.train --config=configs/imdb.py --workdir=runs/imdb
        From local files: --config.data.train_file=train.jsonl.gz
        --config.data.validation_file=test.jsonl.gz
        Other parts of long reviews: --config.data.truncation=head, or tail
Expect: accuracy; not yet measured.

Learning rate and batch size are the ELBERT paper's, which gives no others. The test set
selects the best epoch: there is no validation set.
"""

from configs import albert_large


def get_config():
    config = albert_large.get_config()
    config.data.task = "imdb_reviews"
    config.data.truncation = "head+tail"  # the best of the three in Sun et al., 2019
    config.learning_rate = 3e-5
    config.batch_size = 32
    config.epochs = 3
    config.warmup_ratio = 0.1
    return config
