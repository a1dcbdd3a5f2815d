"""Values that the experiments share; each file beside this one changes a few.

Run:    your own data, as it stands: python -m elbert_jax.train \
            --config=configs/default.py --workdir=runs/mine \
            --config.init=DIR_OR_HUB_ID --config.data.train_file=train.tsv \
            --config.data.validation_file=dev.tsv
Expect: it depends on your data.
"""

from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> Any:  # a ConfigDict
    config: Any = ml_collections.ConfigDict()
    config.seed = 0
    # A Hugging Face directory or hub id to start from; "": random, shaped as `model`.
    config.init = ""
    # Of AlbertConfig. Where there is an init, they change its depth and dropouts only.
    config.model = ml_collections.ConfigDict()
    config.model.num_hidden_layers = placeholder(int)
    config.dtype = "float32"  # of the computation; or "bfloat16"

    config.data = ml_collections.ConfigDict()
    # A name of data/tasks.py: its labels and metric; its texts too, through TFDS.
    config.data.task = ""
    config.data.data_dir = ""  # where TFDS keeps prepared sets; "": its own place
    config.data.train_file = ""  # .tsv .csv .jsonl .parquet, in place of TFDS
    config.data.validation_file = ""  # or several, with commas between them
    config.data.text_column = ""  # "": the first usual name that is there
    config.data.text_pair_column = ""
    config.data.label_column = ""
    # More texts, .txt too, for methods whose heads learn from the last layer.
    config.data.unlabelled_file = ""
    # Names for a table without a header line, with commas between them.
    config.data.columns = ""
    config.data.validation_columns = ""  # where they are others there
    config.data.labels = ()  # class names by index; (): the task's, or the data's
    config.data.tokenizer = ""  # directory or hub id; "": that of `init`, or trained
    config.data.vocab_size = 8000  # of a tokenizer trained on the training texts
    config.data.max_seq_length = 128
    config.data.truncation = "head"  # kept of longer texts; or "tail", "head+tail"
    config.data.drop_held_out = False  # training texts that are held out too
    config.data.max_train_samples = 0  # the first; 0: all

    # elbert, plain, pabee and sustainable_count train all layers at once; deebert,
    # fastbert and sustainable_kl the last one, then heads on the frozen rest.
    # elbert_jax/training/methods.py says what each is.
    config.method = "elbert"
    config.weighting = ""  # of exits trained at once: elbert equal depth; "": its own
    config.t_learning_rate = 1e-2  # of ELBERT's t_i
    config.batch_size = 32
    config.eval_batch_size = 64
    config.accumulate = 1  # batches to one update
    config.epochs = 3  # 0, whatever `steps` is: `init` is fine-tuned, and gets exits
    config.steps = 0  # batches, in place of epochs; 0: as many as those make
    config.optimizer = "adamw"  # or "lamb"
    config.learning_rate = 3e-5
    config.head_epochs = 5  # of heads on a frozen backbone, after the others
    config.head_learning_rate = 2e-4  # theirs begin at random
    config.warmup_ratio = 0.1  # of each stage
    config.weight_decay = 0.01
    config.clip_norm = 1.0

    config.metric = ""  # chooses the best epoch; "": the task's, or accuracy
    # What the model directory recommends: confidence_window elbert2021 entropy patience
    # count fixed_depth, or "": what goes with the method. A field that is not set is
    # the exit's own, and one that it has not is passed over.
    config.exit = ml_collections.ConfigDict()
    config.exit.name = ""
    config.exit.delta = placeholder(float)  # confidence_window, elbert2021
    config.exit.window = placeholder(int)  # likewise
    config.exit.criterion = placeholder(str)  # likewise; monotone range label none
    config.exit.threshold = placeholder(float)  # entropy
    config.exit.normalised = placeholder(bool)  # entropy
    config.exit.patience = placeholder(int)
    config.exit.count = placeholder(int)
    config.exit.depth = placeholder(int)  # fixed_depth

    config.log_every = 20  # batches
    config.checkpoint_every = 500  # batches, and at the end of every epoch
    return config
