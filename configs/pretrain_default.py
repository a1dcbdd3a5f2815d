"""Values that pretraining runs share; each file beside this one changes a few."""

from typing import Any

import ml_collections


def get_config() -> Any:  # a ConfigDict
    config: Any = ml_collections.ConfigDict()
    config.seed = 0
    # A Hugging Face directory or hub id to go on from; "": random, shaped as `model`.
    config.init = ""
    config.model = ml_collections.ConfigDict()  # of AlbertConfig; read if init is ""
    # Begin as models are once they are trained, with word vectors of the text and with
    # attention that reads "neighbours", or the "mean" alone; "": not; likewise.
    config.mimetic = "neighbours"
    config.dtype = "float32"  # of the computation; or "bfloat16"
    config.export_dtype = "float16"  # of the model directory; or "float32"

    config.data = ml_collections.ConfigDict()
    # .txt .jsonl .csv .tsv, also .gz .xz, or .parquet; with commas between them.
    config.data.files = ""
    config.data.text_column = "text"  # of a .jsonl row
    config.data.tokenizer = ""  # directory or hub id; "": that of `init`, or trained
    config.data.vocab_size = 12000  # of a tokenizer trained on the text
    config.data.held_out = 0.02  # share of the documents, to measure on
    config.data.mask_rate = 0.15  # of the pieces
    config.data.max_ngram = 3  # words hidden together

    # The same weights at (depth, row length) for a share of the steps each; depth 0
    # is the model's own.
    config.phases = ((0, 128, 1.0),)
    config.mlm_every = 0  # heads read every so many layers; 0: the last alone
    # Weight of a loss at every layer: [CLS] foretells its text's pieces, in no order.
    config.bag_of_words = 0.0
    config.freeze_words = False  # the word vectors stay as they begin
    config.remat = False  # less memory, a third more time
    config.steps = 10000  # 0: the model as it begins, see word_vectors.py
    config.batch_tokens = 4096  # a batch has as many rows as these make
    config.accumulate = 1  # batches to one update
    config.optimizer = "adamw"  # or "lamb", for large batches
    config.learning_rate = 1e-3
    config.warmup_ratio = 0.05
    config.weight_decay = 0.01
    config.clip_norm = 1.0

    config.eval_every = 500  # batches
    config.eval_tokens = 65536  # held out, measured each time
    config.log_every = 20  # batches
    config.checkpoint_every = 500
    return config
