"""What the end-to-end tests of the runners and of the scripts share."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

from albert.report import page
from albert.report import runs as report_runs

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
_OUR_LINE = re.compile(r"\d\d:\d\d:\d\d ")


def arguments(values, *switches):
    """Returns the command line of {flag: value} and switches; a value of None leaves a flag out."""
    return [
        *(f"--{name}={value}" for name, value in values.items() if value is not None),
        *(f"--{switch}" for switch in switches),
    ]


def in_one_process(runner, commands):
    """Runs {name: arguments}; returns {name: {"status": ..., "stdout": ..., "stderr": ...}}."""
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


LOCK_HOLDER = """
import os, sys, time
from albert.common import locks
with locks.held(sys.argv[1]):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def lock_held_elsewhere(folder):
    """Yields a process that holds the lock of a folder, as a run does that converts features.

    Its attribute `child` is the id of a child of its own.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", LOCK_HOLDER, str(folder)],
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY)),
        stdout=subprocess.PIPE,
    )
    process.child = int(process.stdout.readline())
    yield process
    process.kill()
    process.wait()
    os.kill(process.child, signal.SIGKILL)
    process.stdout.close()


def foreign_lines(stderr):
    """Returns the lines that do not come from our log."""
    return [line for line in stderr.splitlines() if not _OUR_LINE.match(line)]


def copy_project(folder):
    """Copies the scripts and the package that a user runs into a folder where they may write.

    The vocabulary that a user's checkout may hold is left out.
    """
    without_caches = shutil.ignore_patterns("__pycache__")
    for name in ("albert", "examples", "scripts"):
        shutil.copytree(str(REPOSITORY / name), str(folder / name), ignore=without_caches)
    for name in (
        "download_glue_data.py",
        "requirements.txt",
        "requirements-dev.txt",
        "requirements-onnx.txt",
    ):
        shutil.copy(str(REPOSITORY / name), str(folder / name))


def report_on(folder):
    """Returns the text of the page about the run in a folder."""
    return page.render(report_runs.read([str(folder)]))


def environment(**settings):
    """Returns the environment of a user: this process's, with settings of the scripts added."""
    # The tests themselves set the variable left out here; it would hide what TensorFlow prints.
    rest = {name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return {**rest, "PYTHON": sys.executable, **settings}
