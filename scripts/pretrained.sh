# What the scripts have in common that start from a pre-trained model; they source it. Sets
#   base, model, vocabulary   folders, from CURRENT_PWD, ALBERT_DIR and VERSION
#   python                    an interpreter that has TensorFlow
# and makes the package importable from any folder. Paths are meant from where the script was called.
# shellcheck shell=bash disable=SC2034

ROOT="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"

: "${ALBERT_DIR:=base}"   # base, large, xlarge or xxlarge
: "${VERSION:=2}"         # of the pre-trained model: 1 or 2
: "${CURRENT_PWD:=$ROOT}" # holds the data and pretrained_model/; results go to albert_output/
: "${NUM_GPUS:=2}"

die() {
  printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
  exit 1
}
absolute() {
  if [[ $1 == /* ]]; then printf '%s\n' "$1"; else printf '%s\n' "$PWD/$1"; fi
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

# The vocabulary stands beside the project's README, or where the archive of the model puts it.
vocabulary="$ROOT"
if [[ ! -e $ROOT/30k-clean.model ]]; then vocabulary="$model"; fi

python="$(usable_python)"
python="$(absolute "$python")"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
