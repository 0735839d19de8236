#!/usr/bin/env bash
# Sets up an environment and runs the tests in it. Arguments are passed to pytest, whose exit status
# is returned:
#
#   bash scripts/run_tests.sh -k lamb
#   PYTHON=python3.7 bash scripts/run_tests.sh
set -euo pipefail

# shellcheck source=scripts/help.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/help.sh"

ROOT="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
python="$(bash "$ROOT/scripts/setup_env.sh" --dev)"
cd -- "$ROOT"
TF_CPP_MIN_LOG_LEVEL=3 "$python" -W ignore -c '
import platform
import tensorflow
print("Python %s, TensorFlow %s" % (platform.python_version(), tensorflow.__version__))
'
# Two workers, since most of the time goes into building graphs, which uses one core. They share the
# work by file, since the tests of a file share runs.
exec "$python" -m pytest --numprocesses=2 --dist=loadfile "$@"
