#!/usr/bin/env bash
# Trains on this host's NVIDIA GPU: launch/single_gpu.sh [CONFIG] [WORKDIR]
set -euo pipefail
cd "$(dirname "$0")/.."
config=${1:-configs/sst2.py}
workdir=${2:-runs/sst2}
python=.venv-gpu/bin/python # apart from .venv, whose checks run on the CPU

[ -x "$python" ] || "${PYTHON:-python3}" -m venv .venv-gpu
"$python" -m pip install --quiet -c constraints.txt -e '.[cuda12]'

if ! "$python" -c 'import jax; raise SystemExit(jax.default_backend() != "gpu")' \
  2>/dev/null; then
  echo "error: JAX sees no GPU here; see that nvidia-smi lists one" >&2
  exit 2
fi
exec "$python" -m elbert_jax.train --config="$config" --workdir="$workdir" \
  --config.dtype=bfloat16
