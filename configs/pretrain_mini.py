"""A small ALBERT from plain text, on two CPU cores.

Run:    python -m elbert_jax.pretrain --config=configs/pretrain_mini.py \
            --workdir=runs/pretrain_mini --config.data.files=books.txt.xz
Expect: 1.1 hours on one core. Held-out perplexity 225 after layer 3 and 199 after layer
        12, order at chance (seed 0). models/albert-mini-en is this run, with the
        tokenizer that an earlier one trained on the same books
        (--config.data.tokenizer=models/albert-mini-en).
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
    config.phases = ((1, 64, 0.45), (3, 64, 0.25), (6, 64, 0.15), (12, 64, 0.15))
    config.bag_of_words = 1.0
    config.freeze_words = True
    config.steps = 4000
    config.batch_tokens = 2048
    config.warmup_ratio = 0.02
    config.eval_every = 1000
    return config
