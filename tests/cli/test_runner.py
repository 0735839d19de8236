"""Tests of albert.cli.runner: --help, and what a full disk looks like."""

import errno
import os
import re
import subprocess
import sys

import pytest
import runs
import tensorflow.compat.v1 as tf
from absl import flags

from albert.cli import flag_groups, flag_reference, runner
from albert.common.errors import UsageError

FLAGS = (runs.REPOSITORY / "docs" / "flags.md").read_text(encoding="utf-8")
OWN_TASK = """
from albert import run_multigpus_classifier
run_multigpus_classifier.run()
"""


@pytest.fixture(scope="module")
def helps():
    """Returns {runner: what the forms of --help did}."""
    commands = {"help": ["--help"], "short": ["-?"], "late": ["--do_train", "--helpshort", "--x"]}
    return {
        name: runs.in_one_process(f"run_multigpus_{name}", commands)
        for name in flag_reference.runners()
    }


@pytest.mark.parametrize("name", flag_reference.runners())
def test_help_is_on_stdout_fits_80_columns_and_ends_with_status_0(helps, name):
    for done in helps[name].values():
        assert (done["status"], done["stderr"]) == (0, "")
        assert done["stdout"] == helps[name]["help"]["stdout"]
        assert max(map(len, done["stdout"].splitlines())) < 80  # terminals may wrap a full line


@pytest.mark.parametrize("name", flag_reference.runners())
def test_help_opens_with_what_the_runner_does_and_an_example(helps, name):
    text = helps[name]["help"]["stdout"]
    does = "Pre-trains" if name == "pretraining" else "Fine-tunes"
    assert text.startswith(f"{does} ALBERT on ")
    description = text[: text.index("\nFlags are written")]
    (example,) = re.findall(rf"^    python -m albert\.run_multigpus_{name} .*", description, re.M)
    assert "--do_train" in example
    for flag in re.findall(r"--(\w+)", description):
        assert f"\n  --{flag} " in text


@pytest.mark.parametrize("name", flag_reference.runners())
def test_help_lists_every_flag_once_in_the_groups_of_the_reference(helps, name):
    expected = []
    for section in FLAGS.split("\n## ")[1:]:
        rows = re.findall(r"^\| `--(\w+)` \| ([\w, ]+) \|", section, re.MULTILINE)
        listed = [flag for flag, of in rows if of == "all" or name in of.split(", ")]
        expected.append((section.split("\n")[0], sorted(listed)))
    assert [group for group, _ in expected] == list(flag_groups.GROUPS)
    assert flag_groups.GROUPS[-1] == flag_groups.WITHOUT_EFFECT
    text = helps[name]["help"]["stdout"]
    sections = re.findall(r"^(\S.*):\n((?:  .*\n)+)", text, re.MULTILINE)
    found = [(group, re.findall(r"^  --(\w+)", body, re.MULTILINE)) for group, body in sections]
    assert [(group, sorted(of_group)) for group, of_group in found] == expected


def test_script_with_a_task_of_its_own_shows_the_help_of_its_runner(helps):
    finished = subprocess.run(
        [sys.executable, "-c", OWN_TASK, "--help"],
        cwd=str(runs.REPOSITORY),
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", PYTHONWARNINGS="ignore"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == helps["classifier"]["help"]["stdout"]


def test_help_lists_the_flags_that_a_users_own_script_has_defined(helps):
    own = "from absl import flags; flags.DEFINE_string('fold', 'a', 'The fold to read.')"
    finished = subprocess.run(
        [sys.executable, "-c", f"{own}{OWN_TASK}", "--help"],
        cwd=str(runs.REPOSITORY),
        env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", PYTHONWARNINGS="ignore"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    added = finished.stdout[len(helps["classifier"]["help"]["stdout"]) :]
    assert added.split() == "Flags of -c: --fold The fold to read. (text; default: a)".split()


@pytest.fixture
def output_dir(monkeypatch):
    """Returns the --output_dir of a parsed command line."""
    values = flags.FlagValues()
    flags.DEFINE_string("output_dir", None, "", flag_values=values)
    values(["prog.py", "--output_dir=out"])
    monkeypatch.setattr(runner, "FLAGS", values)
    return "out"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        tf.errors.ResourceExhaustedError(None, None, "out/x; No space left on device"),
    ],
)
def test_full_disk_is_one_line_that_says_how_to_go_on(output_dir, error):
    line = runner._explain_full_disk(error, "output_dir")
    assert line.startswith(f"The disk of --output_dir={output_dir} is full.")
    assert "\n" not in line


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), ValueError("No space left")])
def test_other_errors_are_not_taken_for_a_full_disk(output_dir, error):
    assert runner._explain_full_disk(error, "output_dir") is None


OUT_OF_MEMORY = """
from albert import run_multigpus_squad
from albert.common.errors import UsageError

def main():
    raise UsageError("try <eval_batch_size>.", eval_batch_size=4)

run_multigpus_squad.main = main
run_multigpus_squad.run()
"""


def test_a_setting_without_a_flag_of_its_own_is_shown_as_the_flag_that_sets_it():
    finished = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY],
        cwd=str(runs.REPOSITORY),
        stderr=subprocess.PIPE,
        timeout=60,
    )
    assert finished.stderr.decode().endswith("try --predict_batch_size=4.\n")


@pytest.mark.parametrize("verbosity", [0, 1])
def test_the_traceback_of_a_mistake_is_shown_only_to_who_asks_for_it(
    monkeypatch, capsys, verbosity
):
    values = flags.FlagValues()
    flags.DEFINE_integer("verbosity", 0, "", flag_values=values)
    values(["prog.py", f"--verbosity={verbosity}"])
    monkeypatch.setattr(runner, "FLAGS", values)
    monkeypatch.setattr(runner.quiet, "show_log", lambda verbosity: None)

    def main():
        try:
            raise KeyError("the cause")
        except KeyError as error:
            raise UsageError("one line") from error

    with pytest.raises(UsageError):
        runner._log_and_run(main)
    assert ("KeyError: 'the cause'" in capsys.readouterr().err) == bool(verbosity)


@pytest.mark.parametrize("content", ["--caf\xe9=1", "--" + "a" * 9999, "--a\n" * 999])
def test_flagfile_that_holds_something_else_is_one_line(tmp_path, content):
    path = tmp_path / "flags.txt"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError) as raised:
        runner._parse(["program", f"--flagfile={path}"])
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 1100
