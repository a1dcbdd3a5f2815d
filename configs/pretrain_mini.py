"""A small ALBERT from plain text, on two CPU cores.

Run:    python -m elbert_jax.pretrain --config=configs/pretrain_mini.py \
            --workdir=runs/pretrain_mini --config.data.files=books.txt.xz
"""

from configs import pretrain_default


def get_config():
    config = pretrain_default.get_config()
    config.model.num_hidden_layers = 12
    config.model.hidden_size = 256
    config.model.embedding_size = 128
    config.model.num_attention_heads = 4
    config.model.intermediate_size = 1024
    config.model.max_position_embeddings = 512
    config.model.initializer_range = 0.05
    config.phases = ((3, 64, 0.5), (6, 64, 0.3), (12, 64, 0.2))
    return config
