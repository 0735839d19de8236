#!/usr/bin/env bash
# What multi_run_albert_race.sh does, with its settings and flags, on one device:
#
#   BS=4 bash scripts/run_albert_race.sh
set -euo pipefail

export NUM_GPUS=1
exec bash "$(dirname -- "${BASH_SOURCE[0]}")/multi_run_albert_race.sh" --strategy_type=one "$@"
