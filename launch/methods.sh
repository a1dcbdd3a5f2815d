#!/usr/bin/env bash
# Every method on SST-2 and AG News, three seeds, then the sweep of their exits:
# launch/methods.sh [DATA] [RUNS]. What is finished is not done again.
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
  for seed in 0 1 2; do
    for method in elbert plain pabee sustainable_count; do
      train "$set" $method $seed --config.method=$method
    done
    train "$set" elbert_equal $seed --config.weighting=equal
    for depth in 1 2 3 6; do
      train "$set" plain_$depth $seed --config.method=plain \
        --config.model.num_hidden_layers=$depth
    done
    for method in deebert fastbert sustainable_kl; do # on the same plain model
      train "$set" $method $seed --config.method=$method --config.epochs=0 \
        --config.init="$runs/$set/plain-$seed/model"
    done
  done
done

models() { printf '%s,' "$runs/$1"/*-[0-9]/model | sed 's/,$//'; }
"$python" -m elbert_jax.sweep --models="$(models sst2)" \
  --file="$data/glue/SST-2/dev.tsv" --output="$runs/sweep_sst2"
"$python" -m elbert_jax.sweep --models="$(models ag_news)" \
  --file="$runs/ag_test.csv" --columns=label,title,text --output="$runs/sweep_ag_news"
