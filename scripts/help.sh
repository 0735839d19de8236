# Sourced by the scripts before they do anything. Answers --help and -h with the comment at the top of
# the script and its settings, and offers check_options.
# shellcheck shell=bash

settings_in() { # script: prints NAME=default and what it means
  # shellcheck disable=SC2016
  sed -n 's/^: "${\([A-Z_]*\):=\(.*\)}" *#\{0,1\}/  \1=\2 /p' "$1"
}

# Ends the script if an argument is an option that is not among the names.
check_options() { # "name name ...", argument...
  local known=" $1 " argument name
  for argument in "${@:2}"; do
    [[ $argument == -[!0-9.]* ]] || continue # a value, which may be a negative number
    name="${argument#-}" && name="${name#-}" && name="${name%%=*}"
    [[ $known == *" $name "* || $known == *" ${name#no} "* ]] || {
      echo "$(basename -- "$0"): unknown option $argument; --help lists those there are." >&2
      exit 1
    }
  done
}

for argument in "$@"; do
  case "$argument" in
    -h | --help)
      sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
      printf '\n'
      settings_in "$0"
      [[ -z ${RUNNER:-} ]] || {
        ! grep -q '/pretrained.sh"$' "$0" || settings_in "$(dirname -- "${BASH_SOURCE[0]}")/pretrained.sh"
        printf '\nFlags: docs/flags.md, or python -m albert.run_multigpus_%s --help\n' "$RUNNER"
      }
      exit 0
      ;;
  esac
done
