#!/usr/bin/env bash
# Pretrains on this host's GPU, without a network, in calls of a few minutes:
#
#   launch/pretrain_gpu.sh FILES [WORKDIR]     FILES comma-separated
#
# Call it again until it reports the finished model. PYTHON is an interpreter with jax and
# flax; WHEELS, a folder of wheels for the packages it lacks; CONFIG, another
# configuration; TOKENIZER, a directory with spiece.model; MINUTES, the time limit.
set -euo pipefail
cd "$(dirname "$0")/.."
files=${1:?usage: launch/pretrain_gpu.sh FILES [WORKDIR]}
workdir=${2:-runs/pretrain_base}
python=${PYTHON:-python3}

if [ -n "${WHEELS:-}" ]; then
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --upgrade \
    --target .wheels "$WHEELS"/*.whl
  export PYTHONPATH="$PWD/.wheels${PYTHONPATH:+:$PYTHONPATH}"
fi
if ! "$python" -c 'import jax, flax, optax, transformers' 2>/dev/null; then
  echo "error: $python lacks jax, flax, optax or transformers; PYTHON names another" >&2
  exit 2
fi
if ! "$python" -c 'import jax; raise SystemExit(jax.default_backend() != "gpu")' \
  2>/dev/null; then
  echo "error: JAX sees no GPU here; see that nvidia-smi lists one" >&2
  exit 2
fi
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.jax_cache}
status=0
timeout --foreground --signal=INT "${MINUTES:-8.5}m" "$python" -m elbert_jax.pretrain \
  --config="${CONFIG:-configs/pretrain_base.py}" --workdir="$workdir" \
  --config.data.files="$files" --config.data.tokenizer="${TOKENIZER:-}" || status=$?
if [ "$status" -eq 124 ]; then
  echo "not finished: call it again to resume from its newest checkpoint"
fi
exit "$status"
