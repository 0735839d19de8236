#!/usr/bin/env bash
# Fine-tunes a pre-trained ALBERT on all GLUE tasks with the published settings (--recipe) and one or
# more seeds; ends with a table of the results and a submission to the benchmark. Downloads the model
# and the data if they are missing. After Ctrl-C, the same command continues. Environment variables
# override the settings below and those of pretrained.sh (ALBERT_DIR, VERSION, CURRENT_PWD, NUM_GPUS);
# flags are passed to every run:
#
#   SEEDS="1 2 3 4 5" NUM_GPUS=8 bash scripts/run_all_glue.sh
#   TASKS="MNLI RTE" bash scripts/run_all_glue.sh --device_type=cpu
#   SEEDS="1 2 3 4 5" bash scripts/run_all_glue.sh --gpus_per_run=1
#
# --gpus_per_run runs as many runs side by side as there are devices for: all GPUs that are visible,
# unless NUM_GPUS says how many. --dry_run shows what is done and what is left, --report the results
# so far; --slurm writes scripts that submit the runs to a Slurm cluster. None of these starts a run.
#
# BS (batch size per GPU), MSL (maximum sequence length) and LR (learning rate) replace the published
# values.
set -euo pipefail

: "${TASKS:=MNLI CoLA SST-2 MRPC STS-B QQP QNLI RTE WNLI}" # MNLI runs first: others start from it
: "${SEEDS:=42}"
: "${EBS:=}" # batch size of evaluation and prediction; empty: what suits the device

RUNNER=classifier
MORE_OPTIONS="base_url timeout retries wait gpus_per_run dry_run slurm report"
given_gpus="${NUM_GPUS:-}"
# shellcheck source=scripts/pretrained.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/pretrained.sh"

if [[ -z $given_gpus && " $*" == *" --gpus_per_run"* ]]; then # the runs share all GPUs
  for index in "${!shared_flags[@]}"; do
    [[ ${shared_flags[index]} != --num_gpu_cores=* ]] || unset "shared_flags[index]"
  done
fi

exec "$python" -m albert.run_all_glue \
  --tasks="$TASKS" \
  --seeds="$SEEDS" \
  --model="${ALBERT_DIR}_v${VERSION}" \
  --data_dir="$base/glue_data" \
  --output_dir="$base/albert_output/GLUE_${ALBERT_DIR}_v${VERSION}" \
  "${shared_flags[@]}" \
  --do_eval=True \
  ${EBS:+--eval_batch_size="$EBS"} \
  --recipe \
  ${BS:+--train_batch_size="$BS"} \
  "$@"
