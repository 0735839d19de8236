"""Downloads the data files of SQuAD."""

import logging
import os
from typing import Iterable, List

from albert.common import files
from albert.common.errors import UsageError
from albert.downloads import transfer
from albert.squad import files as squad_files

_log = logging.getLogger(__name__)

_SQUAD = "https://rajpurkar.github.io/SQuAD-explorer/dataset"
VERSIONS = ("1.1", "2.0")
_SHA256 = {
    "dev-v1.1.json": "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",
}


def download(versions: Iterable[str], data_dir: str, config: transfer.DownloadConfig) -> None:
    """Fetches the train and dev files of versions into `data_dir`; existing files are kept.

    Raises:
        UsageError: a file cannot be fetched, or is not a SQuAD file. Files fetched before it stay.
    """
    for version in versions:
        for name in (f"train-v{version}.json", f"dev-v{version}.json"):
            path = os.path.join(data_dir, name)
            if os.path.exists(path):
                _log.info("%s exists: skipped.", path)
                continue
            with transfer.locked_work_folder(data_dir) as work:
                if not os.path.exists(path):  # another process may have fetched it since
                    _fetch_checked(name, work, path, config)
                    _log.info("%s is ready.", path)


def _fetch_checked(name: str, work: str, path: str, config: transfer.DownloadConfig) -> None:
    url = f"{_SQUAD}/{name}"

    def check_and_move(fetched: List[str]) -> None:
        (source,) = fetched
        if name in _SHA256 and files.sha256(source) != _SHA256[name]:
            raise UsageError(
                f"{config.source_of(url)} is another file: its SHA-256 is not {_SHA256[name]}."
            )
        squad_files.read_squad(source)
        os.replace(source, path)

    transfer.fetch_and_use([url], work, config, check_and_move)
