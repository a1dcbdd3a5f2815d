#!/usr/bin/env bash
# Every method on SST-2 and AG News, three seeds, then the sweep of their exits:
# launch/methods.sh [DATA] [RUNS]. What is finished is not done again, and SETS and SEEDS
# name a part of it: SETS=sst2 SEEDS="0 1" launch/methods.sh
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-../shared/data} runs=${2:-runs/methods}
python=${PYTHON:-python}
mkdir -p "$runs"

# A quarter of AG News' test texts, as every epoch is measured on all of them.
[ -e "$runs/ag_test.csv" ] || awk 'NR % 4 == 1' "$data/ag_news/test.csv" >"$runs/ag_test.csv"

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
    --config.data.max_train_samples=5000 "$@" ;;
  esac
  "$python" -m elbert_jax.train --config=configs/methods.py --config.seed="$seed" \
    --config.data.tokenizer=models/albert-mini-en \
    --workdir="$runs/$set/$name-$seed" "$@"
}

for set in ${SETS:-sst2 ag_news}; do
  for seed in ${SEEDS:-0 1 2}; do
    for method in elbert pabee sustainable_count; do
      train "$set" $method $seed --config.method=$method
    done
    train "$set" elbert_equal $seed --config.weighting=equal
    for depth in 1 2 3 6 12; do # at 5e-4 twelve layers stay at chance
      train "$set" plain_$depth $seed --config.method=plain \
        --config.learning_rate=2e-4 --config.model.num_hidden_layers=$depth
    done
    for method in deebert fastbert sustainable_kl; do # on the same plain model
      train "$set" $method $seed --config.method=$method --config.epochs=0 \
        --config.init="$runs/$set/plain_12-$seed/model"
    done
  done
done

for set in ${SETS:-sst2 ag_news}; do
  case $set in
  sst2) held_out=(--file="$data/glue/SST-2/dev.tsv") ;;
  ag_news) held_out=(--file="$runs/ag_test.csv" --columns=label,title,text) ;;
  esac
  models=$(printf '%s,' "$runs/$set"/*-[0-9]/model)
  "$python" -m elbert_jax.sweep --models="${models%,}" "${held_out[@]}" \
    --output="$runs/sweep_$set"
done
