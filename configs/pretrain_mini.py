"""A small ALBERT from plain text, on two CPU cores.

Run:    python -m elbert_jax.pretrain --config=configs/pretrain_mini.py \
            --workdir=runs/pretrain_mini --config.data.files=books.txt.xz
Expect: 25 minutes on both. Held-out perplexity 227 after layer 3 and 364 after layer
        12, order at chance (seed 0). Fine-tuned it is no better on SST-2 than the start
        without training (0.776 and 0.795; 0.787). models/albert-mini-en is from a run
        of 19,500 steps without config.mimetic, bag of words and frozen words: 118 after
        layer 12.
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
    config.phases = ((1, 64, 0.6), (3, 64, 0.25), (6, 64, 0.1), (12, 64, 0.05))
    config.bag_of_words = 1.0
    config.freeze_words = True
    config.steps = 4000
    config.batch_tokens = 2048
    config.warmup_ratio = 0.02
    config.eval_every = 1000
    return config
