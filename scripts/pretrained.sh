# Sourced by the scripts that start from a pre-trained model. Refuses flags that are neither RUNNER's
# (classifier, race or squad) nor in MORE_OPTIONS, downloads the model if it is missing, from
# ALBERT_DOWNLOAD_URL if that is set, but not under --dry_run or --report, and sets
#   base, model, vocabulary   folders, from CURRENT_PWD, ALBERT_DIR and VERSION
#   python                    an interpreter that has TensorFlow
#   shared_flags              flags for every runner; among them, if they are set, those of EBS, MSL and LR
# shellcheck shell=bash disable=SC2034

# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

: "${ALBERT_DIR:=base}" # base, large, xlarge or xxlarge
: "${VERSION:=2}"       # of the pre-trained model: 1 or 2
: "${NUM_GPUS:=2}"

check_runner_flags "$@"
python="$(usable_python)"
python="$(absolute "$python")"

model="$base/pretrained_model/albert_${ALBERT_DIR}_v${VERSION}"
[[ " $* " == *" --dry_run "* || " $* " == *" --report "* ]] ||
  fetch "$model" "put the pre-trained model into it (CURRENT_PWD, ALBERT_DIR and VERSION choose it)." \
    env PYTHON="$python" CURRENT_PWD="$base" \
    bash "$ROOT/scripts/download_pretrained_models.sh" "${ALBERT_DIR}_v${VERSION}"

# The vocabulary is in the model's folder, where archives have it, or in the project's top folder.
vocabulary="$model"
if [[ ! -e $model/30k-clean.model && -e $ROOT/30k-clean.model ]]; then vocabulary="$ROOT"; fi

shared_flags=(
  --do_train=True
  --do_predict=True
  --strategy_type=mirror
  --num_gpu_cores="$NUM_GPUS"
  --cached_dir="$base/cached_albert_tfrecord"
  --albert_config_file="$model/albert_config.json"
  --init_checkpoint="$model/model.ckpt-best"
  --vocab_file="$vocabulary/30k-clean.vocab"
  --spm_model_file="$vocabulary/30k-clean.model"
  ${EBS:+--predict_batch_size="$EBS"}
  ${MSL:+--max_seq_length="$MSL"}
  ${LR:+--learning_rate="$LR"}
)
