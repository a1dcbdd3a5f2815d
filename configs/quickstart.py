"""A small ALBERT with early exit on embedded headlines: no network, no file, no GPU.

Run:    make quickstart
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.task = "synthetic"
    config.data.vocab_size = 800
    config.data.max_seq_length = 48
    config.model.num_hidden_layers = 12
    config.model.hidden_size = 96
    config.model.embedding_size = 64
    config.model.num_attention_heads = 4
    config.model.intermediate_size = 384
    config.model.max_position_embeddings = 64
    config.batch_size = 32
    config.epochs = 4
    config.learning_rate = 1e-3
    config.exit.delta = 0.2
    return config
