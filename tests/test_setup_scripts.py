"""Tests of setup_env.sh, run_tests.sh and quickstart.sh, from another folder, on paths with spaces.

The interpreter that they get makes no real environments and downloads nothing.
"""

import json
import pathlib
import platform
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import runs

PYTHON = f"""#!/usr/bin/env bash
# Makes environments that contain a copy of itself and logs calls of pip; otherwise runs Python.
case "$*" in
  -c*ensurepip*) printf '%s\\n' {platform.python_version()} "$0" yes ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip "*) printf '%s\\n' "$*" >>"$PIP_LOG" && exit "${{PIP_STATUS:-0}}" ;;
  *albert.run_multigpus_classifier*) exec "{sys.executable}" "$@" --train_step=4 --warmup_step=1 ;;
  *albert.run_multigpus_squad*) exec "{sys.executable}" "$@" --num_train_epochs=0.01 ;;
  *) exec "{sys.executable}" "$@" ;;
esac
"""
TESTS = """
import pathlib

def test_one_works():
    assert pathlib.Path("scripts").is_dir()

def test_one_fails():
    assert False

def test_another_fails():
    assert False
"""
VENV = ".venv/py{}.{}".format(*sys.version_info[:2])


def write_program(path, text):
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def project(tmp_path):
    """Returns a copy of the project in a folder with spaces."""
    copy = tmp_path / "my checkout"
    copy.mkdir()
    runs.copy_project(copy)
    write_program(tmp_path / "my python", PYTHON)
    return copy


@pytest.fixture
def run(project, tmp_path):
    """Returns a function of (script's name, arguments, settings): the finished process."""
    working_dir = tmp_path / "working directory"
    working_dir.mkdir()
    given = {"PYTHON": str(tmp_path / "my python"), "PIP_LOG": str(tmp_path / "pip.log")}

    def finished(name, *arguments, checkout=project, **settings):
        done = subprocess.run(
            ["bash", str(checkout / "scripts" / name), *arguments],
            cwd=str(working_dir),
            env=runs.environment(**dict(given, **settings)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert list(working_dir.iterdir()) == []
        return done

    return finished


@pytest.fixture
def installed(run, tmp_path):
    """Returns a function of setup_env.sh's arguments: the requirements files it installs from.

    The function checks that the script succeeds and prints only the path of the new python.
    """

    def files(*arguments, **more):
        log = tmp_path / "pip.log"
        log.write_text("", encoding="utf-8")
        finished = run("setup_env.sh", *arguments, **more)
        assert finished.returncode == 0, finished.stderr
        checkout = more.get("checkout", tmp_path / "my checkout")
        assert finished.stdout == f"{checkout / VENV}/bin/python\n"
        asked = log.read_text(encoding="utf-8").splitlines()
        assert all(" install " in line for line in asked)
        return [pathlib.Path(line.split(" -r ")[1]) for line in asked if " -r " in line]

    return files


# --- setup_env.sh


def test_an_environment_is_made_once(installed, project):
    assert installed() == [project / "requirements.txt"]
    assert installed() == []


def test_developers_tools_are_added_to_an_existing_environment(installed, project):
    installed()
    assert installed("--dev") == [project / "requirements-dev.txt"]
    assert installed("--dev") == installed() == []


def test_an_environment_is_made_again_when_the_requirements_change(installed, project):
    installed()
    with (project / "requirements.txt").open("a", encoding="utf-8") as file:
        file.write("another\n")
    (project / VENV / "left over").touch()
    assert installed() == [project / "requirements.txt"]
    assert not (project / VENV / "left over").exists()


def test_a_checkout_reached_through_a_link_has_the_same_environment(installed, project):
    installed()
    link = project.with_name("my link")
    link.symlink_to(project)
    assert installed(checkout=link) == installed() == []


def test_an_install_that_failed_is_started_again(run, installed, project):
    failed = run("setup_env.sh", PIP_STATUS="1")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert installed() == [project / "requirements.txt"]


@pytest.mark.parametrize(
    "arguments, settings, message",
    [
        (["--fast"], {}, "unknown argument --fast; the only one is --dev"),
        ([], {"PYTHON": "none"}, "PYTHON=none is no command and no file; Python 3.7, 3.9,"),
        ([], {"PYTHON": "/etc/passwd"}, "PYTHON=/etc/passwd is there, but does not run as a"),
    ],
)
def test_a_mistake_ends_in_one_line_and_makes_nothing(run, project, arguments, settings, message):
    finished = run("setup_env.sh", *arguments, **settings)
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"setup_env.sh: {message}")
    assert not (project / ".venv").exists()


@pytest.mark.parametrize(
    "version, message",
    [
        ("3.12.1", "no TensorFlow that still has Estimator runs on it"),
        ("3.8.2", "no TensorFlow that the project supports runs on it"),
        ("2.7.18", "it is too old for the project's code"),
    ],
)
def test_an_unsupported_python_is_refused_with_the_reason(run, tmp_path, version, message):
    other = tmp_path / "other python"
    write_program(other, f"#!/bin/sh\nprintf '%s\\n' {version} \"$0\" yes\n")
    finished = run("setup_env.sh", PYTHON=str(other))
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert f"{other} is Python {version}, which cannot be used: {message};" in line


# --- run_tests.sh


def test_tests_run_in_the_checkout_and_decide_the_exit_status(run, installed, project):
    (project / "tests").mkdir()
    (project / "tests" / "test_some.py").write_text(TESTS, encoding="utf-8")
    finished = run("run_tests.sh", "-k", "one_works or one_fails", "-p", "no:cacheprovider")
    assert finished.returncode == 1, finished.stderr
    assert f"Python {platform.python_version()}, TensorFlow " in finished.stdout
    assert "1 failed, 1 passed in " in finished.stdout
    assert installed("--dev") == []


# --- quickstart.sh


@pytest.mark.slow
def test_the_quickstart_ends_with_results(run, project, tmp_path):
    before = {path.name for path in project.iterdir()}
    finished = run("quickstart.sh")
    assert finished.returncode == 0, finished.stderr
    said = [line for line in runs.foreign_lines(finished.stderr) if line]
    assert [line for line in said if not line.startswith(("==> ", "setup_env.sh: "))] == []
    assert {path.name for path in project.iterdir()} - before == {".venv", "quickstart"}
    output = project / "quickstart" / pathlib.Path(VENV).name
    best = json.loads((output / "CoLA" / "eval_results.json").read_text(encoding="utf-8"))["best"]
    assert best["step"] == 4
    assert (output / "SQuAD" / "predictions.json").is_file()
    relative = f"../my checkout/quickstart/{output.name}/SQuAD"
    assert f"In {relative}/:" in finished.stdout
    # The path of tensorboard is quoted too where the environment's folder has a space in its name.
    _, _, rest = finished.stdout.rpartition("shows more: ")
    command, *_, report = rest.splitlines()
    assert report == f"{output}/report.html" and "2 tasks" in pathlib.Path(report).read_text()
    program, *arguments = shlex.split(command)
    assert pathlib.Path(program).name == "tensorboard"
    assert arguments == ["--logdir", relative]


def test_the_quickstart_takes_no_arguments(run, project):
    finished = run("quickstart.sh", "--fast")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith("quickstart.sh: unexpected argument --fast; ")
    assert not (project / "quickstart").exists()


SCRIPTS = sorted(path.name for path in (runs.REPOSITORY / "scripts").glob("*.sh"))
SOURCED = {"environment.sh", "help.sh", "pretrained.sh"}


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("name", sorted(set(SCRIPTS) - SOURCED))
def test_help_is_the_comment_at_the_top_of_a_script_and_makes_nothing(run, project, name, flag):
    before = sorted(project.rglob("*"))
    finished = run(name, flag, CURRENT_PWD=str(project))
    assert (finished.returncode, finished.stderr) == (0, "")
    shown = (
        name.replace("run_albert", "multi_run_albert") if name.startswith("run_albert") else name
    )
    text = (project / "scripts" / shown).read_text(encoding="utf-8")
    (comment,) = re.findall(r"\A#!.*\n((?:#.*\n)+)", text)
    assert finished.stdout.startswith(re.sub(r"(?m)^# ?", "", comment))
    settings = re.findall(r'^: "\$\{(\w+):=(.*)\}"', text, re.MULTILINE)
    for setting, default in settings:
        assert f"  {setting}={default} " in finished.stdout
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    "name",
    ["download_pretrained_models.sh", "download_squad.sh"]
    + ["run_albert_glue.sh", "multi_run_albert_race.sh", "run_albert_squad.sh", "run_all_glue.sh"],
)
def test_unknown_option_of_a_script_is_refused_before_anything_is_made(run, project, name):
    (project / "docs").mkdir()
    shutil.copy(str(runs.REPOSITORY / "docs" / "flags.md"), str(project / "docs"))
    before = sorted(project.rglob("*"))
    finished = run(name, "--num_epochs=3", CURRENT_PWD=str(project), TASK="RACE")
    shown = (
        name.replace("run_albert", "multi_run_albert") if name.startswith("run_albert") else name
    )
    line = f"{shown}: unknown option --num_epochs=3; --help lists those there are.\n"
    assert (finished.returncode, finished.stdout, finished.stderr) == (1, "", line)
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    "options", [["--seed", "-1"], ["-seed=3"], ["--norecipe"], ["--high_only"], ["--flagfile=x"]]
)
def test_options_that_the_runner_knows_are_passed_on(run, project, options):
    """The model is missing: it is looked for once the options have been accepted."""
    (project / "docs").mkdir()
    shutil.copy(str(runs.REPOSITORY / "docs" / "flags.md"), str(project / "docs"))
    mirror = {"CURRENT_PWD": str(project), "ALBERT_DOWNLOAD_URL": "nowhere"}
    finished = run("multi_run_albert_race.sh", *options, **mirror)
    assert "unknown option" not in finished.stderr
    assert "albert_base_v2 is not there: fetching it." in finished.stderr
