"""Tests of the command python -m albert.report."""

import os
import pathlib
import subprocess
import sys

import pytest
from sample_runs import classified, write_run

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
EVALUATIONS = {20: {"accuracy": 0.5, "loss": 0.75}}
ROWS = [classified(0, "no", "yes"), classified(1, "no", "no")]


def run(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "albert.report", *arguments],
        cwd=str(folder),
        env=dict(os.environ, PYTHONPATH=str(REPOSITORY)),
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_page_of_a_run_is_written_into_its_folder(tmp_path):
    write_run(tmp_path / "run", EVALUATIONS, ROWS, losses=[2.0, 1.0])
    done = run("run", folder=tmp_path)
    path = os.path.join("run", "report.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}\n", "")
    assert (tmp_path / path).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_the_page_of_several_runs_is_written_into_the_current_folder(tmp_path):
    for name in "ab":
        write_run(tmp_path / "runs" / name, EVALUATIONS, ROWS)
    done = run("runs", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "report.html\n")
    assert (tmp_path / "report.html").exists()


def test_the_page_goes_where_output_says(tmp_path):
    write_run(tmp_path / "run", EVALUATIONS)
    done = run("run", "--output=x.html", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "x.html\n")
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["."],
            "report: . holds no run, nor do the folders below it: give the output_dir of a run.",
        ),
        (["run", "--output=no/x.html"], "report: --output=FOLDER/no: No such file or directory."),
        ([], "report: the following arguments are required: OUT"),
    ],
)
def test_a_mistake_ends_in_one_line(tmp_path, arguments, message):
    if "run" in arguments:
        write_run(tmp_path / "run", EVALUATIONS)
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == message.replace("FOLDER", str(tmp_path)) + "\n"


def test_a_damaged_file_ends_in_one_line_and_leaves_the_last_page(tmp_path):
    write_run(tmp_path, EVALUATIONS, ROWS)
    (tmp_path / "report.html").write_text("old")
    with (tmp_path / "dev_predictions.jsonl").open("a") as writer:
        writer.write('{"step": 20, "spl')
    done = run(str(tmp_path), folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"report: {tmp_path / 'dev_predictions.jsonl'}:3 is not JSON: ")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "report.html").read_text() == "old"
    assert not list(tmp_path.glob("*.part"))


def test_an_installation_has_the_template(tmp_path):
    subprocess.run(
        [sys.executable, "-W", "ignore", "setup.py", "-q", "build_py", f"--build-lib={tmp_path}"],
        cwd=str(REPOSITORY),
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "albert" / "report" / "page.html").is_file()
