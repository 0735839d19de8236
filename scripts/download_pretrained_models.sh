#!/usr/bin/env bash
# Downloads pre-trained models into pretrained_model/albert_<size>_<version>/ and checks them:
#
#   bash scripts/download_pretrained_models.sh base_v2 xlarge_v1 large_zh
#   ALBERT_DIR=large VERSION=1 bash scripts/download_pretrained_models.sh    the same as large_v1
#   bash scripts/download_pretrained_models.sh ~/albert_base_v2.tar.gz       unpacks a local archive
#
# Sizes are base, large, xlarge and xxlarge; versions are v1, v2 and zh (Chinese). CURRENT_PWD is the
# folder above pretrained_model/. The English vocabulary, 30k-clean.model and 30k-clean.vocab, is also
# copied to the project's top folder. Complete models are skipped, and the same command resumes a
# download that broke off. ALBERT_DOWNLOAD_URL, or --base_url=, names a mirror; further flags are
# --timeout, --retries and --wait (seconds before the first retry).
set -euo pipefail

# shellcheck source=scripts/environment.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/environment.sh"

: "${ALBERT_DIR:=base}" # base, large, xlarge or xxlarge
: "${VERSION:=2}"       # 1, 2 or zh

is_named=
for argument in "$@"; do
  [[ $argument == -* ]] || is_named=yes
done
if [[ $VERSION == zh ]]; then name="${ALBERT_DIR}_zh"; else name="${ALBERT_DIR}_v$VERSION"; fi
[[ -n $is_named ]] || set -- "$name" "$@"

check_options "output_dir vocabulary_dir base_url timeout retries wait" "$@"
python="$(usable_python)"
exec "$python" -m albert.cli.downloads models \
  --output_dir="$base/pretrained_model" \
  --vocabulary_dir="$ROOT" \
  "$@"
