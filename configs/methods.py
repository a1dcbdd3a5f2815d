"""A model for comparing methods: small, minutes on two CPU cores.

Run:    launch/methods.sh
        or one of them: python -m elbert_jax.train --config=configs/methods.py \
            --workdir=runs/pabee --config.method=pabee \
            --config.data.train_file=train.tsv --config.data.validation_file=dev.tsv \
            --config.data.tokenizer=DIR
Expect: accuracy at full depth, by method (medians of three seeds): with
        --config.init=models/albert-mini-en (11 to 15 minutes on one core) 0.823 to
        0.841 on 5,000 texts of AG News, 0.775 to 0.781 on 12,000 of SST-2; from scratch
        (four minutes) 0.740 to 0.771 on SST-2, and on AG News, at 2e-4 and four epochs,
        0.480 to 0.811.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.model.num_hidden_layers = 12
    config.model.hidden_size = 128
    config.model.embedding_size = 128
    config.model.num_attention_heads = 4
    config.model.intermediate_size = 512
    config.model.max_position_embeddings = 128
    # Small, so that a layer starts near the identity: from scratch, a loss at the last
    # of twelve layers alone learns nothing with 0.08, and learns up to 2e-4 with 0.02.
    config.model.initializer_range = 0.02
    config.data.max_seq_length = 64
    config.batch_size = 64
    config.epochs = 2
    config.learning_rate = 5e-4
    config.head_epochs = 2
    config.head_learning_rate = 1e-3
    return config
