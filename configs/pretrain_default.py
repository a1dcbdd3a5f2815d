"""Values that pretraining runs share; each file beside this one changes a few."""

from typing import Any

import ml_collections


def get_config() -> Any:  # a ConfigDict
    config: Any = ml_collections.ConfigDict()
    config.seed = 0
    # A Hugging Face directory or hub id to start from; "": random weights.
    config.init = ""
    config.model = ml_collections.ConfigDict()  # fields of AlbertConfig, if init is ""
    config.dtype = "float32"  # of the computation; or "bfloat16"
    config.export_dtype = "float16"  # of the model directory; or "float32"

    config.data = ml_collections.ConfigDict()
    # .txt .jsonl .csv .tsv, also .gz .xz, or .parquet; comma-separated.
    config.data.files = ""
    config.data.text_column = "text"  # of a .jsonl row
    config.data.tokenizer = ""  # directory or hub id; "": that of `init`, or trained
    config.data.vocab_size = 12000  # of a tokenizer trained on the text
    config.data.held_out = 0.02  # share of the documents held out for evaluation
    config.data.mask_rate = 0.15  # share of a row's tokens that is masked
    config.data.max_ngram = 3  # longest span of whole words masked together

    # (depth, row length, share of the steps); depth 0 is that of the model.
    config.phases = ((0, 128, 1.0),)
    config.remat = False  # rematerialisation: less memory, a third more time
    config.steps = 10000
    config.batch_tokens = 4096  # tokens of a batch, padding included
    config.accumulate = 1  # batches per update
    config.optimizer = "adamw"  # or "lamb", for large batches
    config.learning_rate = 1e-3
    config.warmup_ratio = 0.05
    config.weight_decay = 0.01
    config.clip_norm = 1.0

    config.eval_every = 500  # batches
    config.eval_tokens = 65536  # held-out tokens of each evaluation
    config.log_every = 20  # batches
    config.checkpoint_every = 500
    return config
