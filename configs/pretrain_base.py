"""The shape of ALBERT-base from plain text, on one large GPU.

Run:    launch/pretrain_gpu.sh books.txt.xz,reviews.txt.xz
Expect: not yet measured. A billion tokens take 0.53 EFLOP: 22 minutes at half of an
        H200's 790 TFLOP/s.
"""

from configs import pretrain_default


def get_config():
    config = pretrain_default.get_config()
    config.model.num_hidden_layers = 12
    config.model.hidden_size = 768
    config.model.embedding_size = 128
    config.model.num_attention_heads = 12
    config.model.intermediate_size = 3072
    config.model.max_position_embeddings = 512
    config.dtype = "bfloat16"
    config.phases = ((12, 128, 1.0),)
    config.batch_tokens = 65536
    config.steps = 15000
    config.optimizer = "lamb"
    config.learning_rate = 2e-3
    config.eval_every = 1000
    config.eval_tokens = 1 << 20
    config.log_every = 50
    return config
