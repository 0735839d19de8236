"""Tests of albert.quiet: what is looked for before TensorFlow and any flag are there."""

import os
import sys

import pytest

from albert import quiet


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
def test_start_up_messages_are_kept_back_unless_asked_for(monkeypatch, arguments, level):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.setattr(sys, "argv", ["runner.py", *arguments])
    quiet.quiet_tensorflow()
    assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == level
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)


def test_what_the_user_has_set_stands(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "1")
    monkeypatch.setattr(sys, "argv", ["runner.py"])
    quiet.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "1"
