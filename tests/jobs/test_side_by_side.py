"""Tests of albert.jobs.side_by_side: what starts when, and how the ends of runs are reported.

tests/test_run_all_glue.py tests signals, through a program.
"""

import json
import logging
import os
import sys

import pytest

from albert.common.errors import UsageError
from albert.jobs import side_by_side
from albert.jobs.devices import Slot
from albert.jobs.job import Job

TWO = [Slot("GPU 0", ["--a"], {"ALBERT_SLOT": "0"}), Slot("GPU 1", ["--b"], {"ALBERT_SLOT": "1"})]


@pytest.fixture
def log(caplog):
    """Returns a function: the log lines so far."""
    caplog.set_level(logging.INFO, logger="albert")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def job(tmp_path):
    """Returns a function of a name, more fields of its Job, and code: a Job that runs the code.

    It has finished when there is a file of its name. The code creates that by default, and notes
    when it starts, with its slot and arguments.
    """

    def made(name, *waits_for, code="open(name, 'w').close()", **more):
        start = f"""
import os, sys
name = {str(tmp_path / name)!r}
with open({str(tmp_path / "started")!r}, "a") as writer:
    print(os.path.basename(name), os.environ.get("ALBERT_SLOT"), *sys.argv[1:], file=writer)
"""
        command = [sys.executable, "-S", "-c", start + code]
        more.setdefault("has_finished", (tmp_path / name).exists)
        folder = str(tmp_path / f"folder of {name}")
        return Job(name, folder, lambda: command, kind=0, waits_for=waits_for, **more)

    return made


@pytest.fixture
def started(tmp_path):
    """Returns a function: the lines that jobs have noted."""
    return lambda: (tmp_path / "started").read_text(encoding="utf-8").splitlines()


def test_one_slot_runs_one_after_the_other_in_the_order_given(job, started, log, capfd):
    jobs = [job(name, code=f"print('{name} speaks'); open(name, 'w').close()") for name in "bac"]
    outcome = side_by_side.run(jobs, [Slot()])
    assert outcome == side_by_side.Outcome({}, [], [], None)
    assert started() == ["b None", "a None", "c None"]
    assert log() == ["==> b (1 of 3)", "==> a (2 of 3)", "==> c (3 of 3)"]
    assert capfd.readouterr().out.split("\n") == ["b speaks", "a speaks", "c speaks", ""]


def test_every_slot_gives_its_arguments_and_variables_to_one_run_at_a_time(job, started):
    """Four jobs wait until another has come; with one slot used twice none would."""
    wait = """
import time
folder = os.path.dirname(name)
open(name, "w").close()
deadline = time.time() + 20
other = {"a": "b", "b": "a", "c": "d", "d": "c"}[os.path.basename(name)]
while not os.path.exists(os.path.join(folder, other)):
    time.sleep(0.01)
    if time.time() > deadline: sys.exit(3)
"""
    outcome = side_by_side.run([job(name, code=wait) for name in "abcd"], TWO)
    assert outcome.failed == {}
    lines = sorted(started())
    assert [line[0] for line in lines] == list("abcd")
    assert (
        {line[2:] for line in lines[:2]} == {line[2:] for line in lines[2:]} == {"0 --a", "1 --b"}
    )


def test_output_goes_to_a_log_that_a_second_call_adds_to(job, tmp_path, capfd):
    speaking = [job(name, code="print('said', file=sys.stderr)") for name in "ab"]
    for _ in range(2):
        side_by_side.run(speaking, TWO)
    assert capfd.readouterr() == ("", "")
    for name in "ab":
        path = tmp_path / f"folder of {name}" / "run.log"
        assert path.read_text(encoding="utf-8") == "said\nsaid\n"


def test_what_others_wait_for_starts_first_and_ends_before_they_start(job, started):
    jobs = [job("a"), job("b", "m"), job("c"), job("m")]
    assert [job.name for job in side_by_side.in_order(jobs, 2)] == ["m", "a", "b", "c"]
    assert [job.name for job in side_by_side.in_order(jobs, 1)] == ["a", "b", "c", "m"]
    slow = "import time; time.sleep(0.3); open(name, 'w').close()"
    check = "sys.exit(not os.path.exists(os.path.join(os.path.dirname(name), 'm')))"
    outcome = side_by_side.run([job("m", code=slow), job("b", "m", code=check), job("c")], TWO)
    assert outcome.failed == {}
    assert [line[0] for line in started()][-1] == "b"


def test_jobs_that_have_finished_do_not_start(job, started, tmp_path, log):
    (tmp_path / "a").touch()
    side_by_side.run([job("a"), job("b", "a")], TWO)
    assert [line[0] for line in started()] == ["b"]
    assert log()[0] == "==> a (1 of 2): finished before."


def test_end_is_reported_with_the_best_metric(job, tmp_path, log):
    folder = tmp_path / "folder of a"
    folder.mkdir()
    best = {"step": 3, "metrics": {"f1": 0.25}}
    stored = {"settings": {}, "best_metric": "f1", "best": best}
    stored["evaluations"] = [dict(best, dataset="")]
    (folder / "eval_results.json").write_text(json.dumps(stored), encoding="utf-8")
    side_by_side.run([job("a"), job("b", "a")], TWO)
    assert log()[1].startswith("==> a finished in 00:0") and log()[1].endswith(
        ", f1 0.2500; 1 of 2 done."
    )
    assert log()[3].endswith("; 2 of 2 done.")


def test_one_slot_starts_nothing_after_a_failure_unless_told_to(job, started):
    jobs = [job("a", code="sys.exit(3)"), job("b"), job("c", "a")]
    assert side_by_side.run(jobs, [Slot()]).failed == {"a": "status 3"}
    assert [line[0] for line in started()] == ["a"]
    outcome = side_by_side.run(jobs, [Slot()], goes_on=True)
    assert (outcome.failed, outcome.not_started) == ({"a": "status 3"}, ["c"])
    assert [line[0] for line in started()] == ["a", "a", "b"]


def test_failure_on_several_slots_shows_the_end_of_its_log(job, log):
    code = "print('\\n'.join(map(str, range(20)))); os.kill(os.getpid(), 9)"
    outcome = side_by_side.run([job("a", code=code), job("b", "a"), job("c", "b"), job("d")], TWO)
    assert outcome.failed == {"a": "SIGKILL"}
    assert outcome.not_started == ["b", "c"]
    (lines,) = [line for line in log() if line.startswith("   ")]
    assert lines.split() == [str(number) for number in range(10, 20)]
    message = (
        r"^a failed \(SIGKILL\); b was not started: it needs one that failed; c was not started: "
        "it needs one that failed, see above. Finished runs are kept: correct the cause and repeat "
        "the command, or eat less.$"
    )
    with pytest.raises(UsageError, match=message):
        outcome.check("prog", "eat less")


def test_marker_is_made_when_a_run_has_ended_well(job, tmp_path):
    markers = [str(tmp_path / f"{name} has ended") for name in "ab"]
    side_by_side.run(
        [job("a", marker=markers[0]), job("b", code="sys.exit(1)", marker=markers[1])], TWO
    )
    assert [os.path.exists(marker) for marker in markers] == [True, False]


def test_runs_end_if_the_program_fails(job, tmp_path):
    """The record of `a` is damaged, which is noticed while `b` is at work."""
    folder = tmp_path / "folder of a"
    folder.mkdir()
    (folder / "eval_results.json").write_text("[", encoding="utf-8")
    wait = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: [open(name, "w").close(), sys.exit(1)])
open(name + " waits", "w").close()
time.sleep(60)
"""
    both = f"""
import time
while not os.path.exists({str(tmp_path / "b waits")!r}):
    time.sleep(0.01)
"""
    with pytest.raises(UsageError, match="is not JSON"):
        side_by_side.run([job("a", code=both), job("b", code=wait)], TWO)
    assert (tmp_path / "b").exists()
