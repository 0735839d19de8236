"""Downloads the data files of SQuAD."""

import logging
import os
from typing import Iterable

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
    fetched = transfer.fetch(f"{_SQUAD}/{name}", work, config, _SHA256.get(name))
    with transfer.removed_after_use(fetched):
        squad_files.read_squad(fetched)
        os.replace(fetched, path)
