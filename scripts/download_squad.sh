#!/usr/bin/env bash
# Downloads the data files of SQuAD into squad_data/ and checks them:
#
#   bash scripts/download_squad.sh          train and dev of both versions
#   bash scripts/download_squad.sh 2.0
#
# CURRENT_PWD is the folder above squad_data/. Existing files are skipped, and the same command resumes
# a download that broke off. ALBERT_DOWNLOAD_URL, or --base_url=, names a mirror; further flags are
# --timeout, --retries and --wait (seconds before the first retry).
set -euo pipefail

# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

check_options "data_dir base_url timeout retries wait" "$@"
python="$(usable_python)"
exec "$python" -m albert.cli.downloads squad --data_dir="$base/squad_data" "$@"
