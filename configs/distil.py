"""Distils a BERT-family encoder into an ALBERT of one shared layer, on plain text.

Run:    python -m elbert_jax.distil --config=configs/distil.py --workdir=runs/distil \
            --config.teacher=DIR_OR_HUB_ID --config.data.files=books.txt.xz
        then train with --config.init=runs/distil/model
Expect: not yet measured.

After the warm-up the learning rate is constant, so a run can be ended at any time: stop
it after N steps, start it again with --config.steps=N / 0.9, and the last tenth is the
decay. --config.init=runs/distil/model continues from a finished student.
"""

from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> Any:  # a ConfigDict
    config: Any = ml_collections.ConfigDict()
    config.seed = 0
    # BERT or DistilBERT: a directory that transformers saved, or a hub id.
    config.teacher = ""
    config.teacher_name = ""  # for the model card; "": the hub id or directory's name
    # Its matmul input dtype; "": bfloat16 if this machine is fast at it and hidden
    # states stay within 1e-2, else float32.
    config.teacher_dtype = ""
    config.init = ""  # a student to continue from; "": closed form from the teacher
    # Fields of AlbertConfig; unset ones are the teacher's.
    config.model = ml_collections.ConfigDict()
    config.model.embedding_size = 240
    config.model.num_hidden_layers = placeholder(int)
    config.model.inner_group_num = 1  # different layers, applied in turn
    config.dtype = "float32"  # matmul input dtype of the student; or "bfloat16"
    config.export_dtype = "float16"  # of the model directory; or "float32"

    config.data = ml_collections.ConfigDict()
    # .txt .jsonl .csv .tsv, also .gz .xz, or .parquet; comma-separated.
    config.data.files = ""
    config.data.text_column = "text"  # of a .jsonl row
    config.data.tokenizer = ""  # directory or hub id; "": the teacher's
    config.data.held_out = 0.005  # share of the documents, for evaluation

    # Row lengths in tokens, and the share of the batches that each has.
    config.lengths = ((16, 0.2), (32, 0.4), (64, 0.25), (128, 0.15))
    config.hidden_weight = 1.0  # of the loss of hidden states
    config.vector_weight = 1.5  # of the loss of text vectors, from [CLS]
    config.steps = 100_000  # batches; a second start of a run may change it
    config.batch_tokens = 1024  # rows x length of a batch
    config.accumulate = 1  # batches per update
    config.optimizer = "adamw"
    config.learning_rate = 1e-3
    config.b2 = 0.98  # of Adam
    config.warmup_ratio = 0.0006
    config.decay_ratio = 0.1  # share of the steps, at the end, with a falling rate
    config.weight_decay = 0.01
    config.clip_norm = 1.0

    config.eval_every = 500  # batches
    config.eval_tokens = 16384  # held-out tokens per evaluation
    config.log_every = 20  # batches
    config.checkpoint_every = 250
    return config
