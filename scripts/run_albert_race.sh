#!/usr/bin/env bash
# Does what multi_run_albert_race.sh does, with the same settings and flags, on one device:
#
#   BS=4 bash scripts/run_albert_race.sh
set -euo pipefail

export NUM_GPUS=1
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/multi_run_albert_race.sh" --strategy_type=one "$@"
