"""Tests of examples/ and of the scripts that start from a pre-trained model."""

import functools
import importlib.util
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from albert import classifier_utils, tokenization
from albert.glue import table
from albert.squad import files as squad_files

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "examples"


def load(name):
    """Returns a program in examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, str(EXAMPLES / f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*arguments, **more):
    return subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        timeout=120,
        **more,
    )


# --- The data


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example data")
    made = run(sys.executable, EXAMPLES / "make_data.py", f"--output_dir={folder}")
    assert (made.returncode, made.stderr) == (0, "")
    return folder


NAMES = set(load("questions").NAMES)


def words(text):
    return text.replace(".", " ").split()


def rows_of(data_dir, split):
    text = (data_dir / "CoLA" / f"{split}.tsv").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines()]


def test_no_sentence_is_in_two_splits_or_twice_in_one(data_dir):
    train, dev = ([row[3] for row in rows_of(data_dir, split)] for split in ("train", "dev"))
    test = [row[1] for row in rows_of(data_dir, "test")[1:]]
    assert [len(train), len(dev), len(test)] == [20000, 400, 400]
    assert len({*train, *dev, *test}) == 20800


@pytest.mark.parametrize("split", ["train", "dev"])
def test_half_of_the_sentences_are_acceptable(data_dir, split):
    labels = [row[1] for row in rows_of(data_dir, split)]
    assert labels.count("1") == labels.count("0") == len(labels) // 2


def test_nouns_of_either_number_come_before_a_verb(data_dir):
    # Therefore it is not enough to look for a plural: a model must find the subject.
    acceptable = [row[3].split() for row in rows_of(data_dir, "train") if row[1] == "1"]
    with_singular_verb = [words for words in acceptable if {"sleeps", "runs", "sings"} & {*words}]
    nouns = {f"{noun}s" for noun in load("sentences").NOUNS}
    assert any(nouns & {*words} for words in with_singular_verb)


def test_the_data_is_the_same_every_time(data_dir, tmp_path):
    run(sys.executable, EXAMPLES / "make_data.py", f"--output_dir={tmp_path}")
    names = sorted(str(path.relative_to(data_dir)) for path in data_dir.rglob("*.*"))
    assert len(names) == 7
    for name in set(names) - {"spm.model"}:  # contains the folder's name
        assert (tmp_path / name).read_bytes() == (data_dir / name).read_bytes()


def test_the_vocabulary_fits_the_model_and_covers_every_word(data_dir):
    config = json.loads((EXAMPLES / "albert_config.json").read_text(encoding="utf-8"))
    tokenizer = tokenization.FullTokenizer(
        str(data_dir / "spm.vocab"), spm_model_file=str(data_dir / "spm.model")
    )
    assert tokenizer.vocab_size == config["vocab_size"]
    special = tokenizer.convert_tokens_to_ids(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])
    assert special == [0, 1, 2, 3, 4]
    texts = [row[3] for row in rows_of(data_dir, "dev")]
    texts += [f"{context} {row.question}" for context, row in questions_of(data_dir, "dev")]
    for ids in tokenizer.encode_batch(texts):
        assert 1 not in ids
        assert len(ids) + 2 <= config["max_position_embeddings"]


def questions_of(data_dir, split):
    data = squad_files.read_squad(str(data_dir / "SQuAD" / f"{split}-v2.0.json"))
    return [(row.context, question) for row in data.paragraphs for question in row.questions]


def test_some_questions_have_no_answer_and_the_other_answers_are_in_their_context(data_dir):
    rows = questions_of(data_dir, "train")
    assert len(rows) == 12000
    impossible = [question for _, question in rows if question.is_impossible]
    assert 1500 < len(impossible) < 2500
    assert not any(question.answers for question in impossible)
    for context, question in rows:
        for text, begin in question.answers:
            assert context.startswith(text, begin)


def test_answers_depend_on_what_the_context_says(data_dir):
    # Every name both gives and gets, and neither role always has the first name.
    answers = {"gave": set(), "got": set()}
    is_first = {"gave": set(), "got": set()}
    for context, question in questions_of(data_dir, "train"):
        verb = question.question.split()[1]
        if verb in answers:
            ((text, begin),) = question.answers
            answers[verb].add(text)
            is_first[verb].add(
                begin == min(context.index(name) for name in NAMES & set(words(context)))
            )
    assert answers == {"gave": NAMES, "got": NAMES}
    assert is_first == {"gave": {True, False}, "got": {True, False}}


# --- The task of docs/own_tasks.md


def test_the_task_of_the_documents_reads_a_test_file_without_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "OWN_TASKS", {})
    page = (REPOSITORY / "docs" / "own_tasks.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(# my_task.py\n.*?)```", page, re.DOTALL)
    exec(script, {"__name__": "my_task"})
    contents = {"train": "a\tnegative\nb\tpositive\n", "dev": "c\tpositive\n", "test": "d\ne\n"}
    for split, content in contents.items():
        (tmp_path / f"{split}.tsv").write_text(content, encoding="utf-8")
    task = classifier_utils.make_task("polarity", str(tmp_path), None, 16)
    found = {
        split: [(each.guid, each.text_a, each.label) for each in task.examples(split)]
        for split in contents
    }
    assert found == {
        "train": [("0", "a", "negative"), ("1", "b", "positive")],
        "dev": [("0", "c", "positive")],
        "test": [("0", "d", None), ("1", "e", None)],
    }


# --- The table of results


def test_results_are_shown_as_a_table(tmp_path):
    evaluations = [
        {"step": step, "metrics": {"matthews_corr": value, "loss": 0.5}}
        for step, value in ((100, 0.25), (200, 0.75))
    ]
    results = {"evaluations": evaluations, "best": evaluations[1]}
    (tmp_path / "eval_results.json").write_text(json.dumps(results), encoding="utf-8")
    shown = run(sys.executable, EXAMPLES / "show_results.py", tmp_path)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["step", "matthews_corr", "loss"],
        ["100", "0.2500", "0.5000"],
        ["200", "0.7500", "0.5000", "best"],
    ]
    assert max(map(len, lines[:3])) <= 80


def test_existing_files_are_explained(tmp_path):
    best = {"step": 1, "metrics": {"exact": 50.0, "f1": 60.0, "best_f1": 60.0}}
    results = json.dumps({"evaluations": [best], "best": best})
    (tmp_path / "eval_results.json").write_text(results, encoding="utf-8")
    (tmp_path / "predictions.json").write_text("{}", encoding="utf-8")
    shown = run(sys.executable, EXAMPLES / "show_results.py", tmp_path).stdout
    assert shown.splitlines()[0].split() == ["step", "exact", "f1"]
    assert "  predictions.json" in shown
    assert "  test_results.tsv" not in shown
    command = shlex.split(shown.splitlines()[-1].split(": ", 1)[1])
    assert command[1:] == ["--logdir", os.path.relpath(str(tmp_path))]
    assert pathlib.Path(command[0]).samefile(pathlib.Path(sys.executable).parent / "tensorboard")


def test_missing_results_are_named(tmp_path):
    shown = run(sys.executable, EXAMPLES / "show_results.py", tmp_path)
    assert shown.returncode == 1
    assert shown.stderr.splitlines() == [
        f"show_results.py: {tmp_path}/eval_results.json: No such file or directory."
    ]


# --- The scripts that start from a pre-trained model


RUN_SCRIPTS = set(REPOSITORY.glob("scripts/*run_*.sh"))
RUN_SCRIPTS -= {REPOSITORY / "scripts/run_benchmarks.sh"}  # makes the environment of its peer


@pytest.mark.parametrize("path", sorted(RUN_SCRIPTS), ids=str)
def test_run_scripts_install_nothing_and_name_no_particular_machine(path):
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"\b(?:sudo|pip3?|apt(?:-get)?|conda)\b|/home/|/Users/|/root/", text)
    assert found == []


@pytest.fixture
def script(tmp_path):
    """Returns a function of (name, arguments, settings): the finished script.

    Instead of Python the script runs a program that prints its arguments, one per line, and fails
    if they ask for a download.
    """
    fake = tmp_path / "fake python"
    fake.write_text(
        '#!/usr/bin/env bash\n[[ $1 == -c ]] || printf "%s\\n" "$@"\n[[ $* != *download* ]]\n'
    )
    fake.chmod(0o755)
    for folder in ("glue_data/CoLA", "glue_data/RTE", "squad_data", "race_data/RACE"):
        (tmp_path / "home" / folder).mkdir(parents=True)
    for version in ("1.1", "2.0"):
        for split in ("train", "dev"):
            (tmp_path / "home" / "squad_data" / f"{split}-v{version}.json").touch()
    for model in ("albert_base_v2", "albert_large_v1"):
        (tmp_path / "home" / "pretrained_model" / model).mkdir(parents=True)

    def finished(name, *arguments, **settings):
        environment = dict(os.environ, PYTHON=str(fake), CURRENT_PWD="home")
        environment.update(settings)
        path = REPOSITORY / "scripts" / name
        return run("bash", path, *arguments, cwd=str(tmp_path), env=environment)

    return finished


@pytest.fixture
def glue_script(script):
    return functools.partial(script, "multi_run_albert_glue.sh")


def flags_of(finished, runner="run_multigpus_classifier"):
    assert finished.returncode == 0, finished.stderr
    module, *given = finished.stdout.splitlines()[1:]
    assert module == f"albert.{runner}"
    return dict(argument[2:].split("=", 1) for argument in given)


def test_the_glue_script_has_the_published_settings_of_cola(glue_script, tmp_path):
    given = flags_of(glue_script())
    expected = {
        "task_name": "CoLA",
        "num_gpu_cores": "2",
        "train_batch_size": "8",
        "learning_rate": "1e-05",
        "train_step": "5336",
        "warmup_step": "320",
        "max_seq_length": "512",
        "albert_dropout_prob": "0",
    }
    assert {name: given[name] for name in expected} == expected
    home = f"{tmp_path}/home"
    assert given["data_dir"] == f"{home}/glue_data"
    assert given["output_dir"] == f"{home}/albert_output/CoLA_base_v2"
    assert given["init_checkpoint"] == f"{home}/pretrained_model/albert_base_v2/model.ckpt-best"


def test_every_setting_of_the_glue_script_can_be_overridden(glue_script):
    settings = {
        "TASK": ("RTE", "task_name"),
        "NUM_GPUS": ("4", "num_gpu_cores"),
        "BS": ("3", "train_batch_size"),
        "EBS": ("5", "eval_batch_size"),
        "MSL": ("77", "max_seq_length"),
        "LR": ("2e-4", "learning_rate"),
        "ALBERT_DP": ("0.1", "albert_dropout_prob"),
        "WPSP": ("9", "warmup_step"),
        "TSP": ("99", "train_step"),
    }
    values = {name: value for name, (value, _) in settings.items()}
    given = flags_of(glue_script(ALBERT_DIR="large", VERSION="1", **values))
    for value, flag in settings.values():
        assert given[flag] == value
    assert given["albert_config_file"].endswith("albert_large_v1/albert_config.json")


def test_the_glue_script_runs_on_the_requested_python_only(glue_script, tmp_path):
    activated = tmp_path / "bin"
    activated.mkdir()
    (activated / "python").symlink_to(tmp_path / "fake python")
    path = f"{activated}:{os.environ['PATH']}"
    assert glue_script(PATH=path, PYTHON="").returncode == 0
    finished = glue_script(PATH=path, PYTHON="none")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "PYTHON=none is no command and no file" in finished.stderr


def test_the_glue_script_passes_flags_to_the_runner(glue_script):
    assert flags_of(glue_script("--device_type=cpu"))["device_type"] == "cpu"


@pytest.mark.parametrize(
    "settings, missing",
    [
        ({"ALBERT_DIR": "xlarge"}, "home/pretrained_model/albert_xlarge_v2"),
        ({"CURRENT_PWD": "elsewhere"}, "elsewhere/pretrained_model/albert_base_v2"),
        ({"TASK": "WNLI"}, "home/glue_data/WNLI"),
        ({"TASK": "AX"}, "home/glue_data/diagnostic"),
    ],
)
def test_the_glue_script_names_what_is_missing_and_cannot_be_fetched(
    glue_script, tmp_path, settings, missing
):
    finished = glue_script(**settings)
    assert (finished.returncode, finished.stdout) == (1, "")
    first, *_, last = finished.stderr.splitlines()
    path = f"{tmp_path}/{missing}"
    assert first == f"multi_run_albert_glue.sh: {path} is not there: fetching it."
    assert last.startswith(f"multi_run_albert_glue.sh: {path} could not be fetched: put the ")


def test_a_script_refuses_to_run_another_package_albert_in_the_working_directory(script, tmp_path):
    (tmp_path / "albert").symlink_to(REPOSITORY / "albert")
    assert script("multi_run_albert_glue.sh").returncode == 0
    (tmp_path / "albert").unlink()
    (tmp_path / "albert").mkdir()
    assert script("multi_run_albert_glue.sh").returncode == 0  # a folder that is not a package
    (tmp_path / "albert" / "__init__.py").touch()
    for name in ("multi_run_albert_glue.sh", "download_squad.sh"):
        refused = script(name)
        assert (refused.returncode, refused.stdout) == (1, "")
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"{name}: the package {tmp_path}/albert hides the project's own:")


@pytest.mark.parametrize("task", table.GLUE_ROWS)
def test_the_glue_script_accepts_a_task_in_any_case(glue_script, tmp_path, task):
    home = tmp_path / "without data"
    (home / "pretrained_model" / "albert_base_v2").mkdir(parents=True)
    folder = home / "glue_data" / table.folder_of(task)
    for name in (task, task.upper()):
        refused = glue_script(TASK=name, CURRENT_PWD=str(home))
        assert f"{folder} is not there: fetching it." in refused.stderr
    folder.mkdir(parents=True)
    for name in (task, task.upper(), task.title()):
        given = flags_of(glue_script(TASK=name, CURRENT_PWD=str(home)))
        assert given["task_name"] == ("AX" if task == "ax" else table.folder_of(task))
        assert given["output_dir"] == f"{home}/albert_output/{given['task_name']}_base_v2"


def test_every_setting_of_the_squad_script_can_be_overridden(script, tmp_path):
    settings = {
        "SQUAD_VERSION": ("2.0", "squad_version"),
        "NUM_GPUS": ("4", "num_gpu_cores"),
        "BS": ("3", "train_batch_size"),
        "EBS": ("5", "predict_batch_size"),
        "MSL": ("77", "max_seq_length"),
        "LR": ("2e-4", "learning_rate"),
        "EPOCH": ("1.5", "num_train_epochs"),
    }
    values = {name: value for name, (value, _) in settings.items()}
    finished = script("multi_run_albert_squad.sh", "--seed=7", TASK="Quiz", **values)
    given = flags_of(finished, "run_multigpus_squad")
    for value, flag in settings.values():
        assert given[flag] == value
    assert given["seed"] == "7"
    assert given["train_file"] == f"{tmp_path}/home/squad_data/train-v2.0.json"
    assert given["output_dir"] == f"{tmp_path}/home/albert_output/Quiz2.0_base_v2"


@pytest.mark.parametrize("num_gpus, batch", [("2", "16"), ("8", "4"), ("3", "10"), ("64", "1")])
def test_race_script_has_the_published_settings(script, tmp_path, num_gpus, batch):
    given = flags_of(script("multi_run_albert_race.sh", NUM_GPUS=num_gpus), "run_multigpus_race")
    expected = {
        "data_dir": f"{tmp_path}/home/race_data",
        "output_dir": f"{tmp_path}/home/albert_output/RACE_base_v2",
        "num_gpu_cores": num_gpus,
        "train_batch_size": batch,
        "train_step": "12000",
        "warmup_step": "1000",
        "max_seq_length": "512",
        "max_qa_length": "128",
    }
    assert {name: given[name] for name in expected} == expected


@pytest.mark.parametrize(
    "settings, published",
    [
        ({}, ("1e-05", "0")),
        ({"VERSION": "1", "ALBERT_DIR": "large"}, ("2e-05", "0.1")),
    ],
)
def test_race_script_has_the_published_settings_of_either_version(script, settings, published):
    given = flags_of(script("multi_run_albert_race.sh", **settings), "run_multigpus_race")
    assert (given["learning_rate"], given["albert_dropout_prob"]) == published


def test_every_setting_of_the_race_script_can_be_overridden(script):
    settings = {
        "BS": ("3", "train_batch_size"),
        "EBS": ("5", "eval_batch_size"),
        "MSL": ("77", "max_seq_length"),
        "MQL": ("33", "max_qa_length"),
        "LR": ("2e-4", "learning_rate"),
        "ALBERT_DP": ("0.1", "albert_dropout_prob"),
        "WPSP": ("9", "warmup_step"),
        "TSP": ("99", "train_step"),
    }
    values = {name: value for name, (value, _) in settings.items()}
    finished = script("multi_run_albert_race.sh", "--high_only=True", TASK="Quiz", **values)
    given = flags_of(finished, "run_multigpus_race")
    for value, flag in settings.values():
        assert given[flag] == value
    assert given["high_only"] == "True"
    assert given["output_dir"].endswith("/Quiz_base_v2")


@pytest.mark.parametrize(
    "name, runner, batch",
    [("glue", "classifier", "16"), ("squad", "squad", "8"), ("race", "race", "32")],
)
def test_script_for_one_device_takes_the_batch_of_two(script, name, runner, batch):
    finished = script(f"run_albert_{name}.sh", "--seed=7", NUM_GPUS="4")
    given = flags_of(finished, f"run_multigpus_{runner}")
    assert (given["strategy_type"], given["num_gpu_cores"], given["seed"]) == ("one", "1", "7")
    assert given["train_batch_size"] == batch
    again = flags_of(script(f"run_albert_{name}.sh", BS="3"), f"run_multigpus_{runner}")
    assert again["train_batch_size"] == "3"


@pytest.mark.parametrize(
    "name, runner", [("glue", "classifier"), ("squad", "squad"), ("race", "race")]
)
def test_help_describes_the_flags_of_the_script(script, name, runner):
    runner = f"run_multigpus_{runner}"
    given = flags_of(script(f"multi_run_albert_{name}.sh"), runner)
    known = run(sys.executable, "-m", f"albert.{runner}", "--help", cwd=str(REPOSITORY))
    assert {f"--{flag}" for flag in given} <= set(
        re.findall(r"^ +(--\w+)", known.stdout, re.MULTILINE)
    )
