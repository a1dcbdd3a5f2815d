"""A small ALBERT with early exit on embedded headlines: no network, no file, no GPU.

Run:    make quickstart
Expect: test accuracy 0.994 at full depth and with early exit, which takes 0.19 of the
        FLOPs; 2 to 3 minutes on 2 CPU cores.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.task = "synthetic"
    config.data.vocab_size = 500
    config.data.max_seq_length = 48
    config.model.num_hidden_layers = 12
    config.model.hidden_size = 64
    config.model.embedding_size = 64
    config.model.num_attention_heads = 2
    config.model.intermediate_size = 128
    config.model.max_position_embeddings = 64
    # Near 1 / sqrt(64): with ALBERT's 0.02 so narrow a model is slow to learn anything.
    config.model.initializer_range = 0.1
    config.batch_size = 32
    config.epochs = 4
    config.learning_rate = 1e-3
    config.exit.delta = 0.01
    return config
