# Sourced by the scripts that use the user's data and models. Sets
#   ROOT   the project's folder
#   base   the folder of data and models, from CURRENT_PWD
# and makes the package importable from any folder. Relative paths start at the caller's working
# directory.
# shellcheck shell=bash disable=SC2034

# shellcheck source=scripts/help.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/help.sh"

ROOT="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"

: "${CURRENT_PWD:=$ROOT}" # holds pretrained_model/ and the data; results go to albert_output/ in it

die() {
  printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
  exit 1
}
absolute() {
  if [[ $1 == /* ]]; then printf '%s\n' "$1"; else printf '%s\n' "$PWD/$1"; fi
}

# Prints the interpreter that PYTHON names, or else the activated one, if it has TensorFlow; if not,
# the interpreter of the project's own environment.
usable_python() {
  local name="${PYTHON:-python}"
  if command -v "$name" >/dev/null &&
    "$name" -c 'from importlib.util import find_spec as f; raise SystemExit(not (f("tensorflow") and f("sentencepiece")))' 2>/dev/null; then
    command -v "$name"
  else
    bash "$ROOT/scripts/setup_env.sh"
  fi
}

# Runs a command that creates `path`, unless it exists. If the command fails, the last line says what
# to do instead.
fetch() { # path, what to do instead, command...
  local status=0
  [[ ! -e $1 ]] || return 0
  printf '%s: %s is not there: fetching it.\n' "$(basename -- "$0")" "$1" >&2
  "${@:3}" >&2 || status=$?
  [[ $status != 130 ]] || exit 130 # Ctrl-C
  [[ $status == 0 ]] || die "$1 could not be fetched: $2"
}

# Ends the script if a flag is neither RUNNER's nor in MORE_OPTIONS, before anything is made or fetched.
check_runner_flags() { # argument...
  local reference="$ROOT/docs/flags.md" names
  [[ -e $reference ]] || return 0
  names="$(sed -nE "s/^\| \`--([a-z0-9_]+)\` \| (all|[a-z, ]*${RUNNER}[a-z, ]*) \|.*/\1/p" "$reference")"
  check_options "${names//$'\n'/ } flagfile undefok ${MORE_OPTIONS:-}" "$@"
}

# `python -m` searches the working directory first, which may be a checkout of another ALBERT.
if [[ -e albert/__init__.py && ! albert -ef $ROOT/albert ]]; then
  die "the package $PWD/albert hides the project's own: call the script from another folder."
fi

base="$(absolute "$CURRENT_PWD")"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
