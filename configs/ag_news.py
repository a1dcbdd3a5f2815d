"""ALBERT-large on AG News: the topic of a news item, of four.

Run:    python -m elbert_jax.train --config=configs/ag_news.py --workdir=runs/ag_news
        From the set's own files: --config.data.train_file=train.csv
        --config.data.validation_file=test.csv
        --config.data.columns=label,title,text
        From a table of text and class name: --config.data.train_file=train_10k.tsv
        --config.data.columns=text,label --config.data.validation_file=test.csv
        --config.data.validation_columns=label,title,text
Expect: accuracy; not yet measured.

Learning rate and batch size are the ELBERT paper's, which gives no others.
"""

from configs import albert_large


def get_config():
    config = albert_large.get_config()
    config.data.task = "ag_news_subset"
    config.data.drop_held_out = True  # a few items are in both files
    config.learning_rate = 3e-5
    config.batch_size = 32
    config.epochs = 3
    config.warmup_ratio = 0.1
    return config
