#!/usr/bin/env bash
# Does what multi_run_albert_glue.sh does, with the same settings and flags, on one device:
#
#   TASK=RTE bash scripts/run_albert_glue.sh
set -euo pipefail

export NUM_GPUS=1
export BS="${BS:-16}" # the global batch size of multi_run_albert_glue.sh
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/multi_run_albert_glue.sh" --strategy_type=one "$@"
