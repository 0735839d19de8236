#!/usr/bin/env bash
# Fine-tunes a pre-trained ALBERT on RACE, on several GPUs. Downloads the model if it is missing.
# Environment variables override the settings below and those of pretrained.sh (ALBERT_DIR, VERSION,
# CURRENT_PWD, NUM_GPUS); flags are passed to the runner:
#
#   VERSION=1 NUM_GPUS=8 bash scripts/multi_run_albert_race.sh --high_only
set -euo pipefail

: "${TASK:=RACE}"    # part of the name of the output folder
: "${EBS:=}"         # questions per batch of evaluation and prediction; empty: what suits the device
: "${MSL:=512}"      # maximum sequence length: article, question and one option
: "${MQL:=128}"      # maximum length of a question with one option
: "${WPSP:=1000}"    # warm-up steps
: "${TSP:=12000}"    # training steps

# Versions 1 and 2 have different published learning rates and dropout inside ALBERT.
if [[ ${VERSION:-2} == 1 ]]; then
  : "${LR:=2e-05}"
  : "${ALBERT_DP:=0.1}"
else
  : "${LR:=1e-05}"
  : "${ALBERT_DP:=0}"
fi

RUNNER=race
# shellcheck source=scripts/pretrained.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/pretrained.sh"
[[ -d $base/race_data/RACE ]] || die "$base/race_data/RACE is not there: unpack http://www.cs.cmu.edu/~glai1/data/race/RACE.tar.gz into $base/race_data (CURRENT_PWD chooses the folder above it)."

# Questions per GPU and batch; the default makes the published 32 over all GPUs. A question is four
# sequences: if memory runs out, use more GPUs or a smaller batch.
: "${BS:=$((NUM_GPUS > 0 && NUM_GPUS < 32 ? 32 / NUM_GPUS : 1))}"

exec "$python" -m albert.run_multigpus_race \
  "${shared_flags[@]}" \
  --do_eval=True \
  --data_dir="$base/race_data" \
  --output_dir="$base/albert_output/${TASK}_${ALBERT_DIR}_v${VERSION}" \
  --max_qa_length="$MQL" \
  --train_step="$TSP" \
  --warmup_step="$WPSP" \
  --train_batch_size="$BS" \
  ${EBS:+--eval_batch_size="$EBS"} \
  --albert_dropout_prob="$ALBERT_DP" \
  "$@"
