"""The flags all downloads share, and how a download runs."""

import argparse
import logging
import os
import sys

from albert import downloads
from albert.errors import UsageError


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        self.exit(1, f"{self.prog}: {message}\n")


def parser(prog, description):
    """Returns an argument parser with the shared flags."""
    made = _Parser(prog=prog, description=description, allow_abbrev=False)
    made.add_argument(
        "--base_url",
        default=os.environ.get("ALBERT_DOWNLOAD_URL") or None,
        help="a mirror that serves all files by their base names (default: ALBERT_DOWNLOAD_URL, "
        "or the official addresses)",
    )
    for name, kind, what in (
        ("timeout", float, "seconds to wait for a connection, and for the next bytes"),
        ("retries", int, "how often to try again without getting any further"),
        ("wait", float, "seconds before the first retry, doubled for each further one"),
    ):
        default = getattr(downloads.DownloadConfig, name)
        made.add_argument(
            f"--{name}", type=kind, default=default, help=f"{what} (default: %(default)s)"
        )
    return made


def config(arguments):
    """Returns the DownloadConfig of parsed arguments."""
    return downloads.DownloadConfig(
        arguments.base_url, arguments.timeout, arguments.retries, arguments.wait
    )


def run(prog, main):
    """Calls `main()`; the user's mistakes end in one line, status 1."""
    logger = logging.getLogger("albert")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        main()
    except UsageError as error:
        sys.exit(f"{prog}: {error}")
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        sys.exit(f"{prog}: {error.filename or 'the disk'}: {error.strerror}.")
    except KeyboardInterrupt:
        print(f"{prog}: interrupted; the same command goes on from there.", file=sys.stderr)
        sys.exit(130)
