#!/usr/bin/env bash
# Makes or reuses a virtual environment for one Python version, such as .venv/py3.11.
#
#   python="$(bash scripts/setup_env.sh)"        with the project's requirements
#   python="$(bash scripts/setup_env.sh --dev)"  with the developers' tools too
#
# Prints the path of the environment's python on stdout and everything else on stderr. PYTHON=python3.9
# (a command or a path) chooses the interpreter. Without it the script takes the first of Python 3.11,
# 3.10, 3.9 and 3.7 that it finds on PATH, then in pyenv, then in uv.
set -euo pipefail

# shellcheck source=scripts/help.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/help.sh"

SUPPORTED=(3.11 3.10 3.9 3.7) # in order of preference
USABLE="Python 3.7, 3.9, 3.10 or 3.11"
ROOT="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"

say() { printf 'setup_env.sh: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

# Prints three lines about an interpreter: version, path, and whether it can make virtual environments.
# For a python in a virtual environment the path is that of the underlying interpreter, since an
# activated .venv/py3.11 must not be rebuilt by its own python. Fails if the command does not run, like
# a pyenv shim whose version is not selected. The program also runs on Python 2, to report its version.
PROBE='
import os, sys
path, base = sys.executable, getattr(sys, "base_prefix", sys.prefix)
underlying = os.path.join(base, "bin", "python%d.%d" % sys.version_info[:2])
if base != sys.prefix and os.access(underlying, os.X_OK):
    path = underlying
try:
    import ensurepip, venv
    makes_venvs = "yes"
except ImportError:
    makes_venvs = "no"
print("%d.%d.%d" % sys.version_info[:3])
print(path)
print(makes_venvs)
'
probe() {
  local found
  found="$("$1" -c "$PROBE" </dev/null 2>/dev/null)" &&
    [[ $found =~ ^[0-9]+\.[0-9]+\.[0-9]+$'\n' ]] && printf '%s\n' "$found"
}

is_supported() { # 3.11.7
  local minor
  for minor in "${SUPPORTED[@]}"; do
    [[ $1 != "$minor".* ]] || return 0
  done
  return 1
}

# Each prints the paths to try for one version (3.11), best first.
on_path() { type -aP "python$1" || true; }
in_pyenv() {
  local root="${PYENV_ROOT:-}"
  [[ -n $root ]] || root="$(pyenv root 2>/dev/null)" || root="${HOME:-}/.pyenv"
  ls -d "$root/versions/$1".*/bin/python 2>/dev/null || true
}
in_uv() { uv python find "$1" 2>/dev/null || true; }

# Prints what probe reports about the first usable interpreter; fails without output if there is none.
find_version() { # 3.11 on_path in_pyenv ...
  local minor="$1" source path found
  for source in "${@:2}"; do
    while IFS= read -r path; do
      found="$(probe "$path")" && [[ $found == "$minor".*yes ]] && printf '%s\n' "$found" && return
    done < <("$source" "$minor")
  done
  return 1
}
find_any() {
  local source minor
  for source in on_path in_pyenv in_uv; do
    for minor in "${SUPPORTED[@]}"; do
      find_version "$minor" "$source" && return
    done
  done
  return 1
}
find_asked() { # the value of PYTHON
  probe "$1" && return
  [[ $1 =~ ^python(3\.[0-9]+)$ ]] && find_version "${BASH_REMATCH[1]}" on_path in_pyenv in_uv
}

why_unusable() { # 3.12.1
  case "$1" in
    3.8.*) echo "no TensorFlow that the project supports runs on it" ;;
    2.* | 3.[0-6].*) echo "it is too old for the project's code" ;;
    *) echo "no TensorFlow that still has Estimator runs on it" ;;
  esac
}

why_not_found() { # the value of PYTHON
  if [[ -e $1 ]] || command -v "$1" >/dev/null; then
    echo "is there, but does not run as a Python"
  else
    echo "is no command and no file"
  fi
}

choose_interpreter() { # sets version and interpreter
  local found makes_venvs
  if [[ -n ${PYTHON:-} ]]; then
    found="$(find_asked "$PYTHON")" ||
      die "PYTHON=$PYTHON $(why_not_found "$PYTHON"); $USABLE can be used."
  else
    found="$(find_any)" ||
      die "found no Python that can be used, neither on PATH nor in pyenv or uv; install $USABLE, or name one with PYTHON=."
  fi
  { read -r version && read -r interpreter && read -r makes_venvs; } <<<"$found"
  is_supported "$version" ||
    die "PYTHON=$PYTHON is Python $version, which cannot be used: $(why_unusable "$version"); $USABLE can."
  [[ $makes_venvs == yes ]] ||
    die "PYTHON=$PYTHON is Python $version without the modules venv and ensurepip; install them (Debian: python${version%.*}-venv), or use another of $USABLE."
}

# A stamp is written when an install is complete, and records what it was made from. It includes the
# environment's path, because the scripts in a moved environment would call the old one; the path has
# its links resolved, so that a checkout that is reached in two ways has one environment.
stamp_of() { # run | dev
  local files=("$ROOT/requirements.txt")
  [[ $1 == run ]] || files+=("$ROOT/requirements-dev.txt" "$ROOT/requirements-onnx.txt")
  printf '%s %s %s' "$version" "$(cat -- "${files[@]}" | cksum)" "$(CDPATH='' cd -- "$venv" && pwd -P)"
}
is_whole() { # run | dev
  [[ -f $venv/stamp-$1 && "$(<"$venv/stamp-$1")" == "$(stamp_of "$1")" ]] &&
    [[ "$("$venv/bin/python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)" == "$version" ]]
}
write_stamp() { # run | dev
  stamp_of "$1" >"$venv/stamp-$1.tmp"
  mv -- "$venv/stamp-$1.tmp" "$venv/stamp-$1"
}

pip_install() {
  local options=(--disable-pip-version-check --no-input)
  [[ -t 2 ]] || options+=(--quiet) # progress is for people
  "$venv/bin/python" -m pip install "${options[@]}" "$@" >&2
}

make_environment() {
  say "making ${venv#"$ROOT"/} with $interpreter (Python $version): a few minutes and 2 GB"
  rm -rf -- "$venv"
  "$interpreter" -m venv "$venv" >&2
  pip_install "pip>=20.3" # older ones do not find current wheels; a newer one is kept
  pip_install -r "$ROOT/requirements.txt"
  write_stamp run
}

add_tools() {
  say "adding the developers' tools to ${venv#"$ROOT"/}"
  rm -f -- "$venv/stamp-run" "$venv/stamp-dev" # if this is interrupted, the environment is made again
  pip_install -r "$ROOT/requirements-dev.txt"
  write_stamp run
  write_stamp dev
}

kind=run
for argument in "$@"; do
  case "$argument" in
    --dev) kind=dev ;;
    *) die "unknown argument $argument; the only one is --dev, and PYTHON= chooses the interpreter." ;;
  esac
done

choose_interpreter
venv="$ROOT/.venv/py${version%.*}"

if ! is_whole "$kind"; then
  mkdir -p -- "$ROOT/.venv"
  if command -v flock >/dev/null; then
    # The children hold the lock too: if this script is killed, a pip still running keeps others out.
    exec 9>"$venv.lock"
    flock --nonblock 9 || { say "waiting for another setup of ${venv#"$ROOT"/}" && flock 9; }
  fi
  is_whole run || make_environment
  [[ $kind == run ]] || is_whole dev || add_tools
fi
printf '%s\n' "$venv/bin/python"
