"""A small ALBERT from plain text, on two CPU cores.

Run:    python -m elbert_jax.pretrain --config=configs/pretrain_mini.py \
            --workdir=runs/pretrain_mini --config.data.files=books.txt.xz
Expect: not yet measured. models/albert-mini-en has this shape and these phases, but
        commit d7ea7e1 trained it, from word vectors and with a bag-of-words loss that
        were removed since.
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
    # Early steps are cheaper at a small depth.
    config.phases = ((1, 64, 0.45), (3, 64, 0.25), (6, 64, 0.15), (12, 64, 0.15))
    config.steps = 4000
    config.batch_tokens = 2048
    config.warmup_ratio = 0.02
    config.eval_every = 1000
    return config
