#!/usr/bin/env bash
# Fine-tunes a pre-trained ALBERT on one GLUE task, on several GPUs. Downloads the model and the task's
# data if they are missing. Environment variables override the settings below and those of
# pretrained.sh (ALBERT_DIR, VERSION, CURRENT_PWD, NUM_GPUS); flags are passed to the runner:
#
#   TASK=RTE NUM_GPUS=4 bash scripts/multi_run_albert_glue.sh --device_type=cpu
set -euo pipefail

: "${TASK:=CoLA}"   # CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI or AX
: "${BS:=8}"        # batch size per GPU
: "${EBS:=}"        # batch size of evaluation and prediction; empty: what suits the device
: "${MSL:=512}"     # maximum sequence length
: "${LR:=1e-05}"    # learning rate
: "${ALBERT_DP:=0}" # dropout inside ALBERT
: "${WPSP:=320}"    # warm-up steps
: "${TSP:=5336}"    # training steps

RUNNER=classifier
# shellcheck source=scripts/pretrained.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/pretrained.sh"
shopt -s nocasematch # task names may have any case, folder names only one
TASK="$(tr '[:lower:]' '[:upper:]' <<<"$TASK")"
[[ $TASK != CoLA ]] || TASK=CoLA
folder="$TASK"
[[ $TASK != AX ]] || folder=diagnostic
fetch "$base/glue_data/$folder" "put the GLUE task into it (CURRENT_PWD chooses the folder above glue_data)." \
  "$python" "$ROOT/download_glue_data.py" --data_dir="$base/glue_data" --tasks="$TASK"

exec "$python" -m albert.run_multigpus_classifier \
  "${shared_flags[@]}" \
  --do_eval=True \
  --data_dir="$base/glue_data" \
  --task_name="$TASK" \
  --output_dir="$base/albert_output/${TASK}_${ALBERT_DIR}_v${VERSION}" \
  --train_step="$TSP" \
  --warmup_step="$WPSP" \
  --train_batch_size="$BS" \
  ${EBS:+--eval_batch_size="$EBS"} \
  --albert_dropout_prob="$ALBERT_DP" \
  "$@"
