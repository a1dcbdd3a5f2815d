#!/usr/bin/env bash
# Every method on SST-2 and AG News, and ELBERT on RTE and IMDB, three seeds, then the sweep
# of their exits: launch/methods.sh [DATA] [RUNS]. What is finished is not done again, and
# SETS and SEEDS name a part of it: SETS=sst2 SEEDS="0 1" launch/methods.sh. All begin from
# word vectors of the books, or in the model directory INIT; INIT= is from scratch.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-../shared/data} runs=${2:-runs/methods}
python=${PYTHON:-python}
mkdir -p "$runs"

if [ -z "${INIT+set}" ]; then
  INIT=$runs/word_vectors/model
  "$python" -m elbert_jax.pretrain --config=configs/word_vectors.py \
    --workdir="$runs/word_vectors" \
    --config.data.files="$data/pretraining/books.txt.xz" \
    --config.data.tokenizer=models/albert-mini-en
fi

every() { [ -e "$2" ] || awk "NR % $1 == 1" >"$2"; } # N FILE: one line of N, unless there

# Parts of the test texts, as every epoch is measured on all of them: 1,900 and 1,563. And
# IMDB's training texts are in the order of their labels.
every 4 "$runs/ag_test.csv" <"$data/ag_news/test.csv"
every 16 "$runs/imdb_test.jsonl" < <(gzip -dc "$data/imdb/test.jsonl.gz")
every 5 "$runs/imdb_train.jsonl" < <(gzip -dc "$data/imdb/train.jsonl.gz")

train() { # SET NAME SEED [FLAG...]
  local set=$1 name=$2 seed=$3
  shift 3
  case $set in
  sst2) set -- --config.data.train_file="$data/glue/SST-2/train.tsv" \
    --config.data.validation_file="$data/glue/SST-2/dev.tsv" \
    --config.data.labels='("negative","positive")' \
    --config.data.max_train_samples=12000 "$@" ;;
  ag_news) set -- --config.data.task=ag_news_subset \
    --config.data.train_file="$data/ag_news/train_10k.tsv" \
    --config.data.columns=text,label --config.data.drop_held_out=True \
    --config.data.validation_file="$runs/ag_test.csv" \
    --config.data.validation_columns=label,title,text \
    --config.data.max_train_samples=5000 --config.batch_size=16 "$@" ;;
  rte) set -- --config.data.task=glue/rte \
    --config.data.train_file="$data/glue/RTE/train.tsv" \
    --config.data.validation_file="$data/glue/RTE/dev.tsv" \
    --config.data.max_seq_length=128 --config.batch_size=16 "$@" ;;
  imdb) set -- --config.data.task=imdb_reviews \
    --config.data.train_file="$runs/imdb_train.jsonl" \
    --config.data.validation_file="$runs/imdb_test.jsonl" \
    --config.data.truncation=head+tail --config.data.max_seq_length=128 \
    --config.batch_size=16 "$@" ;;
  esac
  "$python" -m elbert_jax.train --config=configs/methods.py --config.seed="$seed" \
    --config.data.tokenizer="${INIT:-models/albert-mini-en}" \
    ${INIT:+--config.init="$INIT"} \
    --workdir="$runs/$set/$name-$seed" "$@"
}

# Twelve layers above the embeddings the loss of plain may stay at chance at the rate of all
# others: from scratch always, on SST-2 one time in three.
plain_rate() { # SET DEPTH
  case $INIT,$1,$2 in
  ,* | *,sst2,12) echo 2e-4 ;;
  *) echo 5e-4 ;;
  esac
}

sets=${SETS:-sst2 ag_news rte imdb}
for set in $sets; do
  for seed in ${SEEDS:-0 1 2}; do
    train "$set" elbert $seed
    case $set in rte | imdb) continue ;; esac
    for method in pabee sustainable_count; do
      train "$set" $method $seed --config.method=$method
    done
    train "$set" elbert_equal $seed --config.weighting=equal
    for depth in 1 2 3 6 12; do
      train "$set" plain_$depth $seed --config.method=plain \
        --config.learning_rate="$(plain_rate "$set" $depth)" \
        --config.model.num_hidden_layers=$depth
    done
    for method in deebert fastbert sustainable_kl; do # on the same plain model
      train "$set" $method $seed --config.method=$method --config.epochs=0 \
        --config.init="$runs/$set/plain_12-$seed/model"
    done
  done
done

for set in $sets; do
  case $set in
  sst2) held_out=(--file="$data/glue/SST-2/dev.tsv") ;;
  ag_news) held_out=(--file="$runs/ag_test.csv" --columns=label,title,text) ;;
  rte) held_out=(--file="$data/glue/RTE/dev.tsv") ;;
  imdb) held_out=(--file="$runs/imdb_test.jsonl") ;;
  esac
  models=$(printf '%s,' "$runs/$set"/*-[0-9]/model)
  "$python" -m elbert_jax.sweep --models="${models%,}" "${held_out[@]}" \
    --output="$runs/sweep_$set"
done
