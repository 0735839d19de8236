"""What the end-to-end tests of the runners share."""

import json
import os
import pathlib
import re
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
_OUR_LINE = re.compile(r"\d\d:\d\d:\d\d ")


def arguments(values, *switches):
    """Returns the command line of {flag: value} and switches; a value of None leaves a flag out."""
    return [
        *(f"--{name}={value}" for name, value in values.items() if value is not None),
        *(f"--{switch}" for switch in switches),
    ]


def in_one_process(runner, commands):
    """Returns {name: {"status": ..., "stderr": ...}} of {name: arguments}."""
    finished = subprocess.run(
        [sys.executable, str(REPOSITORY / "tests" / "run_in_process.py"), runner],
        input=json.dumps(commands),
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY)),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def foreign_lines(stderr):
    """Returns the lines that are not of our log."""
    return [line for line in stderr.splitlines() if not _OUR_LINE.match(line)]
