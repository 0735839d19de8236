#!/usr/bin/env bash
# What multi_run_albert_squad.sh does, with its settings and flags, on one device:
#
#   SQUAD_VERSION=2.0 bash scripts/run_albert_squad.sh
set -euo pipefail

export NUM_GPUS=1
export BS="${BS:-8}" # the global batch of two GPUs
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/multi_run_albert_squad.sh" --strategy_type=one "$@"
