#!/usr/bin/env bash
# Sets up and runs the tests; further arguments go to pytest, whose exit status this is:
#
#   bash scripts/run_tests.sh -k lamb
#   PYTHON=python3.7 bash scripts/run_tests.sh
set -euo pipefail

ROOT="$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
python="$(bash "$ROOT/scripts/setup_env.sh" --dev)"
cd -- "$ROOT"
TF_CPP_MIN_LOG_LEVEL=3 "$python" -W ignore -c '
import platform
import tensorflow
print("Python %s, TensorFlow %s" % (platform.python_version(), tensorflow.__version__))
'
exec "$python" -m pytest "$@"
