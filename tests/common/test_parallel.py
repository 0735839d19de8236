"""Tests of albert.common.parallel."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import runs

from albert.common import parallel
from albert.common.errors import UsageError

ITEMS = list(range(1000))


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(parallel, "num_cores", lambda: 2)


def test_results_come_in_order_from_several_processes():
    results = list(parallel.ordered_map(lambda item: (item * item, os.getpid()), ITEMS))
    assert [square for square, _ in results] == [item * item for item in ITEMS]
    processes = {process for _, process in results}
    assert os.getpid() not in processes
    assert 1 <= len(processes) <= 2


def test_few_items_start_no_process():
    results = parallel.ordered_map(lambda item: os.getpid(), ITEMS[:20])
    assert set(results) == {os.getpid()}


def test_one_core_starts_no_process(monkeypatch):
    monkeypatch.setattr(parallel, "num_cores", lambda: 1)
    assert set(parallel.ordered_map(lambda item: os.getpid(), ITEMS)) == {os.getpid()}


def test_a_platform_that_does_not_fork_starts_no_process(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "spawn")
    assert set(parallel.ordered_map(lambda item: os.getpid(), ITEMS)) == {os.getpid()}


def test_an_exception_is_raised_in_place_of_its_result():
    def check(item):
        if item == 500:
            raise UsageError(f"item {item}")
        return item

    results = parallel.ordered_map(check, ITEMS)
    seen = []
    with pytest.raises(UsageError, match="^item 500$"):
        seen.extend(results)
    assert multiprocessing.active_children() == []


def test_workers_run_only_a_little_ahead_of_a_slow_reader(tmp_path):
    def mark(item):
        (tmp_path / str(item)).touch()
        return item

    results = parallel.ordered_map(mark, ITEMS)
    for _ in range(100):
        next(results)
    time.sleep(0.3)  # long enough to finish all the others
    assert 100 <= len(list(tmp_path.iterdir())) <= 300
    results.close()


def test_the_caller_may_stop_reading_early():
    results = parallel.ordered_map(lambda item: item, ITEMS)
    assert next(results) == 0
    results.close()
    assert multiprocessing.active_children() == []


# A program that writes what two workers compute, for a minute or so, as features are written.
PROGRAM = """
import os, time
from albert.cli import program
from albert.common import files, parallel

parallel.num_cores = lambda: 2

def compute(item):
    time.sleep(0.01)
    return os.getpid()

def main():
    with files.replacing("features") as temporary:
        with open(temporary, "w") as writer:
            for process in parallel.ordered_map(compute, range(10000)):
                print(process, file=writer)
                print(process, flush=True)

program.run("prog.py", main, interrupted="interrupted: repeat it.")
"""


def end_at_work(folder, number, to_group=False):
    """Sends a signal to the program while its workers are at work; returns (status, stderr).

    Returns once the workers have ended, too: until then they keep stdout open.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=str(folder),
        env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    workers = {int(process.stdout.readline()) for _ in range(40)}  # of more than one chunk
    try:
        (os.killpg if to_group else os.kill)(process.pid, number)
        _, stderr = process.communicate(timeout=30)
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    return process.returncode, stderr.decode()


def test_workers_end_after_the_sigkill_of_their_parent(tmp_path):
    assert end_at_work(tmp_path, signal.SIGKILL) == (-signal.SIGKILL, "")


@pytest.mark.parametrize(
    "number, to_group, status",
    [(signal.SIGTERM, False, 143), (signal.SIGTERM, True, 143), (signal.SIGINT, True, 130)],
)
def test_a_signal_ends_program_and_workers_in_one_line_and_leaves_no_file(
    tmp_path, number, to_group, status
):
    assert end_at_work(tmp_path, number, to_group) == (status, "prog.py: interrupted: repeat it.\n")
    assert list(tmp_path.iterdir()) == []


def test_workers_leave_ctrl_c_to_their_parent(monkeypatch):
    monkeypatch.setattr(parallel, "num_cores", lambda: 2)
    ignores = parallel.ordered_map(lambda _: signal.getsignal(signal.SIGINT), ITEMS)
    assert set(ignores) == {signal.SIG_IGN}
