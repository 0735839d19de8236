"""Downloads the data files of SQuAD: what scripts/download_squad.sh does."""

import logging
import os

from albert import download_flags, downloads, squad_data

_log = logging.getLogger("albert.download_squad")  # its name as __main__ too

_PROG = "download_squad.sh"
_SQUAD = "https://rajpurkar.github.io/SQuAD-explorer/dataset"
VERSIONS = ("1.1", "2.0")
_SHA256 = {
    "dev-v1.1.json": "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",
}


def download(versions, data_dir, config):
    """Fetches train and dev of versions into `data_dir`; files that are there stay as they are.

    Raises:
        UsageError: a file cannot be had, or is not SQuAD's JSON. Files fetched by then stay.
    """
    for version in versions:
        for name in (f"train-v{version}.json", f"dev-v{version}.json"):
            path = os.path.join(data_dir, name)
            if os.path.exists(path):
                _log.info("%s is there: skipped.", path)
                continue
            with downloads.workplace(data_dir) as work:
                if not os.path.exists(path):  # another process may have made it meanwhile
                    _fetch_checked(name, work, path, config)
                    _log.info("%s is made.", path)


def _fetch_checked(name, work, path, config):
    fetched = downloads.fetch(f"{_SQUAD}/{name}", work, config, _SHA256.get(name))
    with downloads.using_up(fetched):
        squad_data.read_squad(fetched)
        os.replace(fetched, path)


def main():
    parser = download_flags.parser(_PROG, (__doc__ or "").split(":")[0] + ".")
    parser.add_argument("versions", nargs="*", metavar="version", help="1.1 or 2.0 (default: both)")
    parser.add_argument(
        "--data_dir", default="squad_data", help="folder for the files (default: %(default)s)"
    )
    arguments = parser.parse_intermixed_args()
    for version in arguments.versions:
        if version not in VERSIONS:
            parser.error(f"{version!r} is no version of SQuAD; allowed: {', '.join(VERSIONS)}.")
    download_flags.run(
        _PROG,
        lambda: download(
            arguments.versions or VERSIONS, arguments.data_dir, download_flags.config(arguments)
        ),
    )


if __name__ == "__main__":
    main()
