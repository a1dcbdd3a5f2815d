"""Values that the experiments share; each file beside this one changes a few.

Run:    on your own data: python -m elbert_jax.train \
            --config=configs/default.py --workdir=runs/mine \
            --config.init=DIR_OR_HUB_ID --config.data.train_file=train.tsv \
            --config.data.validation_file=dev.tsv
Expect: depends on your data.
"""

from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> Any:  # a ConfigDict
    config: Any = ml_collections.ConfigDict()
    config.seed = 0
    # A Hugging Face directory or hub id to start from; "": random weights.
    config.init = ""
    # Fields of AlbertConfig; of an `init`, they change depth and dropout rates only.
    config.model = ml_collections.ConfigDict()
    config.model.num_hidden_layers = placeholder(int)
    config.dtype = "float32"  # of the computation; or "bfloat16"

    config.data = ml_collections.ConfigDict()
    # A task of data/tasks.py: sets labels and metric, and reads its texts through TFDS.
    config.data.task = ""
    config.data.data_dir = ""  # of prepared TFDS data sets; "": the default of TFDS
    config.data.train_file = ""  # .tsv .csv .jsonl .parquet, in place of TFDS
    config.data.validation_file = ""  # one or more, comma-separated
    config.data.text_column = ""  # "": the first usual name that exists
    config.data.text_pair_column = ""
    config.data.label_column = ""
    # More texts, .txt too, for methods that distil the last layer into exit heads.
    config.data.unlabelled_file = ""
    # Column names of a table without a header line, comma-separated.
    config.data.columns = ""
    config.data.validation_columns = ""  # "": the same
    config.data.labels = ()  # class names by index; (): the task's, or the data's
    config.data.tokenizer = ""  # directory or hub id; "": that of `init`, or trained
    config.data.vocab_size = 8000  # of a tokenizer trained on the training texts
    config.data.max_seq_length = 128
    config.data.truncation = "head"  # part of longer texts kept; "tail", "head+tail"
    config.data.drop_held_out = False  # drop training texts that are held out too
    config.data.max_train_samples = 0  # use the first so many; 0: all

    # elbert, pabee and sustainable_count train all exits jointly; plain only the last
    # layer; deebert, fastbert and sustainable_kl the last layer, then exit heads on a
    # frozen backbone. See elbert_jax/training/methods.py.
    config.method = "elbert"
    config.weighting = ""  # of jointly trained exits: elbert equal depth; "": default
    config.t_learning_rate = 1e-2  # of ELBERT's t_i
    config.batch_size = 32
    config.eval_batch_size = 64
    config.accumulate = 1  # batches per update
    config.epochs = 3  # 0: only train exit heads of the fine-tuned model `init`
    config.steps = 0  # number of batches, in place of epochs; 0: all epochs
    config.optimizer = "adamw"  # or "lamb"
    config.learning_rate = 3e-5
    config.head_epochs = 5  # of exit heads on a frozen backbone
    config.head_learning_rate = 2e-4  # higher, as they start from random weights
    config.warmup_ratio = 0.1  # of each stage
    config.weight_decay = 0.01
    config.clip_norm = 1.0

    config.metric = ""  # selects the best epoch; "": the task's, or accuracy
    # The exit criterion stored in the model directory: confidence_window elbert2021
    # entropy patience count fixed_depth, or "": that of the method. Fields that are not
    # set have their defaults; fields of other criteria are ignored.
    config.exit = ml_collections.ConfigDict()
    config.exit.name = ""
    config.exit.delta = placeholder(float)  # confidence_window, elbert2021
    config.exit.window = placeholder(int)  # the same
    config.exit.criterion = placeholder(str)  # the same; monotone range label none
    config.exit.threshold = placeholder(float)  # entropy
    config.exit.normalised = placeholder(bool)  # entropy
    config.exit.patience = placeholder(int)
    config.exit.count = placeholder(int)
    config.exit.depth = placeholder(int)  # fixed_depth

    config.log_every = 20  # batches
    config.checkpoint_every = 500  # batches; also at the end of every epoch
    return config
