#!/usr/bin/env bash
# Trains every method on SST-2 and AG News, and ELBERT on Financial PhraseBank, RTE and IMDB,
# with three seeds; then sweeps the exits of each set, and ELBERT's of all sets together:
#
#   launch/methods.sh [DATA] [RUNS]
#
# Finished runs are skipped. SETS, METHODS and SEEDS select a part:
# SETS=sst2 SEEDS="0 1" launch/methods.sh. INIT is the model directory to start from
# (models/albert-mini-en); INIT= trains from scratch. FLAGS are added to every train command:
# they override the flags of a set, and those of a method override them.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-../shared/data} runs=${2:-runs/methods}
python=${PYTHON:-python}
mkdir -p "$runs"
# Steps are 1.2 times as fast in huge pages, and faster where glibc keeps what is freed.
malloc=hugetlb=1:mmap_max=0:trim_threshold=17179869184:arena_max=1
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.${malloc//:/:glibc.malloc.}}

INIT=${INIT-models/albert-mini-en}

part() { # FILE HEADER LINES COMMAND...: writes those lines of its output, unless it exists
  local file=$1 header=$2 lines=$3
  shift 3
  [ -e "$file" ] && return
  { [ -z "$header" ] || printf '%b\n' "$header"; "$@" | awk "$lines"; } >"$file.$$"
  mv "$file.$$" "$file" # whole, also where two of these run side by side
}

phrases() { sed 's/@\([a-z]*\)\r*$/\t\1/' "$data/financial_phrasebank/Sentences_50Agree.txt"; }

# Subsets of the test texts (AG News 1,900, IMDB 1,563), as every epoch is evaluated on all of
# them; IMDB's training texts are sorted by label, so every fifth is taken. Financial
# PhraseBank has no split: four fifths and one fifth, as in the paper.
parts() { # SET
  case $1 in
  ag_news)
    part "$runs/ag_train.tsv" 'text\tlabel' 1 cat "$data/ag_news/train_10k.tsv"
    part "$runs/ag_test.csv" label,title,text 'NR % 4 == 1' cat "$data/ag_news/test.csv"
    ;;
  fpb)
    part "$runs/fpb_dev.tsv" 'text\tlabel' 'NR % 5 == 1' phrases
    part "$runs/fpb_train.tsv" 'text\tlabel' 'NR % 5 != 1' phrases
    ;;
  imdb)
    part "$runs/imdb_test.jsonl" '' 'NR % 16 == 1' gzip -dc "$data/imdb/test.jsonl.gz"
    part "$runs/imdb_train.jsonl" '' 'NR % 5 == 1' gzip -dc "$data/imdb/train.jsonl.gz"
    ;;
  esac
}

held_out() { # SET
  case $1 in
  sst2) echo "$data/glue/SST-2/dev.tsv" ;;
  ag_news) echo "$runs/ag_test.csv" ;;
  fpb) echo "$runs/fpb_dev.tsv" ;;
  rte) echo "$data/glue/RTE/dev.tsv" ;;
  imdb) echo "$runs/imdb_test.jsonl" ;;
  esac
}

train() { # SET NAME SEED [FLAG...]
  local set=$1 name=$2 seed=$3
  shift 3
  set -- ${FLAGS:-} "$@"
  case $set in
  sst2) set -- --config.data.train_file="$data/glue/SST-2/train.tsv" \
    --config.data.labels='("negative","positive")' \
    --config.data.max_train_samples=12000 "$@" ;;
  ag_news) set -- --config.data.task=ag_news_subset \
    --config.data.train_file="$runs/ag_train.tsv" --config.data.drop_held_out=True \
    --config.data.max_train_samples=5000 --config.batch_size=16 "$@" ;;
  fpb) set -- --config.data.train_file="$runs/fpb_train.tsv" \
    --config.data.labels='("negative","neutral","positive")' \
    --config.data.drop_held_out=True --config.batch_size=16 "$@" ;;
  rte) set -- --config.data.task=glue/rte \
    --config.data.train_file="$data/glue/RTE/train.tsv" \
    --config.data.max_seq_length=128 --config.batch_size=16 "$@" ;;
  imdb) set -- --config.data.task=imdb_reviews \
    --config.data.train_file="$runs/imdb_train.jsonl" \
    --config.data.truncation=head+tail --config.data.max_seq_length=128 \
    --config.batch_size=16 "$@" ;;
  esac
  "$python" -m elbert_jax.train --config=configs/methods.py --config.seed="$seed" \
    --config.data.validation_file="$(held_out "$set")" \
    --config.data.tokenizer="${INIT:-models/albert-mini-en}" \
    ${INIT:+--config.init="$INIT"} \
    --workdir="$runs/$set/$name-$seed" "$@"
}

# At the other methods' learning rate the loss of plain may stay at chance with twelve layers:
# from scratch always, on SST-2 one time in three.
plain_rate() { # SET DEPTH
  case $INIT,$1,$2 in
  ,* | *,sst2,12) echo 2e-4 ;;
  *) echo 5e-4 ;;
  esac
}

run() { # SET METHOD SEED
  case $2 in
  elbert) train "$@" ;;
  elbert_equal) train "$@" --config.weighting=equal ;;
  plain_*) train "$@" --config.method=plain \
    --config.learning_rate="$(plain_rate "$1" "${2#plain_}")" \
    --config.model.num_hidden_layers="${2#plain_}" ;;
  deebert | fastbert | sustainable_kl) train "$@" --config.method="$2" \
    --config.epochs=0 --config.init="$runs/$1/plain_12-$3/model" ;; # exit heads only
  *) train "$@" --config.method="$2" ;;
  esac
}

all="elbert pabee sustainable_count elbert_equal plain_1 plain_2 plain_3 plain_6 plain_12
  deebert fastbert sustainable_kl"
sets=${SETS:-sst2 ag_news fpb rte imdb}
for set in $sets; do
  parts "$set"
  case $set in sst2 | ag_news) methods=$all ;; *) methods=elbert ;; esac
  for seed in ${SEEDS:-0 1 2}; do
    for method in ${METHODS:-$methods}; do
      run "$set" "$method" "$seed"
    done
  done
done

list() { local IFS=,; echo "$*"; } # comma-separated

sweep() { # FOLDER MODELS FILES [FLAG...]
  "$python" -m elbert_jax.sweep --models="$2" --file="$3" --output="$runs/$1" \
    --cache_dir="$runs/logits" "${@:4}"
}

models=() files=()
for set in $sets; do
  sweep "sweep_$set" "$(list "$runs/$set"/*-[0-9]/model)" "$(held_out "$set")"
  for model in "$runs/$set"/elbert-[0-9]/model; do
    [ -e "$model" ] && models+=("$model") files+=("$(held_out "$set")")
  done
done
if [[ $sets == *" "* && ${models[*]} ]]; then
  sweep sweep_tasks "$(list "${models[@]}")" "$(list "${files[@]}")" --confirm=0
fi
