#!/usr/bin/env bash
# Measures training, prediction and more beside Hugging Face transformers and the machine's limits, in
# turn, and prints tables of ratios. Makes two environments: ours, and .venv/peer with PyTorch and
# transformers (some 6 GB; --no_peer does without). benchmarks/README.md says what is measured how.
#
#   bash scripts/run_benchmarks.sh --data_dir=glue_data --squad_file=squad_data/train-v1.1.json
#   bash scripts/run_benchmarks.sh training --tasks cola --sizes base large --no_peer
#   PYTHON=python3.7 bash scripts/run_benchmarks.sh         ours on TensorFlow 1.15
#
# PART is training, pretraining, prediction, conversion, start, memory or growth; without one, all are
# measured.
# benchmarks/README.md lists the options.
set -euo pipefail

# shellcheck source=scripts/help.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/help.sh"

ROOT="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
REQUIREMENTS="$ROOT/benchmarks/requirements-peer.txt"

# The stamp is written when an install is complete. It has the environment's path, since the scripts in
# a moved environment would call the old one.
stamp_of() { printf '%s %s' "$(cksum <"$REQUIREMENTS")" "$(CDPATH='' cd -- "$1" && pwd -P)"; }

# Makes .venv/peer unless it is there and complete. Its interpreter is always Python 3.11, since Python
# 3.7 runs no current PyTorch.
make_peer() {
  local venv="$ROOT/.venv/peer" base
  [[ ! -f $venv/stamp || "$(<"$venv/stamp")" != "$(stamp_of "$venv")" ]] || return 0
  base="$(PYTHON=python3.11 bash "$ROOT/scripts/setup_env.sh")"
  echo "run_benchmarks.sh: making .venv/peer: some minutes and 6 GB" >&2
  rm -rf -- "$venv"
  "$base" -m venv "$venv" >&2
  "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --quiet \
    -r "$REQUIREMENTS" >&2
  stamp_of "$venv" >"$venv/stamp"
}

python="$(bash "$ROOT/scripts/setup_env.sh")"
if [[ " $* " != *" --no_peer "* ]]; then make_peer; fi
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m benchmarks.run --peer_python="$ROOT/.venv/peer/bin/python" "$@"
