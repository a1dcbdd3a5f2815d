"""Goes on pretraining any ALBERT on your own text, before fine-tuning it.

Run:    python -m elbert_jax.pretrain --config=configs/adapt.py --workdir=runs/adapt \
            --config.init=DIR_OR_HUB_ID --config.data.files=filings.jsonl.gz
        then train with --config.init=runs/adapt/model
Expect: models/albert-mini-en, on 1.1 million tokens of film reviews (0.53 hours on one
        core): held-out perplexity after layer 12 from 359 to 182, and on SST-2 0.782
        where it has 0.778 (medians of three seeds). With --config.steps=600
        --config.phases='((12,64,1.0),)' --config.batch_tokens=2048
        --config.learning_rate=5e-4 --config.bag_of_words=1.0. Keep to the full depth:
        1,050 steps at depth 3 and 450 at depth 12 (8e-4) left layer 12 at 529.
"""

from configs import pretrain_default


def get_config():
    config = pretrain_default.get_config()
    config.init = "albert/albert-base-v2"
    config.export_dtype = "float32"
    config.learning_rate = 1e-4
    config.steps = 3000
    return config
