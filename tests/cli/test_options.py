"""Tests of albert.cli.options: which mistakes are found before TensorFlow is imported."""

import os
import subprocess
import sys

import pytest
import runs

from albert import run_multigpus_squad, squad_utils
from albert.cli import options
from albert.common.errors import UsageError

SLOW_PACKAGES = ("tensorflow", "scipy", "sklearn", "tensorboard", "matplotlib", "pooch", "requests")
CONFIG = runs.REPOSITORY / "examples" / "albert_config.json"
SHARED = {"albert_config_file": CONFIG, "output_dir": "out", "vocab_file": __file__}
RUNNERS = {
    "classifier": dict(SHARED, task_name="AX", data_dir="."),  # needs no file to train
    "race": dict(SHARED, data_dir="."),
    "squad": dict(SHARED, train_file=__file__, predict_file=__file__),
}
NO_FILE, IS_FOLDER = "No such file or directory.", "Is a directory."

# {mistake: (runner, changes of its flags, message)}; every mistake is also made by --do_train.
MISTAKES = {
    "misspelt flag": ("race", {"colour": 1}, "Unknown command line flag 'colour'"),
    "required flag": ("race", {"data_dir": None}, "--data_dir is required."),
    "no vocabulary": ("race", {"vocab_file": None}, "--spm_model_file or --vocab_file is needed"),
    "nothing to do": ("race", {"do_train": False}, "Give at least one of --do_train, --do_eval"),
    "TPU": ("race", {"use_tpu": True}, "--use_tpu=True is not supported"),
    "task": ("classifier", {"task_name": "snli"}, "--task_name=snli is unknown; it must be one of"),
    "recipe": ("classifier", {"task_name": "ax", "recipe": True}, "no settings are published for"),
    "optimizer": ("race", {"optimizer": "sgd"}, "value should be one of <adamw|lamb>"),
    "steps": ("race", {"train_step": 0}, "--train_step=0 must be 1 or more."),
    "too many steps": ("race", {"train_step": 2**31}, "--train_step=2147483648 must be at most"),
    "batch": ("squad", {"train_batch_size": 0}, "--train_batch_size=0 must be 1 or more."),
    "seed": ("squad", {"seed": -1}, "--seed=-1 must be from 0 to 2147483647."),
    "no cluster": ("race", {"strategy_type": "multi_worker"}, "=multi_worker needs a cluster: "),
    "bad address": (
        "race",
        {"strategy_type": "multi_worker", "worker_hosts": "a", "task_index": 0},
        "--worker_hosts: 'a' must be host:port",
    ),
    "address without a cluster": (
        "squad",
        {"worker_hosts": "a:1"},
        "--worker_hosts is for --strategy_type=multi_worker.",
    ),
    "rate": ("squad", {"learning_rate": "nan"}, "--learning_rate=nan is not a finite number."),
    "dropout": ("squad", {"dropout_prob": "nan"}, "--dropout_prob=nan is not a finite number."),
    "epochs": ("squad", {"num_train_epochs": 0}, "--num_train_epochs=0.0 must be above 0."),
    "steps and epochs": (
        "race",
        {"train_step": 9, "num_train_epochs": 2},
        "--train_step=9 and --num_train_epochs=2.0 exclude each other: give one of them.",
    ),
    "two warm-ups": (
        "classifier",
        {"warmup_step": 9, "warmup_proportion": 0.1, "recipe": True, "task_name": "RTE"},
        "--warmup_step=9 and --warmup_proportion=0.1 exclude each other: give one of them.",
    ),
    "named checkpoint": (
        "squad",
        {"do_train": False, "do_predict": True, "eval_checkpoint": "x.index"},
        "--eval_checkpoint=x: there is no such checkpoint",
    ),
    "checkpoint to train": (
        "race",
        {"eval_checkpoint": "x"},
        "--eval_checkpoint=x and --do_train exclude each other",
    ),
    "nothing to overwrite": (
        "race",
        {"do_train": False, "do_eval": True, "overwrite_output_dir": True},
        "--overwrite_output_dir is for --do_train, which is not given.",
    ),
    "class weights": ("classifier", {"class_weights": "x"}, f"--class_weights=x: {NO_FILE}"),
    "length": ("squad", {"max_seq_length": 0}, "--max_seq_length=0"),
    "answers": ("squad", {"n_best_size": 0}, "--n_best_size=0"),
    "configuration": ("race", {"albert_config_file": "x"}, f"--albert_config_file=x: {NO_FILE}"),
    "vocabulary": ("race", {"vocab_file": "x"}, f"--vocab_file=x: {NO_FILE}"),
    "pieces": ("race", {"spm_model_file": "x"}, f"--spm_model_file=x: {NO_FILE}"),
    "data of GLUE": ("classifier", {"data_dir": "x"}, f"--data_dir=x: {NO_FILE}"),
    "data of RACE": ("race", {"data_dir": "x"}, f"--data_dir=x: {NO_FILE}"),
    "data of SQuAD": ("squad", {"train_file": "x"}, f"--train_file=x: {NO_FILE}"),
    "questions": (
        "squad",
        {"do_predict": True, "predict_file": "x"},
        f"--predict_file=x: {NO_FILE}",
    ),
    "checkpoint": (
        "race",
        {"init_checkpoint": "x.index"},
        "--init_checkpoint=x: there is no such checkpoint",
    ),
    "folder as configuration": (
        "race",
        {"albert_config_file": "."},
        f"--albert_config_file=.: {IS_FOLDER}",
    ),
    "folder as vocabulary": ("race", {"vocab_file": "."}, f"--vocab_file=.: {IS_FOLDER}"),
    "folder as pieces": ("race", {"spm_model_file": "."}, f"--spm_model_file=.: {IS_FOLDER}"),
    "folder as data": ("squad", {"train_file": "."}, f"--train_file=.: {IS_FOLDER}"),
    "file as data": ("race", {"data_dir": CONFIG}, f"--data_dir={CONFIG}: Not a directory."),
    "file as results": (
        "race",
        {"output_dir": CONFIG},
        f"--output_dir={CONFIG} cannot be written to: Not a directory.",
    ),
    "file above the cache": (
        "race",
        {"cached_dir": CONFIG / "x"},
        f"--cached_dir={CONFIG}/x cannot be written to: Not a directory.",
    ),
}


def without_slow_packages(folder, runner, arguments):
    """Runs a command line where each slow package ends the program as soon as it is imported."""
    packages = folder / "packages"
    for name in SLOW_PACKAGES:
        (packages / name).mkdir(parents=True)
        text = f"raise SystemExit('{name} was imported')\n"
        (packages / name / "__init__.py").write_text(text, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", f"albert.run_multigpus_{runner}", *arguments],
        cwd=str(folder),
        env=runs.environment(PYTHONPATH=os.pathsep.join([str(packages), str(runs.REPOSITORY)])),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line_before_tensorflow_is_imported(tmp_path, mistake):
    runner, changes, message = MISTAKES[mistake]
    values = {**RUNNERS[runner], "do_train": True, **changes}
    ended = without_slow_packages(tmp_path, runner, runs.arguments(values))
    assert ended.stderr.startswith(f"run_multigpus_{runner}.py: ") and message in ended.stderr
    assert (ended.returncode, ended.stderr.count("\n"), ended.stdout) == (1, 1, "")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("runner", RUNNERS)
def test_help_needs_no_tensorflow(tmp_path, runner):
    ended = without_slow_packages(tmp_path, runner, ["--help"])
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("runner", RUNNERS)
def test_tensorflow_is_imported_when_the_flags_are_right(tmp_path, runner):
    """Else the tests above would prove nothing."""
    values = dict(RUNNERS[runner], do_train=True)
    ended = without_slow_packages(tmp_path, runner, runs.arguments(values))
    assert ended.stderr == "tensorflow was imported\n"


def test_flags_that_the_runner_accepts_without_effect_are_named(tmp_path):
    values = dict(RUNNERS["squad"], do_train=True, data_dir="x", eval_batch_size=4)
    ended = without_slow_packages(tmp_path, "squad", runs.arguments(values))
    assert "Without effect here: --data_dir, --eval_batch_size." in ended.stderr


def test_tf_config_without_a_cluster_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{")
    done = without_slow_packages(tmp_path, "race", runs.arguments(RUNNERS["race"], "do_train"))
    assert "TF_CONFIG has no effect without --strategy_type=multi_worker." in done.stderr


def test_versions_of_squad_are_those_that_have_a_head():
    assert list(run_multigpus_squad.VERSIONS) == sorted(squad_utils.VERSIONS)


@pytest.mark.parametrize("path", ["there", "there/new", "there/new/newer"])
def test_folder_on_a_disk_that_refuses_is_reported_and_nothing_is_made(tmp_path, monkeypatch, path):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", dir)

    (tmp_path / "there").mkdir()
    monkeypatch.setattr(options.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError) as caught:
        options.check_folder_to_write("output_dir", str(tmp_path / path))
    assert (
        str(caught.value)
        == f"output_dir={tmp_path / path} cannot be written to: Permission denied."
    )
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


@pytest.mark.skipif(os.getuid() == 0, reason="root writes to read-only folders")
def test_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(UsageError, match="cannot be written to: Permission denied"):
        options.check_folder_to_write("output_dir", str(tmp_path))


def test_folder_that_can_be_written_to_stays_as_it_is(tmp_path):
    options.check_folder_to_write("output_dir", str(tmp_path))
    options.check_folder_to_write("cached_dir", None)
    assert list(tmp_path.iterdir()) == []
