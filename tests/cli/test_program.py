"""Tests of albert.cli.program: what a command prints when it fails, and its exit status."""

import errno
import os
import pathlib
import subprocess
import sys

import pytest

from albert.cli import program
from albert.common.errors import UsageError

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def raising(error):
    def main():
        raise error

    return main


def ended(capsys, error, **more):
    """Returns the exit status and the line on stderr of a program whose main raises an error."""
    with pytest.raises(SystemExit) as end:
        program.run("prog.py", raising(error), **more)
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    return end.value.code, line


def test_mistake_of_the_user_is_one_line_and_status_1(capsys):
    error = UsageError("<seed> must be 0 or more.", seed=-1)
    assert ended(capsys, error) == (1, "prog.py: --seed=-1 must be 0 or more.")


def test_mistake_names_the_flag_that_sets_the_setting(capsys):
    error = UsageError("<train_steps> must be 1 or more.", train_steps=0)
    line = ended(capsys, error, flag_of=lambda setting: f"--{setting[:-1]}")[1]
    assert line == "prog.py: --train_step=0 must be 1 or more."


@pytest.mark.parametrize(
    "error, line",
    [
        (OSError(errno.EACCES, "Permission denied", "x/y"), "prog.py: x/y: Permission denied."),
        (OSError(errno.ENOSPC, "No space left"), "prog.py: the disk: No space left."),
    ],
)
def test_file_that_fails_the_program_is_one_line_and_status_1(capsys, error, line):
    assert ended(capsys, error) == (1, line)


def test_program_explains_errors_of_its_own(capsys):
    explained = {"explain": lambda error: f"{error} is full."}
    assert ended(capsys, RuntimeError("It"), **explained) == (1, "prog.py: It is full.")


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("no file, no number")])
def test_bug_keeps_its_traceback(capsys, error):
    with pytest.raises(type(error)):
        program.run("prog.py", raising(error))
    assert capsys.readouterr().err == ""


def test_exit_status_of_the_program_stays():
    with pytest.raises(SystemExit) as end:
        program.run("prog.py", raising(SystemExit(143)))
    assert end.value.code == 143


INTERRUPTED = """
import os, signal, sys, threading, time
from albert.cli import program, quiet
{before}
def main():
    {first}
    threading.Thread(target=time.sleep, args=(30,)).start()
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(30)
    except KeyboardInterrupt:
        {handler}
program.run("prog.py", main, interrupted="Interrupted: repeat it.")
"""
STATUS = {"SIGINT": 130, "SIGTERM": 143}
every_signal = pytest.mark.parametrize("name", STATUS)


def interrupted(name="SIGINT", before="", first="", handler="raise", **more):
    """Returns how a program ends that sends itself a signal; the others are lines of it."""
    script = INTERRUPTED.format(name=name, before=before, first=first, handler=handler)
    return subprocess.run([sys.executable, "-c", script], cwd=str(REPOSITORY), timeout=20, **more)


@every_signal
@pytest.mark.parametrize(
    "lines",
    [
        {},
        {"before": "quiet.quiet_start(); quiet.has_started()"},
        {"before": "quiet.quiet_start()", "first": "quiet.has_started()"},  # as runners do
    ],
)
def test_a_signal_is_one_line_and_its_status_whatever_threads_are_doing(name, lines):
    end = interrupted(name, **lines, stderr=subprocess.PIPE)
    assert (end.returncode, end.stderr) == (STATUS[name], b"prog.py: Interrupted: repeat it.\n")


@every_signal
def test_an_error_that_a_signal_has_caused_is_no_bug(name):
    # Raised inside a lock's own code, KeyboardInterrupt leaves the lock in a state that fails.
    error = 'raise RuntimeError("cannot notify on un-acquired lock")'
    end = interrupted(name, handler=error, stderr=subprocess.PIPE)
    assert (end.returncode, end.stderr) == (STATUS[name], b"prog.py: Interrupted: repeat it.\n")


def test_ctrl_c_is_status_130_where_nobody_reads_stderr():
    reader, writer = os.pipe()
    os.close(reader)
    end = interrupted(stderr=writer)
    os.close(writer)
    assert end.returncode == 130


def test_program_has_a_stderr_though_it_was_closed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    program.run("prog.py", lambda: sys.stderr.write("x"))


def test_mistake_on_the_command_line_is_one_line_and_status_1(capsys):
    with pytest.raises(SystemExit) as end:
        program.Parser(prog="prog.py").parse_args(["--colour"])
    assert end.value.code == 1
    assert capsys.readouterr().err == "prog.py: unrecognized arguments: --colour\n"
