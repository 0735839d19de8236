"""Tests of albert.cli.quiet, which acts before TensorFlow is imported and flags are parsed."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

from albert.cli import quiet

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SIGNAL_ITSELF = "import os, signal, time\nos.kill(os.getpid(), {})\ntime.sleep(30)\n"
WAYS_TO_END = [(signal.SIGINT, "interrupted", 130), (signal.SIGTERM, "terminated", 143)]


@pytest.mark.parametrize(
    "arguments, level",
    [
        ([], "3"),
        (["--verbosity=0"], "3"),
        (["--verbosity=-1"], "3"),
        (["--verbosity=1", "--verbosity=0"], "3"),
        (["--task_name=verbosity=1"], "3"),
        (["--verbosity=1"], None),
        (["-v=1"], None),
        (["--do_train", "--verbosity", "2", "--do_eval"], None),
    ],
)
def test_start_up_messages_are_hidden_unless_asked_for(monkeypatch, arguments, level):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.setattr(sys, "argv", ["runner.py", *arguments])
    quiet.ready_tensorflow()
    assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == level
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)


@pytest.mark.parametrize("given, used", [(None, "1"), ("0", "0")])
def test_onednn_is_used_unless_the_user_has_switched_it_off(monkeypatch, given, used):
    monkeypatch.setattr(sys, "argv", ["runner.py", "--verbosity=1"])
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given or "")
    if given is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    quiet.ready_tensorflow()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == used


def test_log_level_that_the_user_has_set_is_kept(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    monkeypatch.setattr(sys, "argv", ["runner.py"])
    quiet.ready_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "1"


def started(folder, number, *arguments):
    """Returns the process of a program that gets a signal while it imports TensorFlow."""
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(
        SIGNAL_ITSELF.format(int(number)), encoding="utf-8"
    )
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=str(folder),
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), str(REPOSITORY)])),
        capture_output=True,
        text=True,
        timeout=60,
    )


FLAGS = [
    "--do_train",
    f"--albert_config_file={REPOSITORY}/examples/albert_config.json",
    f"--vocab_file={REPOSITORY}/setup.py",
    "--output_dir=out",
]
FLAGS_OF = {
    "classifier": ["--task_name=AX", "--data_dir=."],  # needs no file to train
    "race": ["--data_dir=."],
    "squad": [f"--train_file={REPOSITORY}/setup.py"],
}


@pytest.mark.parametrize("number, how, status", WAYS_TO_END)
@pytest.mark.parametrize("runner", FLAGS_OF)
def test_signal_while_tensorflow_is_imported_ends_in_one_line(
    tmp_path, runner, number, how, status
):
    program = ["-m", f"albert.run_multigpus_{runner}"]
    ended = started(tmp_path, number, *program, *FLAGS, *FLAGS_OF[runner])
    assert ended.stderr == f"run_multigpus_{runner}.py: {how} before anything was started.\n"
    assert ended.returncode == status


def test_task_of_the_documents_starts_as_quietly(tmp_path):
    page = (REPOSITORY / "docs" / "own_tasks.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(# my_task.py\n.*?)```", page, re.DOTALL)
    (tmp_path / "my_task.py").write_text(script, encoding="utf-8")
    ended = started(tmp_path, signal.SIGINT, "my_task.py", "--task_name=polarity")
    assert ended.stderr == "my_task.py: interrupted before anything was started.\n"


@pytest.fixture
def set_handler(monkeypatch):
    """Returns a function that says what a signal does; restored after the test."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    before = {number: signal.getsignal(number) for number, _, _ in WAYS_TO_END}
    yield signal.signal
    for number, handler in before.items():
        signal.signal(number, handler)


HANDLERS = [
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGINT, signal.SIG_IGN),
    (signal.SIGTERM, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_IGN),
]


@pytest.mark.parametrize("number, handler", HANDLERS)
def test_signals_do_as_before_once_the_program_has_started(set_handler, number, handler):
    set_handler(number, handler)
    quiet.quiet_start()
    quiet.has_started()
    assert signal.getsignal(number) is handler


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ignored_signal_stays_ignored_at_the_start(set_handler, number):
    set_handler(number, signal.SIG_IGN)
    quiet.quiet_start()
    assert signal.getsignal(number) is signal.SIG_IGN


def test_tests_start_without_what_tensorflow_prints():
    environment = dict(os.environ, PYTHONPATH=str(REPOSITORY))
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    loaded = subprocess.run(
        [sys.executable, "-c", "import conftest"],
        cwd=str(REPOSITORY / "tests"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, "", "")
