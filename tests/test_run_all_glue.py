"""Tests of scripts/run_all_glue.sh and of the module behind it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile

import fake_slurm
import pytest
import runs
import tiny

from albert import run_all_glue
from albert.common.errors import UsageError
from albert.glue.report import Run
from albert.glue.table import GLUE_ROWS, SUBMISSION_SIZES

SCRIPT = runs.REPOSITORY / "scripts" / "run_all_glue.sh"
ALL = "MNLI CoLA SST-2 MRPC STS-B QQP QNLI RTE WNLI"
SIX = "CoLA SST-2 MRPC STS-B RTE WNLI"
# The module with a fake runner. SIGINT has its default effect, as in a terminal.
PROGRAM = f"""
import signal, sys
from albert import run_all_glue
signal.signal(signal.SIGINT, signal.SIG_DFL)
run_all_glue._RUNNER = (sys.executable, "-S", {str(runs.REPOSITORY / "tests" / "fake_runner.py")!r})
run_all_glue.main()
"""


# --- Tasks and seeds


def test_mnli_comes_first_and_the_others_in_the_order_of_the_list():
    assert run_all_glue.tasks_of("wnli COLA,Mnli  cola\nRTE") == ["mnli", "wnli", "cola", "rte"]


def test_every_task_with_training_data_is_allowed():
    assert set(run_all_glue.TASKS) == {
        name for name, row in GLUE_ROWS.items() if "train" in row.splits
    }


@pytest.mark.parametrize(
    "text, message",
    [
        ("RTE CoAL", "TASKS=RTE CoAL: 'CoAL' is not a task to train; allowed: MNLI, CoLA, SST-2, "),
        ("AX", r"TASKS=AX: 'AX' is not a task to train \(AX is predicted by the run of MNLI\); "),
        (" ", "TASKS=  names no task; allowed: MNLI, "),
    ],
)
def test_list_with_a_name_that_is_not_a_task_is_refused(text, message):
    with pytest.raises(UsageError, match=f"^{message}"):
        run_all_glue.tasks_of(text)


def test_seeds_are_numbers_and_each_counts_once():
    assert run_all_glue.seeds_of("3 1,3  2147483647 007") == [3, 1, 2147483647, 7]


@pytest.mark.parametrize("text, seed", [("1 x", "x"), ("-1", "-1"), ("2147483648", None), ("", "")])
def test_list_without_a_valid_seed_is_refused(text, seed):
    seed = text if seed is None else seed
    message = f"^SEEDS={text}: '{seed}' is not a seed; allowed: numbers from 0 to 2147483647.$"
    with pytest.raises(UsageError, match=message):
        run_all_glue.seeds_of(text)


@pytest.mark.parametrize("argument", ["--seed=3", "--seed", "-seed=3"])
def test_flag_that_the_script_sets_is_refused(argument):
    with pytest.raises(UsageError, match=f"{argument} cannot be given: SEEDS decides it."):
        run_all_glue.check_passed_on(["--learning_rate=1", argument])
    run_all_glue.check_passed_on(["--seeded=3", "seed"])


# --- One run after the other


def make_data(folder, tasks):
    """Creates empty data files for tasks, which is enough for a fake runner."""
    for task in tasks:
        for split in GLUE_ROWS[task].splits.values():
            path = folder / split.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


@pytest.fixture
def start(tmp_path):
    """Yields a function that starts the program and returns the process.

    Its arguments are the tasks, the seeds, flags for every run, and what the fake runner does.
    """
    make_data(tmp_path / "data", GLUE_ROWS)
    processes = []

    def started(tasks, seeds, *flags, fake=""):
        own = [f"--tasks={tasks}", f"--seeds={seeds}", "--data_dir=data", "--output_dir=out"]
        own += ["--model=base_v2", "--base_url=http://127.0.0.1:9", "--retries=0"]  # no server
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, *own, *flags],
            cwd=str(tmp_path),
            env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY), FAKE=fake),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:  # it still runs if the test has failed
        process.kill()


class Finished:
    """The exit status, stdout and stderr's lines of a process that has ended."""

    def __init__(self, process):
        self.stdout, stderr = process.communicate(timeout=60)
        self.errors = stderr.splitlines()
        self.status = process.returncode


@pytest.fixture
def run(start):
    """Returns a function of the arguments of `start`: the Finished process."""
    return lambda *arguments, **more: Finished(start(*arguments, **more))


def new_runs(folder):
    """Returns {"task, seed": flags} of the runs since the last call, in order."""
    log = folder / "runs.jsonl"
    if not log.exists():
        return {}
    rows = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    found = {f"{row['task_name']} {row['seed']}": row for row in rows}
    log.unlink()
    return found


def test_mnli_is_run_first_for_each_seed_and_the_small_tasks_start_from_it(run, tmp_path):
    finished = run("RTE CoLA mnli sts-b MRPC", "1 2", "--init_checkpoint=pre", "--device_type=cpu")
    assert finished.status == 0, finished.errors
    runs = new_runs(tmp_path)
    tasks = ["MNLI", "RTE", "CoLA", "STS-B", "MRPC"]
    assert list(runs) == [f"{task} {seed}" for seed in (1, 2) for task in tasks]
    for name, flags in runs.items():
        task, seed = name.split()
        assert flags["output_dir"] == f"out/seed{seed}/{task}"
        assert (flags["data_dir"], flags["device_type"]) == ("data", "cpu")
        from_mnli = task in ("RTE", "STS-B", "MRPC")
        expected = f"out/seed{seed}/MNLI/model.ckpt-best" if from_mnli else "pre"
        assert flags["init_checkpoint"] == expected
        assert ("discard_classifier_weights" in flags) == from_mnli


def test_each_run_has_a_heading_and_only_the_table_is_on_stdout(run):
    finished = run("RTE CoLA", "5 6")
    headings = [line for line in finished.errors if line.startswith("==>")]
    assert headings == [
        "==> RTE, seed 5 (1 of 4)",
        "==> CoLA, seed 5 (2 of 4)",
        "==> RTE, seed 6 (3 of 4)",
        "==> CoLA, seed 6 (4 of 4)",
        "==> Results, also in out/glue_results.txt",
    ]
    assert finished.stdout.splitlines()[0] == "GLUE dev sets, ALBERT base v2, in percent"
    rows = [line.split() for line in finished.stdout.splitlines() if line.startswith("RTE ")]
    assert rows == [["RTE", "accuracy", "2", "5.5", "6.0", "5.5", "0.7", "-"]]


def test_table_is_in_one_order_whatever_order_the_tasks_are_run_in(run):
    finished = run("WNLI RTE SST-2", "5")
    rows = [line.split()[0] for line in finished.stdout.splitlines() if " accuracy " in line]
    assert rows == ["SST-2", "RTE", "WNLI"]


def test_without_mnli_the_small_tasks_start_from_the_pretrained_model_and_say_so(run, tmp_path):
    finished = run("RTE CoLA", "1", "--init_checkpoint=pre")
    runs = new_runs(tmp_path)
    assert [flags["init_checkpoint"] for flags in runs.values()] == ["pre", "pre"]
    said = [line for line in finished.errors if "pre-trained" in line]
    assert said == [
        "RTE, seed 1 starts from the pre-trained model, not from MNLI: there is no "
        "out/seed1/MNLI/model.ckpt-best of a finished run."
    ]


def test_mnli_model_of_an_earlier_call_is_used_if_its_run_has_finished(run, tmp_path):
    run("MNLI", "1")
    run("RTE", "1")
    path = "out/seed1/MNLI/model.ckpt-best"
    assert new_runs(tmp_path)["RTE 1"]["init_checkpoint"] == path
    run("RTE", "2")  # there is none of that seed
    assert "init_checkpoint" not in new_runs(tmp_path)["RTE 2"]
    (tmp_path / "out" / "seed1" / "MNLI" / "test_results.tsv").unlink()
    run("MRPC", "1")
    assert "init_checkpoint" not in new_runs(tmp_path)["MRPC 1"]


def test_finished_runs_are_skipped_and_the_report_is_the_same(run, tmp_path):
    first = run("MNLI RTE", "3")
    assert list(new_runs(tmp_path)) == ["MNLI 3", "RTE 3"]
    again = run("MNLI RTE", "3")
    assert (again.status, again.stdout) == (0, first.stdout)
    assert new_runs(tmp_path) == {}
    line = "(1 of 2): finished before with 7 steps."
    assert again.errors[0] == f"==> MNLI, seed 3 {line}"
    more = run("MNLI RTE WNLI", "4 3")
    assert more.status == 0
    assert list(new_runs(tmp_path)) == ["MNLI 4", "RTE 4", "WNLI 4", "WNLI 3"]


@pytest.mark.parametrize("lost", ["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv", "test_results.tsv"])
def test_run_has_finished_when_all_its_files_are_there(tmp_path, lost):
    run = Run("mnli", 1, str(tmp_path))
    folder = tmp_path / "seed1" / "MNLI"
    folder.mkdir(parents=True)
    names = {"MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv", "test_results.tsv", "submit_results.tsv"}
    make_data(tmp_path / "data", ["ax"])
    for name in names - {lost}:
        (folder / name).touch()
    data_dir = str(tmp_path / "data")
    assert not run_all_glue.has_finished(run, data_dir)
    # The diagnostic set is predicted only where it is there.
    assert run_all_glue.has_finished(run, str(tmp_path)) == (lost == "AX.tsv")
    (folder / lost).touch()
    assert run_all_glue.has_finished(run, data_dir)


@pytest.mark.parametrize("fake, how", [("fail", "status 1"), ("die", "SIGKILL")])
def test_failed_run_ends_the_program_and_the_same_command_goes_on(run, tmp_path, fake, how):
    finished = run("CoLA RTE WNLI", "1 2", fake=f"RTE={fake}")
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.errors[-1] == (
        f"run_all_glue.sh: RTE, seed 1 failed ({how}), see above. Finished runs are kept: "
        "correct the cause and repeat the command, or leave the run out by TASKS or SEEDS."
    )
    assert list(new_runs(tmp_path)) == ["CoLA 1", "RTE 1"]
    assert run("CoLA RTE WNLI", "1 2").status == 0
    assert list(new_runs(tmp_path)) == ["RTE 1", "WNLI 1", "CoLA 2", "RTE 2", "WNLI 2"]


def test_missing_data_is_fetched_before_the_first_run(run, tmp_path):
    (tmp_path / "data" / "diagnostic" / "diagnostic.tsv").unlink()
    (tmp_path / "data" / "diagnostic").rmdir()
    finished = run("CoLA MNLI", "1")
    assert (finished.status, new_runs(tmp_path)) == (1, {})
    assert finished.errors[0] == "run_all_glue.sh: data/diagnostic is not there: fetching it."
    assert "127.0.0.1:9/AX.tsv: no connection" in finished.errors[-1]
    assert run("CoLA", "1").status == 0  # which needs no diagnostic set


@pytest.mark.parametrize("flag", ["--seed=1", "--task_name=RTE"])
def test_mistake_ends_in_one_line_before_the_first_run(run, tmp_path, flag):
    finished = run("CoLA", "1", flag)
    (line,) = finished.errors
    assert line.startswith(f"run_all_glue.sh: {flag} cannot be given: ")
    assert (finished.status, new_runs(tmp_path)) == (1, {})


# --- Signals


def wait_for(path, process=None):
    """Returns the text of a file as soon as a process has written it."""
    deadline = time.monotonic() + 30
    while not path.exists() or not path.read_text(encoding="utf-8"):
        assert (process is None or process.poll() is None) and time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text(encoding="utf-8")


def to_process(process, number):
    os.kill(process.pid, number)


def to_group(process, number):  # as a terminal does at Ctrl-C
    os.killpg(process.pid, number)


@pytest.mark.parametrize("send, name", [(to_group, "SIGINT"), (to_process, "SIGTERM")])
def test_signal_reaches_the_run_and_ends_the_program(start, tmp_path, send, name):
    number = getattr(signal, name)
    process = start("CoLA RTE WNLI", "1", fake="RTE=wait")
    folder = tmp_path / "out" / "seed1" / "RTE"
    wait_for(folder / "waiting", process)
    send(process, number)
    finished = Finished(process)
    assert finished.status == 128 + number
    assert json.loads((folder / "received").read_text(encoding="utf-8")) == [number]
    assert list(new_runs(tmp_path)) == ["CoLA 1", "RTE 1"]
    assert finished.stdout == ""
    assert finished.errors[-1] == (
        "run_all_glue.sh: stopped in RTE, seed 1; the same command resumes from there."
    )


def test_second_ctrl_c_reaches_the_run_too(start, tmp_path):
    process = start("RTE", "1", fake="RTE=wait_for_two")
    folder = tmp_path / "out" / "seed1" / "RTE"
    wait_for(folder / "waiting", process)
    for _ in range(2):
        to_group(process, signal.SIGINT)
        time.sleep(0.1)
    assert Finished(process).status == 130
    received = json.loads((folder / "received").read_text(encoding="utf-8"))
    assert received == [signal.SIGINT] * 2


def test_signal_to_the_run_alone_ends_the_program_too(start, tmp_path):
    process = start("CoLA RTE", "1", fake="CoLA=wait")
    os.kill(int(wait_for(tmp_path / "out/seed1/CoLA/waiting", process)), signal.SIGTERM)
    assert Finished(process).status == 143
    assert list(new_runs(tmp_path)) == ["CoLA 1"]


# --- Side by side


TWO = ("--gpus_per_run=1", "--device_type=cpu", "--num_gpu_cores=2")


def test_runs_go_on_side_by_side_and_leave_what_one_after_the_other_does(run, tmp_path):
    finished = run("CoLA RTE", "5", *TWO, fake="CoLA=meet RTE=meet")
    assert finished.status == 0, finished.errors
    assert sorted(new_runs(tmp_path)) == ["CoLA 5", "RTE 5"]
    text = (tmp_path / "out" / "glue_results.txt").read_text(encoding="utf-8")
    assert finished.stdout == text
    for line in ("==> CoLA, seed 5 (1 of 2) on the CPU", "==> RTE, seed 5 (2 of 2) on the CPU"):
        task = line[4:].split(",")[0]
        assert f"{line}, log in out/seed5/{task}/run.log" in finished.errors
    ends = [line for line in finished.errors if " finished in " in line]
    assert [re.sub(r"\w+, seed 5 finished in 00:\d\d", "", line) for line in ends] == [
        "==> , accuracy 0.0500; 1 of 2 done.",
        "==> , accuracy 0.0500; 2 of 2 done.",
    ]


def test_mnli_of_every_seed_starts_before_all_others(run, tmp_path):
    finished = run("CoLA RTE MNLI", "1 2", *TWO, fake="MNLI=meet")
    assert finished.status == 0, finished.errors
    found = new_runs(tmp_path)
    assert sorted(list(found)[:2]) == ["MNLI 1", "MNLI 2"]
    for seed in (1, 2):
        path = f"out/seed{seed}/MNLI/model.ckpt-best"
        assert found[f"RTE {seed}"]["init_checkpoint"] == path


def test_each_run_gets_its_own_of_the_users_gpus(run, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-7,MIG-a/1")
    gpus = ("--gpus_per_run=1", "--num_gpu_cores=2")
    finished = run("CoLA RTE", "1", *gpus, fake="CoLA=meet RTE=meet")
    assert finished.status == 0, finished.errors
    found = new_runs(tmp_path)
    assert sorted(flags["devices"] for flags in found.values()) == ["3", "GPU-7"]
    assert {flags["num_gpu_cores"] for flags in found.values()} == {"1"}


def test_without_the_flag_the_devices_of_a_run_are_what_the_user_says(run, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    run("CoLA", "1", "--num_gpu_cores=2")
    (flags,) = new_runs(tmp_path).values()
    assert (flags["devices"], flags["num_gpu_cores"]) == ("3,5", "2")


def test_others_go_on_after_a_failure_but_for_those_that_start_from_it(run, tmp_path):
    finished = run("MNLI CoLA RTE WNLI", "1", *TWO, fake="MNLI=fail")
    assert (finished.status, finished.stdout) == (1, "")
    assert sorted(new_runs(tmp_path)) == ["CoLA 1", "MNLI 1", "WNLI 1"]
    assert "    it is broken" in finished.errors
    assert finished.errors[-1] == (
        "run_all_glue.sh: MNLI, seed 1 failed (status 1); RTE, seed 1 was not started: it needs "
        "one that failed, see above. Finished runs are kept: correct the cause and repeat the "
        "command, or leave the run out by TASKS or SEEDS."
    )
    again = run("MNLI CoLA RTE WNLI", "1", *TWO)
    assert again.status == 0
    assert sorted(new_runs(tmp_path)) == ["MNLI 1", "RTE 1"]


@pytest.mark.parametrize("send, name", [(to_group, "SIGINT"), (to_process, "SIGTERM")])
def test_signal_reaches_every_run_once_and_the_same_command_goes_on(start, tmp_path, send, name):
    process = start("CoLA RTE WNLI", "1", *TWO, fake="CoLA=wait RTE=wait")
    folders = [tmp_path / "out" / "seed1" / task for task in ("CoLA", "RTE")]
    for folder in folders:
        wait_for(folder / "waiting", process)
    send(process, getattr(signal, name))
    finished = Finished(process)
    assert finished.status == 128 + getattr(signal, name)
    for folder in folders:
        received = json.loads((folder / "received").read_text(encoding="utf-8"))
        assert received == [getattr(signal, name)]
    assert sorted(new_runs(tmp_path)) == ["CoLA 1", "RTE 1"]
    line = "run_all_glue.sh: stopped in {} and {}; the same command resumes from there."
    names = ["CoLA, seed 1", "RTE, seed 1"]
    assert finished.errors[-1] in (line.format(*names), line.format(*names[::-1]))


def test_second_signal_reaches_every_run_too(start, tmp_path):
    process = start("CoLA RTE", "1", *TWO, fake="CoLA=wait_for_two RTE=wait_for_two")
    folders = [tmp_path / "out" / "seed1" / task for task in ("CoLA", "RTE")]
    for folder in folders:
        wait_for(folder / "waiting", process)
    for _ in range(2):
        to_process(process, signal.SIGINT)
        time.sleep(0.1)
    assert Finished(process).status == 130
    for folder in folders:
        received = json.loads((folder / "received").read_text(encoding="utf-8"))
        assert received == [signal.SIGINT] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such signal")
@pytest.mark.parametrize("flags", [TWO, ()])
def test_runs_are_told_when_the_program_is_killed(start, tmp_path, flags):
    process = start("CoLA", "1", *flags, fake="CoLA=wait")
    folder = tmp_path / "out" / "seed1" / "CoLA"
    wait_for(folder / "waiting", process)
    process.kill()
    assert json.loads(wait_for(folder / "received")) == [signal.SIGTERM]


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--gpus_per_run=0",), "argument --gpus_per_run: 0 is not a number of devices, from 1 up"),
        (("--gpus_per_run=-1",), "argument --gpus_per_run: -1 is not a number of devices, from"),
        (("--gpus_per_run=x",), "argument --gpus_per_run: x is not a number of devices, from 1 up"),
        ((*TWO, "--gpus_per_run=3"), "--gpus_per_run=3 is more than the 2 device(s)."),
        (("--slurm", "--strategy_type=multi_worker"), "--strategy_type=multi_worker excludes --g"),
        (("--dry_run", "--slurm"), "argument --slurm: not allowed with argument --dry_run"),
    ],
)
def test_impossible_request_is_one_line(run, tmp_path, flags, message):
    finished = run("CoLA", "1", *flags)
    (line,) = finished.errors
    assert line.startswith(f"run_all_glue.sh: {message}")
    assert (finished.status, new_runs(tmp_path)) == (1, {})


# --- Without a run


def test_plan_shows_what_is_done_and_left_and_starts_and_fetches_nothing(run, tmp_path):
    run("MNLI CoLA", "1")
    new_runs(tmp_path)
    (tmp_path / "data" / "diagnostic" / "diagnostic.tsv").rename(tmp_path / "elsewhere")
    (tmp_path / "data" / "WNLI" / "train.tsv").unlink()
    for task, step in (("CoLA", 5), ("RTE", 3)):
        folder = tmp_path / "out" / "seed2" / task
        folder.mkdir(parents=True)
        (folder / f"model.ckpt-{step}.index").touch()
    before = sorted(tmp_path.rglob("*"))
    finished = run("MNLI CoLA RTE WNLI", "1 2", "--dry_run", *TWO)
    assert (finished.status, finished.errors) == (0, [])
    assert sorted(tmp_path.rglob("*")) == before
    rows = [re.split("  +", line) for line in finished.stdout.splitlines()]
    assert rows == [
        ["run", "waits for", "state", "training left"],
        ["MNLI, seed 1", "finished", "00:00"],
        ["MNLI, seed 2", "new", "00:14"],  # 7 steps of 4 examples, 2 examples/s
        ["CoLA, seed 1", "finished", "00:00"],
        ["RTE, seed 1", "MNLI, seed 1", "new", "not known"],
        ["WNLI, seed 1", "new", "not known"],
        ["CoLA, seed 2", "goes on at step 5", "00:04"],
        ["RTE, seed 2", "MNLI, seed 2", "goes on at step 3", "not known"],
        ["WNLI, seed 2", "new", "not known"],
        [""],
        ["2 runs at a time, on the CPU."],
        [
            "Training left, one run after the other: 00:18, not counting 4 run(s) without a known "
            "speed."
        ],
    ]


def test_report_shows_what_has_finished(run, tmp_path):
    assert run("CoLA RTE", "1", "--report").errors == [
        "0 of 2 runs have finished; the others do not count.",
        "run_all_glue.sh: --report: no run has finished.",
    ]
    run("CoLA", "1")
    new_runs(tmp_path)
    finished = run("CoLA RTE", "1", "--report")
    assert finished.errors[0] == "1 of 2 runs have finished; the others do not count."
    assert (finished.status, new_runs(tmp_path)) == (0, {})
    assert [line for line in finished.stdout.splitlines() if line.startswith("CoLA")]
    assert not [line for line in finished.stdout.splitlines() if line.startswith("RTE")]


def test_slurm_runs_all_and_the_small_tasks_start_from_mnli(run, tmp_path, monkeypatch):
    finished = run("MNLI CoLA RTE", "1 2", "--slurm", "--gpus_per_run=2", "--init_checkpoint=pre")
    assert (finished.status, finished.stdout, new_runs(tmp_path)) == (0, "", {})
    path = tmp_path / "out" / "slurm" / "submit.sh"
    assert finished.errors == [f"6 run(s) to submit, and their report: bash {path}"]
    programs = tmp_path / "programs"
    programs.mkdir()
    fake_slurm.install(programs)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    subprocess.run(["bash", str(path)], cwd="/", check=True, stdout=subprocess.DEVNULL)
    found = new_runs(tmp_path)
    assert list(found) == ["MNLI 1", "CoLA 1", "MNLI 2", "CoLA 2", "RTE 1", "RTE 2"]
    assert {flags["num_gpu_cores"] for flags in found.values()} == {"2"}
    assert found["RTE 2"]["init_checkpoint"] == "out/seed2/MNLI/model.ckpt-best"
    assert "discard_classifier_weights" in found["RTE 2"]
    assert found["CoLA 2"]["init_checkpoint"] == "pre"
    report = (tmp_path / "out" / "glue_results.txt").read_text(encoding="utf-8")
    assert report in (tmp_path / "out" / "slurm" / "report.log").read_text(encoding="utf-8")


# --- The script


@pytest.fixture
def script(tmp_path):
    """Returns a function of (arguments, settings): the finished script, called from tmp_path.

    In place of Python it runs a program that prints its arguments, one a line.
    """
    fake = tmp_path / "fake python"
    fake.write_text('#!/usr/bin/env bash\n[[ $1 == -c ]] || printf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    (tmp_path / "my data" / "pretrained_model" / "albert_large_v1").mkdir(parents=True)

    def finished(*arguments, **settings):
        environment = dict(os.environ, PYTHON=str(fake), CURRENT_PWD="my data")
        environment.update(settings, ALBERT_DIR="large", VERSION="1")
        return subprocess.run(
            ["bash", str(SCRIPT), *arguments],
            cwd=str(tmp_path),
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return finished


def arguments_of(finished):
    assert (finished.returncode, finished.stderr) == (0, "")
    module, *arguments = finished.stdout.splitlines()[1:]
    assert module == "albert.run_all_glue"
    return arguments


def test_script_runs_all_tasks_by_their_recipes(script, tmp_path):
    arguments = arguments_of(script())
    home = f"{tmp_path}/my data"
    expected = {
        f"--tasks={ALL}",
        "--seeds=42",
        "--model=large_v1",
        f"--data_dir={home}/glue_data",
        f"--output_dir={home}/albert_output/GLUE_large_v1",
        f"--init_checkpoint={home}/pretrained_model/albert_large_v1/model.ckpt-best",
        "--do_eval=True",
        "--recipe",
    }
    assert expected <= set(arguments)
    text = " ".join(arguments)
    assert not re.search(r"--(\w+_batch_size|max_seq_length|learning_rate|train_step)", text)


def test_settings_of_the_script_are_passed_on_and_flags_come_last(script):
    settings = {"TASKS": "RTE  WNLI", "SEEDS": "1 2", "BS": "3", "EBS": "5", "MSL": "77"}
    arguments = arguments_of(script("--learning_rate=1", "--cached_dir=a b", LR="2e-4", **settings))
    assert arguments[-2:] == ["--learning_rate=1", "--cached_dir=a b"]
    expected = ["--tasks=RTE  WNLI", "--seeds=1 2", "--train_batch_size=3", "--eval_batch_size=5"]
    expected += ["--predict_batch_size=5", "--max_seq_length=77", "--learning_rate=2e-4"]
    assert set(expected) <= set(arguments)


def test_script_runs_side_by_side_on_all_gpus_unless_told_how_many(script):
    assert "--num_gpu_cores=2" in arguments_of(script())
    alone = arguments_of(script("--gpus_per_run=1"))
    assert "--gpus_per_run=1" in alone
    assert not [word for word in alone if word.startswith("--num_gpu_cores")]
    assert "--num_gpu_cores=3" in arguments_of(script("--gpus_per_run=1", NUM_GPUS="3"))


@pytest.mark.parametrize("option", ["--dry_run", "--report"])
def test_script_fetches_no_model_where_nothing_runs(script, tmp_path, option):
    (tmp_path / "my data" / "pretrained_model" / "albert_large_v1").rmdir()
    assert option in arguments_of(script(option))
    finished = script("--slurm", ALBERT_DOWNLOAD_URL="nowhere")
    assert "albert_large_v1 is not there: fetching it." in finished.stderr


@pytest.fixture
def home(shared_data, tmp_path):
    """Returns a folder with the real data of six tasks, the real vocabulary and a tiny model."""
    model = tmp_path / "my data" / "pretrained_model" / "albert_base_v2"
    model.mkdir(parents=True)
    tiny.write_model(model, vocab_size=30000)
    for name in ("30k-clean.model", "30k-clean.vocab"):
        (model / name).symlink_to(shared_data / "spm" / name)
    (tmp_path / "my data" / "glue_data").symlink_to(shared_data / "glue_data")
    return tmp_path / "my data"


@pytest.mark.slow
def test_six_real_tasks_end_in_the_table_and_the_zip_file_and_are_not_run_twice(home):
    def run_script():
        settings = {"CURRENT_PWD": "my data", "TASKS": SIX, "EBS": "200", "MSL": "32", "BS": "8"}
        return subprocess.run(
            ["bash", str(SCRIPT), "--device_type=cpu", "--train_step=3", "--warmup_step=1"],
            cwd=str(home.parent),
            env=dict(os.environ, PYTHON=sys.executable, NUM_GPUS="2", **settings),
            capture_output=True,
            text=True,
            timeout=600,
        )

    first = run_script()
    assert first.returncode == 0, first.stderr
    rows = [line.split() for line in first.stdout.splitlines()]
    metrics = {tuple(row[:2]): row[2:] for row in rows if row and row[0] in SIX.split()}
    assert list(metrics) == [
        *(("CoLA", metric) for metric in ("matthews_corr", "accuracy")),
        ("SST-2", "accuracy"),
        *(("MRPC", metric) for metric in ("accuracy", "f1")),
        *(("STS-B", metric) for metric in ("pearson", "spearman")),
        *(("RTE", "accuracy"), ("WNLI", "accuracy")),
    ]
    assert metrics["SST-2", "accuracy"][-1] == "92.9"
    assert "refuse" not in first.stdout
    assert "==> RTE, seed 42 (5 of 6)" in first.stderr.splitlines()

    root = home / "albert_output" / "GLUE_base_v2"
    assert (root / "glue_results.txt").read_text(encoding="utf-8") == first.stdout
    with zipfile.ZipFile(str(root / "submission.zip")) as archive:
        assert archive.namelist() == [f"{task}.tsv" for task in SIX.split()]
        for name in archive.namelist():
            lines = archive.read(name).decode().splitlines()
            assert lines[0] == "index\tprediction"
            numbers = [int(line.split("\t")[0]) for line in lines[1:]]
            assert numbers == list(range(SUBMISSION_SIZES[name]))

    again = run_script()
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert again.stderr.count("finished before with 3 steps.") == 6
    assert len(again.stderr.splitlines()) == 6 + 1  # and where the results are: nothing else ran
