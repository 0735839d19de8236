#!/usr/bin/env bash
# Shows in a few minutes that everything works:
#   - sets up an environment and makes two small data sets,
#   - trains a tiny model from scratch on two GPUs, or on two CPU replicas without two GPUs,
#   - evaluates it, predicts with it, prints the results and makes a report of them.
#
#   bash scripts/quickstart.sh
#   PYTHON=python3.7 bash scripts/quickstart.sh     on TensorFlow 1.15
#
# After Ctrl-C, the same command continues; after a complete run, it starts over. It writes to
# quickstart/ only, besides the environment in .venv/.
set -euo pipefail

# shellcheck source=scripts/help.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/help.sh"

ROOT="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
EXAMPLES="$ROOT/examples"

[[ $# == 0 ]] || {
  echo "quickstart.sh: unexpected argument $1; PYTHON= chooses the interpreter." >&2
  exit 1
}
say() { printf '\n==> %s\n' "$*" >&2; }

# Whether TensorFlow can use two GPUs.
has_two_gpus() {
  command -v nvidia-smi >/dev/null && (($(nvidia-smi --list-gpus 2>/dev/null | wc -l) >= 2)) &&
    "$python" -W ignore -c '
import sys
import tensorflow as tf
sys.exit(len(tf.config.experimental.list_physical_devices("GPU")) < 2)
' 2>/dev/null
}

say "Setting up"
python="$(bash "$ROOT/scripts/setup_env.sh")"
version="$(basename -- "${python%/bin/python}")" # py3.11
data_dir="$ROOT/quickstart/data"
output_dir="$ROOT/quickstart/$version"

say "Making the example data"
"$python" "$EXAMPLES/make_data.py" --output_dir="$data_dir"

[[ ! -e $output_dir/SQuAD/predictions.json ]] || rm -rf -- "$output_dir" # the last run was complete
if has_two_gpus; then device_type=gpu; else device_type=cpu; fi
finetune() ( # runner, job, flags...
  cd -- "$ROOT" # in a subshell: the results below name paths relative to the caller
  "$python" -m "albert.$1" \
    --output_dir="$output_dir/$2" \
    --albert_config_file="$EXAMPLES/albert_config.json" \
    --vocab_file="$data_dir/spm.vocab" \
    --spm_model_file="$data_dir/spm.model" \
    --strategy_type=mirror \
    --num_gpu_cores=2 \
    --device_type="$device_type" \
    --max_seq_length=64 \
    --train_batch_size=32 \
    --predict_batch_size=100 \
    --learning_rate=5e-4 \
    --do_train --do_predict "${@:3}"
)

say "Classifying sentences (CoLA), on two replicas ($device_type)"
finetune run_multigpus_classifier CoLA \
  --do_eval \
  --task_name=CoLA \
  --data_dir="$data_dir" \
  --eval_batch_size=100 \
  --train_step=800 \
  --warmup_step=80 \
  --save_checkpoints_steps=200

say "Answering questions, some of which have no answer (SQuAD 2.0)"
finetune run_multigpus_squad SQuAD \
  --squad_version=2.0 \
  --train_file="$data_dir/SQuAD/train-v2.0.json" \
  --predict_file="$data_dir/SQuAD/dev-v2.0.json" \
  --num_train_epochs=4 \
  --save_checkpoints_steps=150

say "Results: CoLA"
"$python" "$EXAMPLES/show_results.py" "$output_dir/CoLA"
say "Results: SQuAD 2.0, in percent"
"$python" "$EXAMPLES/show_results.py" "$output_dir/SQuAD"
say "Report on both, to open in a browser"
cd -- "$ROOT"
"$python" -m albert.report "$output_dir/CoLA" "$output_dir/SQuAD" --output="$output_dir/report.html"
