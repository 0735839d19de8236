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
    threading.Thread(target=time.sleep, args=(30,)).start()
    os.kill(os.getpid(), signal.{name})
    time.sleep(30)
program.run("prog.py", main, interrupted="Interrupted: repeat it.")
"""


def interrupted(before="", name="SIGINT", **more):
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(before=before, name=name)],
        cwd=str(REPOSITORY),
        timeout=20,
        **more,
    )


@pytest.mark.parametrize("before", ["", "quiet.quiet_start(); quiet.has_started()"])
def test_ctrl_c_is_one_line_and_status_130_whatever_threads_are_doing(before):
    end = interrupted(before, stderr=subprocess.PIPE)
    assert (end.returncode, end.stderr) == (130, b"prog.py: Interrupted: repeat it.\n")


def test_sigterm_is_one_line_and_status_143_whatever_threads_are_doing():
    end = interrupted(name="SIGTERM", stderr=subprocess.PIPE)
    assert (end.returncode, end.stderr) == (143, b"prog.py: Interrupted: repeat it.\n")


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
