"""Writes one HTML page about runs: curves, scores, confusions and the examples that went wrong.

    python -m albert.report albert_output/CoLA
    python -m albert.report albert_output/GLUE_base_v2 --output=glue.html

A folder without a run of its own stands for all runs in the folders below it. The page needs no
network and no other file.
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import os
from typing import Any

from albert.cli import program
from albert.cli.options import check_folder
from albert.common import files
from albert.report import page, runs

_PROG = "report"
FILE_NAME = "report.html"


def _write(arguments: Any) -> None:
    if arguments.output:
        check_folder("output", os.path.dirname(os.path.abspath(arguments.output)))
    folders = runs.find(arguments.output_dirs)
    quiet.has_started()
    found = runs.read(folders)
    folder = found[0].folder if len(found) == 1 else ""
    path = arguments.output or os.path.join(folder, FILE_NAME)
    files.write_text(path, page.render(found))
    print(path)


def main() -> None:
    """Runs the command line."""
    parser = program.Parser(
        prog=_PROG, description="Writes one HTML page about the results of runs."
    )
    parser.add_argument(
        "output_dirs", nargs="+", metavar="OUT", help="output_dir of a run, or a folder of several"
    )
    parser.add_argument(
        "--output",
        help=f"the page (default: {FILE_NAME} in the folder of the run; of several, here)",
    )
    arguments = parser.parse_args()
    quiet.show_log(-1)
    program.run(_PROG, lambda: _write(arguments))


if __name__ == "__main__":
    main()
