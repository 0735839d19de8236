#!/usr/bin/env bash
# Starts a command as every worker of a cluster on this machine, to try out what is to run on several.
# Each process gets its TF_CONFIG; the lines of all but the chief are marked. Ctrl-C and SIGTERM go to
# all. The exit status is the first that is not 0:
#
#   bash scripts/launch_local_cluster.sh python -m albert.run_multigpus_classifier \
#     --strategy_type=multi_worker --num_gpu_cores=2 --device_type=cpu ...
#   NUM_WORKERS=2 GPUS_PER_WORKER=4 bash scripts/launch_local_cluster.sh python ...
set -euo pipefail

: "${NUM_WORKERS:=2}"
: "${GPUS_PER_WORKER:=}" # each worker sees so many of CUDA_VISIBLE_DEVICES, or of 0,1,2,...; empty: all
: "${FIRST_PORT:=}"      # of one for each worker and one more; empty: a free range

# shellcheck source=scripts/help.sh
[[ ${1:-} != -* ]] || source "$(dirname -- "${BASH_SOURCE[0]}")/help.sh"

die() {
  printf 'launch_local_cluster.sh: %s\n' "$*" >&2
  exit 1
}
[[ $# -gt 0 && $1 != -* ]] || die "give the command that every worker runs; --help shows one."
[[ $NUM_WORKERS =~ ^[1-9][0-9]?$ ]] || die "NUM_WORKERS=$NUM_WORKERS must be from 1 to 99."
[[ $GPUS_PER_WORKER =~ ^[0-9]*$ ]] || die "GPUS_PER_WORKER=$GPUS_PER_WORKER is not a number."
[[ $FIRST_PORT =~ ^[0-9]*$ ]] || die "FIRST_PORT=$FIRST_PORT is not a number."

free_range() { # prints the first of NUM_WORKERS + 1 ports that nobody uses
  python3 - "$((NUM_WORKERS + 1))" <<'PYTHON'
import random
import socket
import sys
while True:
    first = random.randrange(20000, 30000)
    try:
        for port in range(first, first + int(sys.argv[1])):
            with socket.socket() as probe:
                probe.bind(("", port))
    except OSError:
        continue
    print(first)
    break
PYTHON
}

first="${FIRST_PORT:-$(free_range)}"
hosts=""
for ((rank = 0; rank < NUM_WORKERS; rank++)); do
  hosts+="${hosts:+, }\"localhost:$((first + rank))\""
done
IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES-$(seq -s, 0 99)}"

start() { # rank command...
  export TF_CONFIG="{\"cluster\": {\"worker\": [$hosts]}, \"task\": {\"type\": \"worker\", \"index\": $1}}"
  if [[ $GPUS_PER_WORKER ]]; then
    local own=("${gpus[@]:$1*GPUS_PER_WORKER:GPUS_PER_WORKER}")
    CUDA_VISIBLE_DEVICES="$(IFS=, && echo "${own[*]}")"
    export CUDA_VISIBLE_DEVICES
  fi
  if (($1 == 0)); then exec "${@:2}"; fi
  exec "${@:2}" > >(exec sed -u "s/^/[worker $1] /" >&2) 2>&1
}

set -m # a process group for each worker, so that Ctrl-C reaches it from here and not twice
workers=()
trap 'kill -INT "${workers[@]}" 2>/dev/null || true' INT
trap 'kill -TERM "${workers[@]}" 2>/dev/null || true' TERM
for ((rank = 0; rank < NUM_WORKERS; rank++)); do
  start "$rank" "$@" </dev/null &
  workers+=("$!")
done

status=0
for worker in "${workers[@]}"; do
  while kill -0 "$worker" 2>/dev/null; do wait "$worker" || true; done # a signal ends wait, too
  ended=0
  wait "$worker" || ended=$?
  ((status != 0)) || status=$ended
done
exit "$status"
