"""ALBERT-large from the pretrained checkpoint: the values that its tasks share.

ELBERT's paper fine-tunes ALBERT-large on GLUE with the hyperparameters of the ALBERT
paper (Lan et al., ICLR 2020, Table 14): learning rate, batch size, dropouts, steps,
warm-up steps and length. The files of the GLUE tasks hold that table. Neither paper
states weight decay, clipping or seeds: these are those of configs/default.py.

A batch of 128 on a smaller device: --config.batch_size=32 --config.accumulate=4, and
four times the --config.steps.
"""

from configs import default


def get_config():
    config = default.get_config()
    config.init = "albert/albert-large-v2"
    config.model.hidden_dropout_prob = 0.0
    config.model.attention_probs_dropout_prob = 0.0
    config.model.classifier_dropout_prob = 0.1
    config.data.max_seq_length = 512
    return config
