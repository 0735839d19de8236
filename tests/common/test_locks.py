"""Tests of albert.common.locks: one process at a time writes into an output_dir."""

import errno
import fcntl
import os
import socket
import subprocess
import sys

import pytest
import runs

from albert.common import locks
from albert.common.errors import UsageError


@pytest.fixture
def holder(tmp_path):
    with runs.lock_held_elsewhere(tmp_path) as process:
        yield process


def test_a_second_process_is_refused_in_one_line_that_names_the_first(tmp_path, holder):
    with pytest.raises(UsageError) as error:
        with locks.held(str(tmp_path)):
            pass
    assert str(error.value) == (
        f"output_dir={tmp_path} is in use by process {holder.pid} on {socket.gethostname()}, which "
        "trains or evaluates there: wait until it ends, or use another folder."
    )


def test_the_lock_is_free_right_after_sigkill_though_a_child_of_the_holder_lives(tmp_path, holder):
    holder.kill()
    holder.wait()
    os.kill(holder.child, 0)
    with locks.held(str(tmp_path)):
        pass


def is_refused_elsewhere(folder):
    """Returns whether another process is refused the lock."""
    code = "import sys; from albert.common import locks as l; l.held(sys.argv[1]).__enter__()"
    process = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY)),
        stderr=subprocess.PIPE,
        timeout=60,
    )
    assert process.returncode == 0 or b"UsageError" in process.stderr
    return process.returncode != 0


def test_one_process_can_hold_the_lock_twice_in_turn_and_others_are_refused_meanwhile(tmp_path):
    for _ in range(2):
        with locks.held(str(tmp_path)):
            assert is_refused_elsewhere(tmp_path)
        assert not is_refused_elsewhere(tmp_path)


def test_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with locks.held(str(tmp_path)):
            raise ZeroDivisionError
    assert not is_refused_elsewhere(tmp_path)


def test_a_file_system_without_locks_is_reported_and_used(tmp_path, monkeypatch, caplog):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with locks.held(str(tmp_path)):
        pass
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{tmp_path} cannot be locked (No locks available): make sure that no other process trains "
        "there."
    )


def test_a_folder_that_cannot_be_written_to_is_an_error_of_one_line(tmp_path):
    with pytest.raises(UsageError, match="^output_dir=.*gone: No such file or directory.$"):
        with locks.held(str(tmp_path / "gone")):
            pass


def test_files_of_one_folder_have_turns_of_their_own(tmp_path):
    code = (
        "import sys\nfrom albert.common import locks\n"
        "with locks.turn(sys.argv[1]):\n    print('mine', flush=True)\n    input()\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a")],
        env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert first.stdout.readline() == b"mine\n"
    with locks.turn(str(tmp_path / "b")):
        pass
    first.communicate(b"\n", timeout=60)
    with locks.turn(str(tmp_path / "a")):
        pass


def test_a_folder_that_cannot_be_written_to_needs_no_turns(tmp_path):
    with locks.turn(str(tmp_path / "gone" / "a")):
        pass
