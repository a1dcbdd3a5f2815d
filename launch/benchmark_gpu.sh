#!/usr/bin/env bash
# Benchmarks on this host's GPU, without a network, within 9 minutes:
#
#   launch/benchmark_gpu.sh [FOLDER]      benchmarks/gpu, if none is named
#
# ALBERT-large and ALBERT-base in bfloat16, then in float32: a record and plots of each.
# Call it again to continue what did not finish. PYTHON is an interpreter with jax, flax,
# optax, transformers and torch; WHEELS, a folder of wheels for the packages it lacks;
# MINUTES, the time limit of a call.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-benchmarks/gpu}
python=${PYTHON:-python3}
end=$((SECONDS + ${MINUTES:-9} * 60 - 15))

if [ -n "${WHEELS:-}" ]; then
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --upgrade \
    --target .wheels "$WHEELS"/*.whl
  export PYTHONPATH="$PWD/.wheels${PYTHONPATH:+:$PYTHONPATH}"
fi
lacking=$("$python" - <<'EOF'
import importlib.util
names = "jax flax optax transformers torch absl grain jaxtyping matplotlib orjson pyarrow"
names += " sentencepiece sklearn tensorboardX"
print(*(name for name in names.split() if not importlib.util.find_spec(name)))
EOF
)
if [ -n "$lacking" ]; then
  echo "error: $python lacks $lacking: name a folder of their wheels in WHEELS" >&2
  exit 2
fi
if ! "$python" -c 'import jax; raise SystemExit(jax.default_backend() != "gpu")' \
  2>/dev/null; then
  echo "error: JAX sees no GPU here; see that nvidia-smi lists one" >&2
  exit 2
fi
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.jax_cache}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
export XLA_PYTHON_CLIENT_MEM_FRACTION=0.6 # leaves the rest to PyTorch
export TORCHINDUCTOR_CACHE_DIR=${TORCHINDUCTOR_CACHE_DIR:-$PWD/.torch_cache}
mkdir -p "$folder"
status=0

measure() { # SHAPE DTYPE FLAG...
  local name="$1_$2" seconds=$((end - SECONDS))
  if [ "$seconds" -lt 60 ]; then
    status=124
    return
  fi
  echo "== ALBERT-$1, $2"
  timeout --foreground --kill-after=20 --signal=INT "$seconds" "$python" -m elbert_jax.benchmark --suite=gpu \
    --shape="$1" --dtype="$2" --minutes=$((seconds / 60)) \
    --json="$folder/$name.json" --plots="$folder/$name" "${@:3}" || status=$?
}

measure large bfloat16
measure base bfloat16 --parts=systems,queue,large
measure large float32 --parts=systems,queue,large --peers=eager,sdpa
measure base float32 --parts=systems,queue,large --peers=eager,sdpa
if [ "$status" -ne 0 ] && [ "$status" -ne 2 ]; then
  echo "not finished: call it again to continue"
fi
exit "$status"
