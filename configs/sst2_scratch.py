"""A small shared-layer model on SST-2, from scratch: nothing is pretrained.

Run:    python -m elbert_jax.train --config=configs/sst2_scratch.py \
            --workdir=runs/sst2_scratch
Expect: dev accuracy 0.811 at full depth, and the same with early exit at delta 0.3 and
        0.49 of the FLOPs; half an hour to an hour on 2 CPU cores.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.train_file = "../shared/data/glue/SST-2/train.tsv"
    config.data.validation_file = "../shared/data/glue/SST-2/dev.tsv"
    config.data.labels = ("negative", "positive")
    config.data.tokenizer = "../shared/data/albert-tokenizer"
    config.data.max_seq_length = 64
    config.model.num_hidden_layers = 12
    config.model.hidden_size = 256
    config.model.embedding_size = 128
    config.model.num_attention_heads = 4
    config.model.intermediate_size = 1024
    config.model.max_position_embeddings = 128
    config.batch_size = 64
    config.epochs = 2
    config.learning_rate = 5e-4
    config.exit.delta = 0.3
    config.checkpoint_every = 250
    return config
