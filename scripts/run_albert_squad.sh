#!/usr/bin/env bash
# Does what multi_run_albert_squad.sh does, with the same settings and flags, on one device:
#
#   SQUAD_VERSION=2.0 bash scripts/run_albert_squad.sh
set -euo pipefail

export NUM_GPUS=1
export BS="${BS:-8}" # the global batch size of multi_run_albert_squad.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/multi_run_albert_squad.sh" --strategy_type=one "$@"
