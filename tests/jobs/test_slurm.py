"""Tests of albert.jobs.slurm: the scripts, run by a stand-in for Slurm."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import fake_slurm
import pytest

from albert.jobs import slurm
from albert.jobs.job import Job

STOPPABLE = """
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path("stopped").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
pathlib.Path("at work").touch()
time.sleep(60)
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Returns the folder of the stand-in's programs, which come first in PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    fake_slurm.install(folder)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.chdir(tmp_path)
    return folder


def job(name, *waits_for, code="", marker=""):
    code = f"import sys; open('done', 'a').write(sys.argv[1] + '\\n'); {code}"
    command = [sys.executable, "-S", "-c", code, name]
    return Job(name, name, lambda: command, lambda: False, 0, waits_for, marker)


def write(jobs, devices=("gpu", 2), report=("true",)):
    return slurm.write(jobs, slurm.Scripts("prog.sh", "out of/slurm", devices, report))


def submit(path, *options):
    return subprocess.run(
        ["bash", path, *options], cwd="/", capture_output=True, text=True, timeout=60
    )


def test_runs_are_arrays_by_what_they_wait_for_and_the_report_comes_last(cluster, tmp_path):
    jobs = [
        job("m 1"),
        job("r 1", "m 1"),
        job("c"),
        job("m 2"),
        job("r 2", "m 2"),
        job("s 2", "m 2"),
    ]
    report = [sys.executable, "-S", "-c", "open('done', 'a').write('report')"]
    path = write(jobs, report=report)
    assert not (tmp_path / "done").exists()
    finished = submit(path, "--partition=gpu")
    assert finished.returncode == 0, finished.stderr
    text = (tmp_path / "done").read_text(encoding="utf-8")
    assert text.split("\n") == ["m 1", "c", "m 2", "r 1", "r 2", "s 2", "report"]
    calls = [json.loads(line) for line in (cluster / "sbatch.jsonl").read_text().splitlines()]
    assert all(call[:2] == ["--parsable", "--partition=gpu"] for call in calls)
    arrays = [[option for option in call if option[:4] in ("--ar", "--de")] for call in calls]
    assert arrays == [
        ["--array=0,2,3"],
        ["--array=1", "--dependency=afterok:101_0"],
        ["--array=4,5", "--dependency=afterok:101_3"],
        ["--dependency=afterany:101:102:103"],
    ]
    folder = tmp_path / "out of" / "slurm"
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".log") == [
        "101_0.log",
        "101_2.log",
        "101_3.log",
        "102_1.log",
        "103_4.log",
        "103_5.log",
        "report.log",
    ]


def test_what_waits_for_a_failed_run_does_not_start(cluster, tmp_path):
    marker = "out of/m 2/finished"
    (tmp_path / "out of" / "m 2").mkdir(parents=True)
    jobs = [job("m 1", code="sys.exit(4)", marker="out of/no"), job("m 2", marker=marker)]
    submit(write([*jobs, job("r 1", "m 1"), job("r 2", "m 2")]))
    assert (tmp_path / "done").read_text(encoding="utf-8").split() == "m 1 m 2 r 2".split()
    assert (cluster / "ends.txt").read_text().split("\n")[:2] == ["101_0 4", "101_1 0"]
    assert ((tmp_path / "out of" / "no").exists(), (tmp_path / marker).exists()) == (False, True)


def test_a_job_that_is_not_in_the_scripts_is_not_waited_for(cluster, tmp_path):
    """It has finished before."""
    submit(write([job("r", "m")]))
    assert (tmp_path / "done").read_text(encoding="utf-8").split() == ["r"]


@pytest.mark.parametrize(
    "devices, option", [(("gpu", 2), "--gres=gpu:2"), (("cpu", 3), "--cpus-per-task=3")]
)
def test_jobs_ask_for_the_devices_of_a_run_and_for_notice_of_the_time_limit(
    cluster, tmp_path, devices, option
):
    write([job("a")], devices)
    text = (tmp_path / "out of" / "slurm" / "run.sh").read_text(encoding="utf-8")
    options = [line for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert f"#SBATCH {option}" in options
    assert {"#SBATCH --requeue", "#SBATCH --signal=B:USR1@120"} <= set(options)


@pytest.mark.parametrize("number, requeued", [("USR1", ["requeue 7_0"]), ("TERM", None)])
def test_near_the_time_limit_the_run_is_stopped_and_queued_again(
    cluster, tmp_path, number, requeued
):
    write([job("a", code=f"exec({STOPPABLE!r})", marker="finished")])
    process = subprocess.Popen(
        ["bash", "out of/slurm/run.sh"],
        env=dict(os.environ, SLURM_JOB_ID="7_0", SLURM_ARRAY_TASK_ID="0"),
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "at work").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(getattr(signal, f"SIG{number}"))
    try:
        assert process.wait(timeout=30) == 143
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
    assert (tmp_path / "stopped").exists() and not (tmp_path / "finished").exists()
    called = cluster / "scontrol.txt"
    assert (called.read_text().splitlines() if called.exists() else None) == requeued


def test_submission_that_is_refused_ends_the_script(cluster, tmp_path):
    (cluster / "sbatch").write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    finished = submit(write([job("a")]))
    assert (finished.returncode, finished.stderr) == (1, "no such partition\n")


@pytest.mark.skipif(
    not shutil.which("shellcheck", path=os.path.dirname(sys.executable)), reason="needs shellcheck"
)
def test_shellcheck_has_nothing_to_say(cluster):
    folder = os.path.dirname(write([job("a'b\nc"), job("r", "a'b\nc", marker="d e")]))
    names = [os.path.join(folder, name) for name in ("run.sh", "report.sh", "submit.sh")]
    program = os.path.join(os.path.dirname(sys.executable), "shellcheck")
    finished = subprocess.run([program, *names], capture_output=True, text=True)
    assert (finished.returncode, finished.stdout) == (0, "")
