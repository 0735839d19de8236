"""Tests of albert.sweep: mistakes, with a real runner; what it runs, with a fake one; the table."""

import json
import os
import re
import subprocess
import sys

import fake_slurm
import pytest
import runs
import sample_glue

from albert import sweep
from albert.common.errors import UsageError
from albert.engine.results import Recorded
from albert.jobs import results

FAKE = str(runs.REPOSITORY / "tests" / "fake_runner.py")
RUNNER = "albert.run_multigpus_classifier"


def read(*words):
    """Returns the Sweep of a command line with --output_dir=out."""
    end = words.index("--")
    return sweep.read_sweep(words[:end], [*words[end + 1 :], "--output_dir=out"])


@pytest.fixture
def run(tmp_path):
    """Returns a function of arguments: the finished program, called from tmp_path."""

    def finished(*arguments, **settings):
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "albert.sweep", *arguments],
            cwd=str(tmp_path),
            env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY), **settings),
            capture_output=True,
            text=True,
            timeout=60,
        )

    return finished


def started(folder):
    """Returns the flags of the runs since the last call, in order."""
    log = folder / "runs.jsonl"
    rows = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    if rows:
        log.unlink()
    return [json.loads(row) for row in rows]


# --- What to run


def test_every_combination_is_a_run_and_the_last_flag_varies_fastest():
    found = read("--learning_rate=1e-5,2e-5", "--seed=1,2", "--", RUNNER, "--recipe")
    assert found.settings() == [
        {"learning_rate": rate, "seed": seed} for rate in ("1e-5", "2e-5") for seed in ("1", "2")
    ]
    assert found.runner == [sys.executable, "-m", RUNNER]
    assert found.passed_on == ["--recipe", "--output_dir=out"]


@pytest.mark.parametrize(
    "words", [["my/own.py"], ["python", "my/own.py"], ["/usr/bin/python3.7", "my/own.py"]]
)
def test_runner_may_be_a_script_of_ones_own(words):
    assert read("--seed=1", "--", *words).runner == [sys.executable, "my/own.py"]


@pytest.mark.parametrize("words", [["-m", RUNNER], ["python", "-m", RUNNER]])
def test_runner_may_be_written_as_on_a_command_line(words):
    assert read("--seed=1", "--", *words).runner == [sys.executable, "-m", RUNNER]


def test_flag_given_several_times_has_values_with_commas():
    found = read("--label_column=a,b", "--label_column=c", "--seed=1,2,1", "--", RUNNER)
    assert found.values == {"label_column": ["a,b", "c"], "seed": ["1", "2"]}


@pytest.mark.parametrize(
    "settings, name",
    [
        ({"learning_rate": "1e-5", "seed": "1"}, "learning_rate=1e-5,seed=1"),
        ({"learning_rate": "1e-05"}, "learning_rate=1e-05"),
        ({"init_checkpoint": "../a/b"}, "init_checkpoint=..%2Fa%2Fb"),
        ({"label_column": "a,b=c"}, "label_column=a%2Cb%3Dc"),
        ({"text_column": "größe\n"}, "text_column=gr%C3%B6%C3%9Fe%0A"),
    ],
)
def test_folder_is_named_after_the_settings_and_stays_where_it_is(settings, name):
    assert sweep.folder_of(settings) == name


def test_long_names_are_cut_and_stay_apart():
    names = {sweep.folder_of({"a": "x" * 300 + end}) for end in "yz"}
    assert len(names) == 2 and {len(name) for name in names} == {200}


@pytest.mark.parametrize(
    "words, message",
    [
        (["--", RUNNER], "Nothing to vary: give a flag with several values"),
        (["seed=1,2", "--", RUNNER], "'seed=1,2': flags to vary are written --name=value,value."),
        (["--seed", "--", RUNNER], "'--seed': flags to vary are written"),
        (["--seed=1,,2", "--", RUNNER], "--seed=1,,2 has an empty value."),
        (["--seed=1", "--"], "A runner is missing: give -- albert.run_multigpus_classifier"),
        (["--output_dir=a,b", "--", RUNNER], "--output_dir cannot be varied: each run has"),
        (["--num_gpu_cores=1,2", "--", RUNNER], "--num_gpu_cores cannot be varied: --gpus_per_run"),
        (["--seed=1", "--", RUNNER, "--overwrite_output_dir"], "--overwrite_output_dir cannot be"),
        (["--seed=1", "--", RUNNER, "--predict_output_dir=x"], "--predict_output_dir cannot be"),
    ],
)
def test_mistake_is_refused(words, message):
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        read(*words)


def test_folder_of_all_runs_is_required():
    with pytest.raises(UsageError, match="^--output_dir is required, after --.$"):
        sweep.read_sweep(["--seed=1"], [RUNNER])


@pytest.mark.parametrize(
    "varied, message",
    [
        ("--sed=1,2", f"--sed is not a flag of {RUNNER}; --help lists those."),
        (
            "--learning_rate=1e-5,high",
            "run_multigpus_classifier.py: flag --learning_rate=high: could not convert string to "
            "float: 'high'",
        ),
    ],
)
def test_wrong_flag_or_value_is_one_line_before_the_first_run(run, tmp_path, varied, message):
    finished = run("--seed=1", varied, "--", RUNNER, "--do_train", "--output_dir=out")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == f"sweep.py: {message}\n"
    assert list(tmp_path.iterdir()) == []


def test_mistake_in_the_flags_of_every_run_is_one_line_before_the_first_run(run, tmp_path):
    finished = run("--seed=1", "--", RUNNER, "--train_step=x", "--output_dir=out")
    assert (finished.returncode, len(finished.stderr.splitlines())) == (1, 1)
    assert "flag --train_step=x" in finished.stderr
    assert list(tmp_path.iterdir()) == []


# --- The runs


SWEEP = ("--learning_rate=1e-5,2e-5", "--seed=1,2", "--", FAKE, "--output_dir=out")
TWO = ("--gpus_per_run=1",)
ON_CPU = ("--device_type=cpu",)


def test_each_run_has_its_flags_and_folder_and_the_table_comes_last(run, tmp_path):
    finished = run(*SWEEP, "--recipe")
    assert finished.returncode == 0, finished.stderr
    found = started(tmp_path)
    assert [row["output_dir"] for row in found] == [
        f"out/learning_rate={rate},seed={seed}" for rate in ("1e-5", "2e-5") for seed in "12"
    ]
    assert [(row["learning_rate"], row["seed"], row["recipe"]) for row in found[:2]] == [
        ("1e-5", "1", ""),
        ("1e-5", "2", ""),
    ]
    assert {row["cached_dir"] for row in found} == {"out/cached_features"}
    rows = [re.split("  +", line.strip()) for line in finished.stdout.splitlines()]
    assert rows == [
        ["learning_rate", "metric", "mean", "std", "best", "runs"],
        ["1e-5", "accuracy", "0.0150", "0.0071", "0.0200", "2 finished"],
        ["2e-5", "accuracy", "0.0150", "0.0071", "0.0200", "2 finished"],
        [""],
        ["The best run: out/learning_rate=1e-5,seed=2"],
        ["Every run and metric: out/sweep_results.tsv"],
    ]
    lines = (tmp_path / "out" / "sweep_results.tsv").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t") for line in lines[:2]] == [
        ["learning_rate", "seed", "state", "step", "accuracy", "loss", "seconds", "output_dir"],
        ["1e-5", "2", "finished", "7", "0.02", "0.5", "14.0", "out/learning_rate=1e-5,seed=2"],
    ]
    assert len(lines) == 5


def test_folder_of_features_is_the_users_if_one_is_given(run, tmp_path):
    run("--seed=1", "--", FAKE, "--output_dir=out", "--cached_dir=mine")
    assert started(tmp_path)[0]["cached_dir"] == "mine"


def test_finished_runs_are_not_run_again_and_more_values_are_added(run, tmp_path):
    first = run(*SWEEP)
    assert len(started(tmp_path)) == 4
    again = run(*SWEEP)
    assert (again.returncode, again.stdout, started(tmp_path)) == (0, first.stdout, [])
    run("--learning_rate=1e-5,3e-5", "--seed=1", *SWEEP[2:])
    assert [row["output_dir"] for row in started(tmp_path)] == ["out/learning_rate=3e-5,seed=1"]


@pytest.mark.parametrize("flags", [(), TWO])
def test_others_go_on_after_a_failure_and_the_table_shows_it(run, tmp_path, flags):
    name = "learning_rate=2e-5,seed=1"
    finished = run(*flags, *SWEEP, *ON_CPU, FAKE=f"{name}=fail")
    assert finished.returncode == 1
    assert len(started(tmp_path)) == 4
    row = re.split("  +", finished.stdout.splitlines()[1])
    assert row == ["2e-5", "accuracy", "0.0200", "-", "0.0200", "1 failed (status 1), 1 finished"]
    table = (tmp_path / "out" / "sweep_results.tsv").read_text(encoding="utf-8").splitlines()
    assert table[-1].split("\t")[:4] == ["2e-5", "1", "failed (status 1)", ""]
    assert finished.stderr.splitlines()[-1] == (
        f"sweep.py: {name} failed (status 1), see above. Finished runs are kept: correct the cause "
        "and repeat the command, or leave its values out."
    )
    assert run(*flags, *SWEEP, *ON_CPU).returncode == 0
    assert [row["output_dir"] for row in started(tmp_path)] == [f"out/{name}"]


def test_runs_go_on_side_by_side_and_end_in_the_same_table(run, tmp_path):
    expected = run(*SWEEP)
    meeting = " ".join(f"learning_rate={rate},seed=1=meet" for rate in ("1e-5", "2e-5"))
    words = [word.replace("=out", "=other") for word in SWEEP]
    words[:2] = words[1::-1]  # the two that meet start together
    finished = run(*TWO, *words, *ON_CPU, FAKE=meeting.replace("learning", "seed=1,learning"))
    assert finished.returncode == 0, finished.stderr
    assert expected.stdout.splitlines()[:3] == finished.stdout.splitlines()[:3]


def test_plan_starts_nothing(run, tmp_path):
    run("--learning_rate=1e-5", *SWEEP[1:])
    started(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    finished = run("--dry_run", *SWEEP)
    assert (finished.returncode, finished.stderr, sorted(tmp_path.rglob("*"))) == (0, "", before)
    rows = [re.split("  +", line) for line in finished.stdout.splitlines()]
    assert rows[1:5] == [
        ["learning_rate=1e-5,seed=1", "finished", "00:00"],
        ["learning_rate=1e-5,seed=2", "finished", "00:00"],
        ["learning_rate=2e-5,seed=1", "new", "00:14"],
        ["learning_rate=2e-5,seed=2", "new", "00:14"],
    ]
    assert rows[-2:] == [
        ["One run after the other."],
        ["Training left, one run after the other: 00:28."],
    ]


def test_report_shows_what_there_is(run, tmp_path):
    run("--learning_rate=1e-5", "--seed=1", *SWEEP[2:])
    started(tmp_path)
    finished = run("--report", *SWEEP)
    assert (finished.returncode, started(tmp_path)) == (0, [])
    rows = [re.split("  +", line)[-1] for line in finished.stdout.splitlines()]
    assert rows[1:3] == ["1 finished, 1 unfinished", "2 unfinished"]


def test_slurm_runs_what_has_not_finished_and_reports(run, tmp_path, monkeypatch):
    run("--learning_rate=1e-5", "--seed=1", *SWEEP[2:])
    started(tmp_path)
    finished = run("--slurm", *SWEEP)
    assert (finished.returncode, finished.stdout, started(tmp_path)) == (0, "", [])
    path = tmp_path / "out" / "slurm" / "submit.sh"
    assert finished.stderr == f"3 run(s) to submit, and their report: bash {path}\n"
    programs = tmp_path / "programs"
    programs.mkdir()
    fake_slurm.install(programs)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    done = subprocess.run(["bash", str(path)], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [row["num_gpu_cores"] for row in started(tmp_path)] == ["1"] * 3
    report = (tmp_path / "out" / "slurm" / "report.log").read_text(encoding="utf-8")
    assert report.count("2 finished") == 2
    assert "every run has finished" in run("--slurm", *SWEEP).stderr


def results_in(folder):
    """Returns {name: content} of what a run has left, without times and paths."""
    found = {}
    for path in folder.iterdir():
        if path.name == "eval_results.json":
            stored = json.loads(path.read_text(encoding="utf-8"))
            evaluations = [(row["step"], row["metrics"]) for row in stored["evaluations"]]
            found[path.name] = (evaluations, stored["best"])
        elif re.search(r"\.(tsv|jsonl|index|data-.*)$", path.name):
            found[path.name] = path.read_bytes()
    return found


@pytest.mark.slow
def test_real_runs_side_by_side_end_in_the_same_bits_as_alone(run, tmp_path):
    sample_glue.write_glue(tmp_path / "data")
    switches = ["--do_train", "--do_eval", "--do_predict"]

    def flags(output_dir, **more):
        changes = {"train_step": 4, **more}
        given = sample_glue.flags_of(tmp_path / "data", "RTE", output_dir, **changes)
        return [*given, *switches]

    alone = {f"seed={seed}": flags(tmp_path / f"alone {seed}", seed=seed) for seed in (1, 2)}
    runs.in_one_process("run_multigpus_classifier", alone)
    together = flags("together", num_gpu_cores=2)
    finished = run("--gpus_per_run=1", "--seed=1,2", "--", RUNNER, *together)
    assert finished.returncode == 0, finished.stderr
    found = [results_in(tmp_path / f"alone {seed}") for seed in (1, 2)]
    assert "model.ckpt-4.index" in found[0] and "test_results.tsv" in found[0]
    assert found[0]["test_results.tsv"] != found[1]["test_results.tsv"]
    assert found == [results_in(tmp_path / "together" / f"seed={seed}") for seed in (1, 2)]


# --- The table


def row(score, state="finished", greater_is_better=True, **settings):
    best = None if score is None else (1, {"f1": score})
    return results.Row(settings, state, Recorded("f1", greater_is_better, best), "x")


def first_cells(rows, folder):
    lines = results.write(str(folder), rows).splitlines()
    return [re.split("  +", line)[0] for line in lines[1 : lines.index("")]]


@pytest.mark.parametrize("greater_is_better, order", [(True, "bca"), (False, "cba")])
def test_best_mean_comes_first_and_no_result_last(tmp_path, greater_is_better, order):
    rows = [
        row(0.9, "unfinished", greater_is_better, rate="a", seed="1"),
        row(0.2, "finished", greater_is_better, rate="b", seed="1"),
        row(0.6, "finished", greater_is_better, rate="b", seed="2"),
        row(0.3, "finished", greater_is_better, rate="c", seed="1"),
        row(None, "finished", greater_is_better, rate="c", seed="2"),
    ]
    assert first_cells(rows, tmp_path) == list(order)
    best = results.write(str(tmp_path), rows).splitlines()[1]
    assert ("0.6000" in best) == greater_is_better


def test_setting_that_breaks_lines_does_not_break_the_file(tmp_path):
    results.write(str(tmp_path), [row(0.5, text="a\tb\nc")])
    lines = (tmp_path / "sweep_results.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 and lines[1].split("\t")[0] == '"a\\tb\\nc"'
