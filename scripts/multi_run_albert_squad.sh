#!/usr/bin/env bash
# Fine-tunes a pre-trained ALBERT on SQuAD 1.1 or 2.0, on several GPUs. Downloads the model and the
# data if they are missing. Environment variables override the settings below and those of
# pretrained.sh (ALBERT_DIR, VERSION, CURRENT_PWD, NUM_GPUS); flags are passed to the runner:
#
#   SQUAD_VERSION=2.0 NUM_GPUS=4 bash scripts/multi_run_albert_squad.sh --device_type=cpu
set -euo pipefail

: "${TASK:=SQuAD}"        # part of the name of the output folder
: "${SQUAD_VERSION:=1.1}" # 1.1 or 2.0
: "${BS:=4}"              # batch size per GPU
: "${EBS:=}"              # batch size of prediction; empty: what suits the device
: "${LR:=5e-05}"          # learning rate
: "${EPOCH:=2}"           # epochs
: "${MSL:=384}"           # maximum sequence length

RUNNER=squad
# shellcheck source=scripts/pretrained.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/pretrained.sh"
for split in train dev; do
  fetch "$base/squad_data/$split-v$SQUAD_VERSION.json" "put it there (CURRENT_PWD chooses the folder above squad_data)." \
    env PYTHON="$python" CURRENT_PWD="$base" bash "$ROOT/scripts/download_squad.sh" "$SQUAD_VERSION"
done

exec "$python" -m albert.run_multigpus_squad \
  "${shared_flags[@]}" \
  --squad_version="$SQUAD_VERSION" \
  --train_file="$base/squad_data/train-v$SQUAD_VERSION.json" \
  --predict_file="$base/squad_data/dev-v$SQUAD_VERSION.json" \
  --output_dir="$base/albert_output/${TASK}${SQUAD_VERSION}_${ALBERT_DIR}_v${VERSION}" \
  --num_train_epochs="$EPOCH" \
  --train_batch_size="$BS" \
  "$@"
