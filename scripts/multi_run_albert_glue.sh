#!/usr/bin/env bash
# Fine-tunes a pre-trained ALBERT on one GLUE task, on several GPUs. Every setting below can be
# overridden from outside, and further flags are passed on:
#
#   TASK=RTE NUM_GPUS=4 bash scripts/multi_run_albert_glue.sh --device_type=cpu
set -euo pipefail

ROOT="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
START_DIR="$PWD"

: "${TASK:=CoLA}"          # CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI or AX
: "${ALBERT_DIR:=base}"    # base, large, xlarge or xxlarge
: "${VERSION:=2}"          # of the pre-trained model: 1 or 2
: "${CURRENT_PWD:=$ROOT}"  # holds glue_data/ and pretrained_model/; results go to albert_output/
: "${NUM_GPUS:=2}"
: "${BS:=8}"               # batch of one GPU
: "${EBS:=8}"              # batch of evaluation and prediction
: "${MSL:=512}"            # longest sequence
: "${LR:=1e-05}"           # learning rate
: "${ALBERT_DP:=0}"        # dropout inside ALBERT
: "${WPSP:=320}"           # warm-up steps
: "${TSP:=5336}"           # training steps

die() {
  printf 'multi_run_albert_glue.sh: %s\n' "$*" >&2
  exit 1
}
absolute() { # paths are meant from where the script was called
  if [[ $1 == /* ]]; then printf '%s\n' "$1"; else printf '%s\n' "$START_DIR/$1"; fi
}

# The interpreter the user has activated, if TensorFlow is there, or else the project's own.
usable_python() {
  local name
  for name in "${PYTHON:-}" python; do
    if [[ -n $name ]] && command -v "$name" >/dev/null &&
      "$name" -c 'from importlib.util import find_spec as f; raise SystemExit(not (f("tensorflow") and f("sentencepiece")))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  bash "$ROOT/scripts/setup_env.sh"
}

base="$(absolute "$CURRENT_PWD")"
model="$base/pretrained_model/albert_${ALBERT_DIR}_v${VERSION}"
[[ -d $model ]] || die "$model is not there: put the pre-trained model into it (CURRENT_PWD, ALBERT_DIR and VERSION choose it)."
[[ -d $base/glue_data ]] || die "$base/glue_data is not there: put the GLUE tasks into it (CURRENT_PWD chooses the folder above it)."

# The vocabulary stands beside the project's README, or where the archive of the model puts it.
vocabulary="$ROOT"
[[ -e $ROOT/30k-clean.model ]] || vocabulary="$model"

python="$(usable_python)"
python="$(absolute "$python")"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m albert.run_multigpus_classifier \
  --do_train=True \
  --do_eval=True \
  --do_predict=True \
  --strategy_type=mirror \
  --num_gpu_cores="$NUM_GPUS" \
  --data_dir="$base/glue_data" \
  --cached_dir="$base/cached_albert_tfrecord" \
  --task_name="$TASK" \
  --output_dir="$base/albert_output/${TASK}_${ALBERT_DIR}_v${VERSION}" \
  --max_seq_length="$MSL" \
  --train_step="$TSP" \
  --warmup_step="$WPSP" \
  --train_batch_size="$BS" \
  --eval_batch_size="$EBS" \
  --predict_batch_size="$EBS" \
  --learning_rate="$LR" \
  --albert_dropout_prob="$ALBERT_DP" \
  --albert_config_file="$model/albert_config.json" \
  --init_checkpoint="$model/model.ckpt-best" \
  --vocab_file="$vocabulary/30k-clean.vocab" \
  --spm_model_file="$vocabulary/30k-clean.model" \
  "$@"
