"""End-to-end tests of the scripts that fine-tune: from data and a pre-trained model to predictions.

They run as on a user's machine: the checkout is reached through a link, the working directory is
another folder, and all paths have spaces. Starting TensorFlow takes long, so each script runs once
and several tests look at its output.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time
from typing import Dict, NamedTuple, Tuple

import pytest
import runs
import sample_race
import sample_squad
import tensorflow.compat.v1 as tf
import tiny

from albert.squad import files as squad_files

pytestmark = pytest.mark.slow

NUM_DEV, NUM_TEST = 13, 11  # of CoLA; neither a multiple of a batch
NUM_RACE_TEST = 12
CPU = "--device_type=cpu"


class Run(NamedTuple):
    """A script with its settings, and the expected outcome.

    Attributes:
        script: name in scripts/.
        settings: {variable: value} of the environment.
        flags: passed to the runner.
        output: folder in albert_output/.
        batches: the log line about batches and replicas.
        steps: global_step at the end.
    """

    script: str
    settings: Dict[str, str]
    flags: Tuple[str, ...]
    output: str
    batches: str
    steps: int


_SQUAD_FLAGS = (CPU, "--doc_stride=8", "--max_query_length=24")
RUNS = {
    "glue": Run(  # long enough to be stopped in the middle
        "multi_run_albert_glue.sh",
        {"TASK": "cola", "TSP": "60", "WPSP": "1", "BS": "2", "EBS": "3", "MSL": "32"},
        (CPU, "--save_checkpoints_steps=3"),
        "CoLA_base_v2",
        "60 examples, batch 2 on each of 2 replica(s), 4 in all.",
        60,
    ),
    "glue on one device": Run(
        "run_albert_glue.sh",
        {"ALBERT_DIR": "large", "VERSION": "1", "TSP": "4", "WPSP": "1", "MSL": "32"},
        (CPU,),
        "CoLA_large_v1",
        "60 examples, batch 16 on each of 1 replica(s), 16 in all.",
        4,
    ),
    "squad": Run(
        "multi_run_albert_squad.sh",
        {"SQUAD_VERSION": "2.0", "EPOCH": "0.8", "BS": "2", "MSL": "64", "LR": "1e-3"},
        _SQUAD_FLAGS,
        "SQuAD2.0_base_v2",
        "40 examples, batch 2 on each of 2 replica(s), 4 in all.",
        8,
    ),
    "squad on one device": Run(
        "run_albert_squad.sh",
        {"EPOCH": "0.8", "MSL": "64", "TASK": "Quiz"},
        _SQUAD_FLAGS,
        "Quiz1.1_base_v2",
        "30 examples, batch 8 on each of 1 replica(s), 8 in all.",
        3,
    ),
    "race": Run(
        "multi_run_albert_race.sh",
        {"TSP": "4", "WPSP": "1", "BS": "3", "MSL": "64", "MQL": "24", "ALBERT_DP": "0.1"},
        (CPU, "--seed=7"),
        "RACE_base_v2",
        "64 examples, batch 3 on each of 2 replica(s), 6 in all.",
        4,
    ),
    "race on one device": Run(
        "run_albert_race.sh",
        {"TSP": "2", "WPSP": "1", "MSL": "64", "MQL": "24", "TASK": "Quiz"},
        (CPU,),
        "Quiz_base_v2",
        "64 examples, batch 32 on each of 1 replica(s), 32 in all.",
        2,
    ),
}
STOPPED = "glue, stopped"  # "glue" continues it
GLUE_RUNS = [name for name in RUNS if name.startswith("glue")]
SQUAD_RUNS = [name for name in RUNS if name.startswith("squad")]
RACE_RUNS = [name for name in RUNS if name.startswith("race")]


class Scene(NamedTuple):
    """The folders of the runs.

    Attributes:
        checkout: the project, reached through a link.
        home: data and models, CURRENT_PWD.
        working_dir: where the scripts are started.
        files: {path: content} of the checkout before any script runs.
    """

    checkout: pathlib.Path
    home: pathlib.Path
    working_dir: pathlib.Path
    files: Dict[pathlib.Path, bytes]


def write_cola(folder):
    """Writes CoLA of sentences such as "Ann sings a hymn.", half of them in another order."""
    generator = random.Random(0)

    def sentence(label):
        who, song = generator.choice(sample_squad.NAMES), generator.choice(sample_squad.SONGS)
        return (f"A sings {song} {who}.", f"{who.title()} sings a {song}.")[label]

    folder.mkdir(parents=True)
    for split, size in (("train", 60), ("dev", NUM_DEV)):
        rows = (f"made\t{index % 2}\t\t{sentence(index % 2)}\n" for index in range(size))
        (folder / f"{split}.tsv").write_text("".join(rows), encoding="utf-8")
    rows = (f"{index}\t{sentence(index % 2)}\n" for index in range(NUM_TEST))
    (folder / "test.tsv").write_text("index\tsentence\n" + "".join(rows), encoding="utf-8")


def write_home(home):
    """Writes a pre-trained model under two names, and data of all tasks."""
    write_cola(home / "glue_data" / "CoLA")
    (home / "squad_data").mkdir()
    for version in ("1.1", "2.0"):
        for split, size in (("train", 10), ("dev", 5)):
            path = home / "squad_data" / f"{split}-v{version}.json"
            sample_squad.write_squad(path, size, split, version)
    for split, size in (("train", 64), ("dev", 20), ("test", NUM_RACE_TEST)):
        sample_race.write_split(home / "race_data", split, size, split)
    model = home / "pretrained_model" / "albert_base_v2"
    model.mkdir(parents=True)
    words = [*sample_race.WORDS, *sample_squad.VOCABULARY[5:]]
    tiny.write_model(model, vocab_size=tiny.write_vocabulary(model, words))
    shutil.copytree(str(model), str(model.with_name("albert_large_v1")))


def files_below(folder):
    """Returns {path: content} of all files except Python's caches."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Returns the Scene, made once."""
    folder = tmp_path_factory.mktemp("all that a user has")
    names = ("a checkout with spaces", "home with spaces", "working directory")
    checkout, home, working_dir = (folder / name for name in names)
    for path in (checkout, home, working_dir):
        path.mkdir()
    runs.copy_project(checkout)
    (folder / "albert project").symlink_to(checkout)
    write_home(home)
    return Scene(folder / "albert project", home, working_dir, files_below(checkout))


def start(scene, name, *flags, **changes):
    """Starts a run in its own process group and returns the process.

    Args:
        flags: in addition to the run's own.
        changes: to its settings.
    """
    run = RUNS[name]
    settings = dict({"CURRENT_PWD": "../home with spaces"}, **run.settings)
    return subprocess.Popen(
        ["bash", str(scene.checkout / "scripts" / run.script), *run.flags, *flags],
        cwd=str(scene.working_dir),
        env=runs.environment(**dict(settings, **changes)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        universal_newlines=True,
    )


def finish(process):
    """Returns the finished process with its output; kills its process group if it hangs."""
    try:
        stdout, stderr = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def stop_by_ctrl_c(scene, name):
    """Stops a run by Ctrl-C after its first checkpoint; returns the finished process."""
    process = start(scene, name)
    checkpoints = scene.home / "albert_output" / RUNS[name].output
    while not list(checkpoints.glob("model.ckpt-[1-9]*.index")) and process.poll() is None:
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):  # the run has failed; its tests report that
        os.killpg(process.pid, signal.SIGINT)  # a terminal signals the whole foreground group
    return finish(process)


@pytest.fixture(scope="module")
def ran(scene):
    """Returns a function of a name in RUNS, or STOPPED: the finished process. Each runs once."""
    done = {}

    def finished(name):
        if name == "glue":
            finished(STOPPED)
        if name not in done:
            is_stopped = name == STOPPED
            done[name] = stop_by_ctrl_c(scene, "glue") if is_stopped else finish(start(scene, name))
        return done[name]

    return finished


@pytest.fixture(scope="module")
def output(scene, ran):
    """Returns a function of a name in RUNS: the output folder of the finished run."""

    def folder(name):
        assert ran(name).returncode == 0, ran(name).stderr
        return scene.home / "albert_output" / RUNS[name].output

    return folder


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


def json_of(path):
    return json.loads(path.read_text(encoding="utf-8"))


# --- Every script


def test_ctrl_c_ends_a_script_with_status_130_and_a_checkpoint(ran):
    stopped = ran(STOPPED)
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.stderr.splitlines()[-1].endswith("The same command resumes from there.")
    assert runs.foreign_lines(stopped.stderr) == []


def test_the_same_command_continues_where_ctrl_c_stopped_it(ran):
    (step,) = re.findall(r"Stopped; saved as .*model\.ckpt-(\d+)\. ", ran(STOPPED).stderr)
    assert 3 <= int(step) < 60
    assert f"/CoLA_base_v2/model.ckpt-{step}, up to step 60." in ran("glue").stderr


@pytest.mark.parametrize("name", RUNS)
def test_a_script_succeeds_and_prints_only_our_log(ran, name):
    assert ran(name).returncode == 0, ran(name).stderr
    assert ran(name).stdout == ""
    assert runs.foreign_lines(ran(name).stderr) == []


@pytest.mark.parametrize("name", RUNS)
def test_a_script_trains_with_the_replicas_and_batches_of_its_settings(ran, name):
    assert RUNS[name].batches in ran(name).stderr


@pytest.mark.parametrize("name", RUNS)
def test_a_script_starts_from_the_pretrained_model(ran, name):
    begun = ran(STOPPED if name == "glue" else name)
    model = "albert_large_v1" if "large_v1" in RUNS[name].output else "albert_base_v2"
    assert f"/home with spaces/pretrained_model/{model}/model.ckpt-best." in begun.stderr


@pytest.mark.parametrize("name", RUNS)
def test_a_script_trains_for_the_steps_of_its_settings(output, name):
    latest = tf.train.latest_checkpoint(str(output(name)))
    assert latest == str(output(name) / f"model.ckpt-{RUNS[name].steps}")
    assert tf.train.load_checkpoint(latest).get_tensor("global_step") == RUNS[name].steps


@pytest.mark.parametrize("name", RUNS)
def test_a_script_evaluates_every_checkpoint_and_keeps_the_best(output, name):
    results = json_of(output(name) / "eval_results.json")
    assert results["evaluations"][-1]["step"] == RUNS[name].steps
    best = tf.train.load_checkpoint(str(output(name) / "model.ckpt-best"))
    assert best.get_tensor("global_step") == results["best"]["step"]


@pytest.mark.parametrize("name", GLUE_RUNS)
def test_a_glue_script_predicts_every_test_sentence(output, name):
    assert len(lines_of(output(name) / "test_results.tsv")) == NUM_TEST
    for submission in ("submit_results.tsv", "CoLA.tsv"):
        header, *rows = lines_of(output(name) / submission)
        assert header == "index\tprediction"
        assert [row.split("\t")[0] for row in rows] == [str(index) for index in range(NUM_TEST)]


@pytest.mark.parametrize("name", SQUAD_RUNS)
def test_a_squad_script_answers_every_question(scene, output, name):
    version = "2.0" if "2.0" in RUNS[name].output else "1.1"
    data = squad_files.read_squad(str(scene.home / "squad_data" / f"dev-v{version}.json"))
    asked = sorted(question.id for question in data.questions())
    files = ["predictions.json", "nbest_predictions.json"]
    for file in [*files, "null_odds.json"] if version == "2.0" else files:
        assert sorted(json_of(output(name) / file)) == asked


@pytest.mark.parametrize("name", RACE_RUNS)
def test_a_race_script_answers_and_scores_every_test_question(output, name):
    assert len(lines_of(output(name) / "test_results.tsv")) == NUM_RACE_TEST
    assert len(lines_of(output(name) / "submit_results.tsv")) == NUM_RACE_TEST + 1
    metrics = json_of(output(name) / "test_metrics.json")
    assert {"accuracy", "accuracy_middle", "accuracy_high"} < set(metrics)


def test_settings_and_flags_reach_the_runner(output):
    settings = json_of(output("race") / "eval_results.json")["settings"]
    expected = {"max_seq_length": 64, "train_steps": 4, "warmup_steps": 1, "seed": 7}
    assert {name: settings[name] for name in expected} == expected
    settings = json_of(output("squad") / "eval_results.json")["settings"]
    assert (settings["max_seq_length"], settings["learning_rate"]) == (64, 1e-3)


def test_scripts_write_only_to_the_folders_of_results_and_cache(scene, output):
    for name in RUNS:
        output(name)
    assert list(scene.working_dir.iterdir()) == []
    assert files_below(scene.checkout.resolve()) == scene.files
    given = {"glue_data", "squad_data", "race_data", "pretrained_model"}
    written = {path.name for path in scene.home.iterdir()} - given
    assert written == {"albert_output", "cached_albert_tfrecord"}
    outputs = {path.name for path in (scene.home / "albert_output").iterdir()}
    assert outputs == {run.output for run in RUNS.values()}


# --- Mistakes


def test_an_unknown_flag_ends_in_one_line_and_status_1(scene):
    finished = finish(start(scene, "glue on one device", "--colour=red"))
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("run_multigpus_classifier.py: Unknown command line flag 'colour'")


def test_the_race_script_names_the_archive_if_the_data_is_missing(scene):
    home = scene.home.with_name("home without data")
    (home / "pretrained_model" / "albert_base_v2").mkdir(parents=True)
    finished = finish(start(scene, "race", CURRENT_PWD=str(home)))
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    expected = f"multi_run_albert_race.sh: {home}/race_data/RACE is not there: unpack http"
    assert line.startswith(expected)
