"""Values that the experiments share; each file beside this one changes a few."""

from typing import Any

import ml_collections


def get_config() -> Any:  # a ConfigDict
    config: Any = ml_collections.ConfigDict()
    config.seed = 0
    # A Hugging Face directory or hub id to start from; "": random, shaped as `model`.
    config.init = ""
    config.model = ml_collections.ConfigDict()  # of AlbertConfig; read if init is ""
    config.dtype = "float32"  # of the computation; or "bfloat16"

    config.data = ml_collections.ConfigDict()
    config.data.task = ""  # a name of data/tasks.py, read through TFDS
    config.data.data_dir = ""  # where TFDS keeps prepared sets; "": its own place
    config.data.train_file = ""  # .tsv .csv .jsonl .parquet; these win over the task
    config.data.validation_file = ""
    config.data.text_column = ""  # "": the first usual name that is there
    config.data.text_pair_column = ""
    config.data.label_column = ""
    config.data.columns = ()  # names for a table that has no header line
    config.data.labels = ()  # class names by index; (): the task's, or the data's
    config.data.tokenizer = ""  # directory or hub id; "": that of `init`, or trained
    config.data.vocab_size = 8000  # of a tokenizer trained on the training texts
    config.data.max_seq_length = 128
    config.data.max_train_samples = 0  # 0: all

    config.weighting = "elbert"  # of the layers' losses; or "equal", "depth"
    config.t_learning_rate = 1e-2  # of ELBERT's t_i
    config.batch_size = 32
    config.eval_batch_size = 64
    config.accumulate = 1  # batches to one update
    config.epochs = 3
    config.optimizer = "adamw"  # or "lamb"
    config.learning_rate = 3e-5
    config.warmup_ratio = 0.1
    config.weight_decay = 0.01
    config.clip_norm = 1.0

    config.metric = ""  # chooses the best epoch; "": the task's, or accuracy
    config.exit = ml_collections.ConfigDict()  # what the model directory recommends
    config.exit.name = "confidence_window"
    config.exit.delta = 0.1
    config.exit.window = 8
    config.exit.criterion = "monotone"

    config.log_every = 20  # batches
    config.checkpoint_every = 500  # batches, and at the end of every epoch
    return config
