#!/usr/bin/env bash
# Fine-tunes a pre-trained ALBERT on all GLUE tasks with the published settings (--recipe), with one
# seed or several, and ends with a table of the results and the zip file to hand in. The model and
# the data are fetched where they are not there. Stopped by Ctrl-C, it goes on where it was when it is
# run again. Settings, besides ALBERT_DIR, VERSION, CURRENT_PWD and NUM_GPUS (see pretrained.sh), come
# from outside, and further flags are passed on to every run:
#
#   SEEDS="1 2 3 4 5" NUM_GPUS=8 bash scripts/run_all_glue.sh
#   TASKS="MNLI RTE" bash scripts/run_all_glue.sh --device_type=cpu
#
# BS (batch of one GPU), MSL (longest sequence) and LR (learning rate) replace the published ones.
set -euo pipefail

: "${TASKS:=MNLI CoLA SST-2 MRPC STS-B QQP QNLI RTE WNLI}" # MNLI, from which others start, runs first
: "${SEEDS:=42}"
: "${EBS:=8}" # batch of evaluation and prediction

# shellcheck source=scripts/pretrained.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/pretrained.sh"

exec "$python" -m albert.run_all_glue \
  --tasks="$TASKS" \
  --seeds="$SEEDS" \
  --model="${ALBERT_DIR}_v${VERSION}" \
  --data_dir="$base/glue_data" \
  --output_dir="$base/albert_output/GLUE_${ALBERT_DIR}_v${VERSION}" \
  "${shared_flags[@]}" \
  --do_eval=True \
  --eval_batch_size="$EBS" \
  --recipe \
  ${BS:+--train_batch_size="$BS"} \
  "$@"
