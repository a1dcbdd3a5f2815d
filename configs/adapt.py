"""Continues pretraining any ALBERT on your own text, before fine-tuning it.

Run:    python -m elbert_jax.pretrain --config=configs/adapt.py --workdir=runs/adapt \
            --config.init=DIR_OR_HUB_ID --config.data.files=filings.jsonl.gz
        then train with --config.init=runs/adapt/model
Expect: a lower held-out perplexity on your text; not yet measured with this objective.
"""

from configs import pretrain_default


def get_config():
    config = pretrain_default.get_config()
    config.init = "albert/albert-base-v2"
    config.export_dtype = "float32"
    config.learning_rate = 1e-4
    config.steps = 3000
    return config
