"""A small ALBERT from plain text, on two CPU cores.

Run:    python -m elbert_jax.pretrain --config=configs/pretrain_mini.py \
            --workdir=runs/pretrain_mini --config.data.files=books.txt.xz
Expect: an hour and a half on both. After layer 12, 0.261 of the held-out masked pieces
        right, perplexity 110, order 0.755 (seed 0). models/albert-mini-en is from a run
        before config.mimetic, of 19,500 steps, with weights drawn at 0.05: 0.267,
        perplexity 118, order 0.764.
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
    config.model.initializer_range = 0.02
    config.phases = (
        (1, 64, 0.486),
        (3, 64, 0.283),
        (6, 64, 0.154),
        (12, 64, 0.077),
    )
    config.steps = 10000
    config.batch_tokens = 2048
    config.warmup_ratio = 0.02
    config.eval_every = 1000
    return config
