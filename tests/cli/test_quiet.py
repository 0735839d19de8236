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
CTRL_C = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"


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
    quiet.quiet_tensorflow()
    assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == level
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)


def test_log_level_that_the_user_has_set_is_kept(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    monkeypatch.setattr(sys, "argv", ["runner.py"])
    quiet.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "1"


def started(folder, *arguments):
    """Returns the process of a program that Ctrl-C interrupts while it imports TensorFlow."""
    (folder / "tensorflow").mkdir()
    (folder / "tensorflow" / "__init__.py").write_text(CTRL_C, encoding="utf-8")
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=str(folder),
        env=dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), str(REPOSITORY)])),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("runner", ["classifier", "race", "squad"])
def test_ctrl_c_while_tensorflow_is_imported_ends_in_one_line(tmp_path, runner):
    ended = started(tmp_path, "-m", f"albert.run_multigpus_{runner}", "--do_train")
    assert ended.stderr == (
        f"run_multigpus_{runner}.py: interrupted before anything was started.\n"
    )
    assert ended.returncode == 130


def test_task_of_the_documents_starts_as_quietly(tmp_path):
    page = (REPOSITORY / "docs" / "own_tasks.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(# my_task.py\n.*?)```", page, re.DOTALL)
    (tmp_path / "my_task.py").write_text(script, encoding="utf-8")
    ended = started(tmp_path, "my_task.py", "--task_name=polarity")
    assert ended.stderr == "my_task.py: interrupted before anything was started.\n"


@pytest.fixture
def on_sigint(monkeypatch):
    """Lets a test change what SIGINT does, and restores it."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_ctrl_c_is_as_before_once_the_program_has_started(on_sigint, handler):
    on_sigint(handler)
    quiet.quiet_start()
    quiet.has_started()
    assert signal.getsignal(signal.SIGINT) is handler


def test_ignored_ctrl_c_stays_ignored_at_the_start(on_sigint):
    on_sigint(signal.SIG_IGN)
    quiet.quiet_start()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
