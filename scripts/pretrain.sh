#!/usr/bin/env bash
# Pre-trains ALBERT on text of your own, from its files to a model that the fine-tuning scripts take:
#   - holds out some documents, unless EVAL_TEXT names others,
#   - trains a vocabulary, unless one is given, and makes the data sets,
#   - trains, evaluates every checkpoint, and keeps the best one.
#
#   INPUT_TEXT='corpus/*.txt' NUM_GPUS=8 bash scripts/pretrain.sh --recompute_activations
#   ALBERT_DIR=own VERSION=1 TASK=RTE bash scripts/run_albert_glue.sh        fine-tunes the result
#
# Text has one sentence a line and blank lines between documents. INIT_CHECKPOINT goes on from a
# released model, whose vocabulary and configuration are beside it:
#
#   INPUT_TEXT=law.txt INIT_CHECKPOINT=pretrained_model/albert_base_v2/model.ckpt-best \
#     NUM_TRAIN_STEPS=10000 LEARNING_RATE=2e-4 bash scripts/pretrain.sh
#
# OUTPUT_DIR is the folder of the model; data sets are in data/ there, as is the text, if some of it is
# held out. After Ctrl-C, the same command continues. Environment variables override the settings
# below and CURRENT_PWD; flags are passed to the runner. Several machines: docs/pretraining.md.
set -euo pipefail

: "${INPUT_TEXT:=}"              # files of text, plain or gzip: paths and patterns, separated by commas
: "${EVAL_TEXT:=}"               # the same, to evaluate on; empty: held out from INPUT_TEXT
: "${HELD_OUT:=50}"              # of so many documents one is held out
: "${OUTPUT_DIR:=}"              # empty: pretrained_model/albert_own_v1 in CURRENT_PWD
: "${INIT_CHECKPOINT:=}"         # a model to go on from; empty: random weights
: "${SPM_MODEL_FILE:=}"          # SentencePiece model; without it and VOCAB_FILE one is trained
: "${VOCAB_FILE:=}"              # vocabulary for WordPiece
: "${VOCAB_SIZE:=30000}"         # of the vocabulary that is trained
: "${DO_LOWER_CASE:=True}"       # False: a cased model
: "${ALBERT_CONFIG:=}"           # albert_config.json; empty: made from SIZE
: "${SIZE:=base}"                # tiny, base, large, xlarge or xxlarge
: "${NUM_LAYERS:=}"              # in place of SIZE's, as the next two
: "${HIDDEN_SIZE:=}"             # a multiple of NUM_HEADS
: "${NUM_HEADS:=}"
: "${MAX_SEQ_LENGTH:=512}"       # longest sequence in tokens
: "${NUM_GPUS:=1}"
: "${TRAIN_BATCH_SIZE:=32}"      # sequences that a GPU takes at a time
: "${GLOBAL_BATCH_SIZE:=4096}"   # sequences of an update: of all GPUs, one batch after the other
: "${NUM_TRAIN_STEPS:=125000}"   # updates
: "${NUM_TRAIN_EPOCHS:=}"        # in place of NUM_TRAIN_STEPS
: "${WARMUP_PROPORTION:=0.025}"  # share of the updates with linear warm-up
: "${LEARNING_RATE:=0.00176}"    # suits a global batch of 4096
: "${PRECISION:=fp32}"           # fp32, bf16 or fp16
: "${SAVE_CHECKPOINTS_STEPS:=1000}"

RUNNER=pretraining
# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"
check_runner_flags "$@"

[[ $INPUT_TEXT ]] || die "INPUT_TEXT is empty: name files of text, such as INPUT_TEXT='corpus/*.txt'."
for name in HELD_OUT VOCAB_SIZE NUM_LAYERS HIDDEN_SIZE NUM_HEADS MAX_SEQ_LENGTH NUM_GPUS \
  TRAIN_BATCH_SIZE GLOBAL_BATCH_SIZE; do
  [[ ${!name} =~ ^([1-9][0-9]*)?$ ]] || die "$name=${!name} must be a whole number, 1 or more."
done
[[ $SIZE =~ ^(tiny|base|large|xlarge|xxlarge)$ ]] ||
  die "SIZE=$SIZE must be one of tiny, base, large, xlarge, xxlarge."
batch=$((TRAIN_BATCH_SIZE * NUM_GPUS))
((GLOBAL_BATCH_SIZE % batch == 0)) ||
  die "GLOBAL_BATCH_SIZE=$GLOBAL_BATCH_SIZE must be a multiple of $batch, TRAIN_BATCH_SIZE times NUM_GPUS."
output_dir="$(absolute "${OUTPUT_DIR:-$base/pretrained_model/albert_own_v1}")"
[[ $output_dir != *,* ]] || die "OUTPUT_DIR=$output_dir must not have a comma."
data="$output_dir/data"

# Prints the first of the files that is there.
first_of() { # path...
  local path
  for path in "$@"; do
    [[ ! -e $path ]] || { printf '%s\n' "$path" && return; }
  done
}
if [[ $INIT_CHECKPOINT ]]; then
  folder="$(dirname -- "$INIT_CHECKPOINT")"
  if [[ -d $INIT_CHECKPOINT ]]; then
    folder="$INIT_CHECKPOINT"
    [[ ! -e $folder/model.ckpt-best.index ]] || INIT_CHECKPOINT="$folder/model.ckpt-best"
  fi
  [[ $SPM_MODEL_FILE || $VOCAB_FILE ]] ||
    SPM_MODEL_FILE="$(first_of "$folder"/{30k-clean,spiece}.model)"
  [[ $SPM_MODEL_FILE || $VOCAB_FILE ]] || VOCAB_FILE="$(first_of "$folder"/vocab*.txt)"
  [[ $SPM_MODEL_FILE || $VOCAB_FILE ]] ||
    die "$folder, the folder of INIT_CHECKPOINT, has no vocabulary: give SPM_MODEL_FILE or VOCAB_FILE."
  ALBERT_CONFIG="${ALBERT_CONFIG:-$(first_of "$folder"/{albert_config,config}.json)}"
  [[ $ALBERT_CONFIG ]] ||
    die "$folder, the folder of INIT_CHECKPOINT, has no albert_config.json: give ALBERT_CONFIG."
fi
# What has been trained stays with its vocabulary, even if there is more text by now.
if [[ -z $SPM_MODEL_FILE$VOCAB_FILE && -e $output_dir/run.json ]]; then
  SPM_MODEL_FILE="$(first_of "$output_dir"/{30k-clean,spiece}.model)"
fi

python="$(usable_python)"
python="$(absolute "$python")"

prepare() { # call, argument...: calls a function of albert.pretraining.preparation
  "$python" -c "
import sys
from albert.cli import program, quiet
from albert.common import files
from albert.pretraining import preparation
quiet.show_log(0)
_, *given = sys.argv
program.run('pretrain.sh', lambda: preparation.$1, str.upper)
" "${@:2}"
}
make_data() { # name, text, flag...
  "$python" -m albert.create_pretraining_data \
    --input_file="$2" \
    --output_file="$data/$1" \
    --max_seq_length="$MAX_SEQ_LENGTH" \
    --do_lower_case="$DO_LOWER_CASE" \
    "${@:3}"
}

mkdir -p -- "$data"
if [[ -z $EVAL_TEXT ]]; then
  prepare "hold_out(files.matching(given[0], 'input_text'), *given[1:3], int(given[3]))" \
    "$INPUT_TEXT" "$data/train.txt" "$data/dev.txt" "$HELD_OUT"
  INPUT_TEXT="$data/train.txt"
  EVAL_TEXT="$data/dev.txt"
fi
if [[ $SPM_MODEL_FILE$VOCAB_FILE ]]; then
  vocabulary=(${VOCAB_FILE:+--vocab_file="$VOCAB_FILE"} ${SPM_MODEL_FILE:+--spm_model_file="$SPM_MODEL_FILE"})
  make_data train "$INPUT_TEXT" "${vocabulary[@]}"
else
  make_data train "$INPUT_TEXT" --vocab_size="$VOCAB_SIZE"
  SPM_MODEL_FILE="$data/train.model"
  vocabulary=(--spm_model_file="$SPM_MODEL_FILE")
fi
make_data dev "$EVAL_TEXT" "${vocabulary[@]}"
if [[ -z $ALBERT_CONFIG ]]; then
  ALBERT_CONFIG="$data/albert_config.json"
  prepare "write_config(*given[:3], int(given[3]), [int(each or 0) for each in given[4:]])" \
    "$ALBERT_CONFIG" "$SIZE" "$data/train" "$MAX_SEQ_LENGTH" "$NUM_LAYERS" "$HIDDEN_SIZE" "$NUM_HEADS"
fi
if [[ $SPM_MODEL_FILE && ! -e $output_dir/run.json ]]; then
  prepare "install_vocabulary(*given)" "$SPM_MODEL_FILE" "$output_dir"
fi

if [[ $NUM_TRAIN_EPOCHS ]]; then
  duration=--num_train_epochs="$NUM_TRAIN_EPOCHS"
else
  duration=--num_train_steps="$NUM_TRAIN_STEPS"
fi
exec "$python" -m albert.run_multigpus_pretraining \
  --do_train=True \
  --do_eval=True \
  --input_file="$data/train.manifest.json" \
  --eval_file="$data/dev.manifest.json" \
  --output_dir="$output_dir" \
  --cached_dir="$data" \
  --albert_config_file="$ALBERT_CONFIG" \
  "${vocabulary[@]}" \
  ${INIT_CHECKPOINT:+--init_checkpoint="$INIT_CHECKPOINT"} \
  --do_lower_case="$DO_LOWER_CASE" \
  --max_seq_length="$MAX_SEQ_LENGTH" \
  --num_gpu_cores="$NUM_GPUS" \
  --train_batch_size="$TRAIN_BATCH_SIZE" \
  --gradient_accumulation_steps="$((GLOBAL_BATCH_SIZE / batch))" \
  "$duration" \
  --warmup_proportion="$WARMUP_PROPORTION" \
  --learning_rate="$LEARNING_RATE" \
  --precision="$PRECISION" \
  --save_checkpoints_steps="$SAVE_CHECKPOINTS_STEPS" \
  "$@"
