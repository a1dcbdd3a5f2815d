"""Converts an ALBERT checkpoint from Hugging Face to a text classifier's directory.

    python -m elbert_jax.convert --from=albert/albert-base-v2 --to=models/base

The result opens here and with Hugging Face's AutoModelForSequenceClassification. With
--head=pretraining it keeps the masked language model and sentence order heads in place
of the classifier, and opens with AlbertForPreTraining and AlbertForMaskedLM.
"""

import shutil
from pathlib import Path

from absl import flags

from elbert_jax import filesystem
from elbert_jax.cli import app
from elbert_jax.errors import UserError
from elbert_jax.hub import download, pretrained, weight_table

_MODELS = {
    "classifier": weight_table.CLASSIFIER,
    "pretraining": weight_table.PRETRAINING,
}

_FROM = flags.DEFINE_string("from", None, "A directory, or a model's id on the hub.")
_TO = flags.DEFINE_string("to", None, "The directory to write; new or empty.")
_HEAD = flags.DEFINE_enum("head", "classifier", [*_MODELS], "The heads to keep.")
_REVISION = flags.DEFINE_string("revision", None, "The hub's branch, tag or commit.")
_LOCAL = flags.DEFINE_bool("local_files_only", False, "Look in the local cache only.")
_PICKLE = flags.DEFINE_bool(
    "allow_pickle", False, "Read pytorch_model.bin. A pickle can run code."
)


def main(argv):
    del argv
    if not _FROM.value or not _TO.value:
        raise UserError("--from and --to are both needed")
    to = Path(_TO.value).expanduser().resolve()
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise UserError(f"--to={_TO.value} exists already and is no empty directory")
    head = _MODELS[_HEAD.value]
    model = pretrained.load(
        _FROM.value,
        revision=_REVISION.value,
        local_files_only=_LOCAL.value,
        allow_pickle=_PICKLE.value,
        model=head,
    )
    tokenizer = [model.directory / name for name in download.TOKENIZER]
    tokenizer = [path for path in tokenizer if path.is_file()]
    with filesystem.creating_directory(to) as folder:
        pretrained.save(
            folder,
            model.config,
            model.params,
            model.labels,
            model=head,
            training=model.training,
        )
        for path in tokenizer:
            shutil.copyfile(path, folder / path.name)

    for title, names in (
        ("mapped", model.mapped),
        ("initialised", model.initialised),
        ("ignored", model.ignored),
        ("tokenizer", [path.name for path in tokenizer]),
        ("labels", model.labels),
    ):
        print(f"{title} {len(names)}", *names, sep="\n  ")


if __name__ == "__main__":
    app.run(main)
