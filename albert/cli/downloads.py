"""The commands that download data sets and models, and the flags they share.

download_glue_data.py, scripts/download_squad.sh and scripts/download_pretrained_models.sh call

    python -m albert.cli.downloads {glue,squad,models} ...
"""

import argparse
import os
import sys

from albert.cli import program, quiet
from albert.downloads import glue as download_glue
from albert.downloads import squad as download_squad
from albert.downloads import transfer
from albert.glue.table import folder_of


def parser(prog: str, description: str) -> program.Parser:
    """Returns an argument parser with the flags that all downloads share."""
    made = program.Parser(prog=prog, description=description, allow_abbrev=False)
    made.add_argument(
        "--base_url",
        default=os.environ.get("ALBERT_DOWNLOAD_URL") or None,
        help="a mirror that serves all files by their base names (default: ALBERT_DOWNLOAD_URL, "
        "or the official addresses)",
    )
    for name, kind, what in (
        ("timeout", float, "seconds to wait for a connection, and for the next bytes"),
        ("retries", int, "how often to try again when no further bytes have arrived"),
        ("wait", float, "seconds before the first retry; doubled before each further one"),
    ):
        default = getattr(transfer.DownloadConfig, name)
        made.add_argument(
            f"--{name}", type=kind, default=default, help=f"{what} (default: %(default)s)"
        )
    return made


def config(arguments: argparse.Namespace) -> transfer.DownloadConfig:
    """Returns the DownloadConfig of parsed arguments."""
    return transfer.DownloadConfig(
        arguments.base_url, arguments.timeout, arguments.retries, arguments.wait
    )


def glue() -> None:
    """Runs download_glue_data.py."""
    made = parser("download_glue_data.py", "Downloads the GLUE tasks into one folder each.")
    made.add_argument(
        "--data_dir", default="glue_data", help="folder for the tasks (default: %(default)s)"
    )
    made.add_argument(
        "--tasks",
        default="all",
        help=f"comma-separated: {', '.join(map(folder_of, download_glue.URLS))} "
        "(default: %(default)s)",
    )
    made.add_argument(
        "--path_to_mrpc",
        help="folder with msr_paraphrase_train.txt and msr_paraphrase_test.txt, to use instead of "
        "downloading them",
    )
    arguments = made.parse_args()
    program.run_resumable(
        made.prog,
        lambda: download_glue.download(
            download_glue.parse_tasks(arguments.tasks),
            arguments.data_dir,
            config(arguments),
            arguments.path_to_mrpc,
        ),
    )


def squad() -> None:
    """Runs scripts/download_squad.sh."""
    made = parser("download_squad.sh", "Downloads the data files of SQuAD.")
    made.add_argument("versions", nargs="*", metavar="version", help="1.1 or 2.0 (default: both)")
    made.add_argument(
        "--data_dir", default="squad_data", help="folder for the files (default: %(default)s)"
    )
    arguments = made.parse_intermixed_args()
    for version in arguments.versions:
        if version not in download_squad.VERSIONS:
            allowed = ", ".join(download_squad.VERSIONS)
            made.error(f"{version!r} is not a version of SQuAD; allowed: {allowed}.")
    versions = arguments.versions or download_squad.VERSIONS
    program.run_resumable(
        made.prog,
        lambda: download_squad.download(versions, arguments.data_dir, config(arguments)),
    )


def models() -> None:
    """Runs scripts/download_pretrained_models.sh."""
    made = parser("download_pretrained_models.sh", "Downloads pre-trained models.")
    made.add_argument(
        "models",
        nargs="+",
        metavar="model",
        help="base, large, xlarge or xxlarge, with _v1, _v2 or _zh, such as base_v2; or the path "
        "of an archive, albert_base_v2.tar.gz",
    )
    made.add_argument(
        "--output_dir",
        default="pretrained_model",
        help="folder for the models (default: %(default)s)",
    )
    made.add_argument(
        "--vocabulary_dir",
        default=".",
        help="folder for 30k-clean.model and 30k-clean.vocab (default: %(default)s)",
    )
    arguments = made.parse_intermixed_args()
    program.run_resumable(made.prog, lambda: _install(arguments))


def _install(arguments: argparse.Namespace) -> None:
    quiet.ready_tensorflow()
    # Checking a checkpoint needs TensorFlow, which takes seconds to import; other downloads do not.
    from albert.downloads import models as download_models

    download_models.silence_tensorflow()
    for request in arguments.models:
        download_models.parse_request(request)  # a wrong name is reported before any download
    for request in arguments.models:
        download_models.install(
            request, arguments.output_dir, arguments.vocabulary_dir, config(arguments)
        )


COMMANDS = {"glue": glue, "squad": squad, "models": models}


def main() -> None:
    """Runs the command that the first argument names, with the arguments after it."""
    name = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if name not in COMMANDS:
        program.fail("downloads.py", f"{name!r} is not one of {', '.join(COMMANDS)}.")
    COMMANDS[name]()


if __name__ == "__main__":
    main()
