"""Tests of the download commands and scripts, from another folder and on paths with spaces."""

import subprocess
import sys

import packed
import pytest
import runs


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Returns a copy of the project that scripts may write into, in a folder with spaces."""
    copy = tmp_path_factory.mktemp("a copy") / "my project"
    copy.mkdir()
    runs.copy_project(copy)
    return copy


@pytest.fixture
def run(project, server, tmp_path):
    """Returns a function of (command, settings): the finished process; the server is the mirror."""

    def finished(*command, **settings):
        changes = {"ALBERT_DOWNLOAD_URL": server.url, "CURRENT_PWD": str(tmp_path / "my data")}
        return subprocess.run(
            list(map(str, command)),
            cwd=str(tmp_path),
            env=runs.environment(**dict(changes, **settings)),
            capture_output=True,
            text=True,
            timeout=120,
        )

    return finished


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--tasks=CoLA,FOO"], "--tasks=CoLA,FOO: 'FOO' is not a task; allowed: all, CoLA, SST-2,"),
        (["--tasks=SNLI"], "--tasks=SNLI: SNLI is no longer part of GLUE's download."),
        (["--tasks=RTE"], "/RTE.zip: the server answers 404 "),
        (["--no_such_flag"], "unrecognized arguments: --no_such_flag"),
        (["--timeout=soon"], "argument --timeout: invalid float value: 'soon'"),
        (["--base_url=here"], "--base_url=here must begin with http"),
        (["--data_dir=/proc/nowhere"], "/proc/nowhere: No such file or directory."),
        (["--tasks=MRPC", "--path_to_mrpc=none"], "none/msr_paraphrase_train.txt is not there."),
    ],
)
def test_a_mistake_in_the_glue_command_ends_in_one_line(run, project, arguments, message):
    finished = run(sys.executable, project / "download_glue_data.py", *arguments)
    assert finished.returncode == 1
    last = finished.stderr.splitlines()[-1]
    assert last.startswith("download_glue_data.py: ") and message in last
    assert "Traceback" not in finished.stderr
    assert len(finished.stderr.splitlines()) <= 2  # the first may say what is being fetched


def test_the_squad_script_downloads_into_the_folder_of_the_settings(run, project, server, tmp_path):
    server.files = dict.fromkeys(["train-v2.0.json", "dev-v2.0.json"], packed.SQUAD)
    finished = run("bash", project / "scripts" / "download_squad.sh", "2.0", "--retries=0")
    assert finished.returncode == 0, finished.stderr
    assert packed.contents_of(tmp_path / "my data" / "squad_data") == server.files
    assert finished.stderr.count("\n") == 4
    finished = run("bash", project / "scripts" / "download_squad.sh", "3.0")
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line == "download_squad.sh: '3.0' is not a version of SQuAD; allowed: 1.1, 2.0."


@pytest.fixture
def python_without_runners(tmp_path):
    """Returns an interpreter that prints its arguments instead of running a runner."""
    path = tmp_path / "half python"
    path.write_text(
        "#!/usr/bin/env bash\n"
        'if [[ $* == *albert.run_multigpus* ]]; then printf "%s\\n" "$@"; exit; fi\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def test_run_scripts_fetch_missing_data_and_models(
    run, project, server, tiny_model, shared_data, tmp_path, python_without_runners
):
    real = {name: (shared_data / "spm" / name).read_bytes() for name in packed.VOCABULARY}
    server.files["albert_large_v1.tar.gz"] = packed.model_archive("large", tiny_model, real)
    server.files["RTE.zip"] = packed.task_zip("RTE")
    settings = {"PYTHON": python_without_runners, "ALBERT_DIR": "large", "VERSION": "1"}
    script = project / "scripts" / "multi_run_albert_glue.sh"
    finished = run("bash", script, TASK="RTE", **settings)
    assert finished.returncode == 0, finished.stderr
    home = tmp_path / "my data"
    assert f"--init_checkpoint={home}/pretrained_model/albert_large_v1" in finished.stdout
    assert f"--spm_model_file={home}/pretrained_model/albert_large_v1/30k" in finished.stdout
    assert len(packed.contents_of(home)) == len(tiny_model) + len(real) + 3
    assert (project / "30k-clean.model").read_bytes() == real["30k-clean.model"]

    server.files.update(dict.fromkeys(["train-v2.0.json", "dev-v2.0.json"], packed.SQUAD))
    script = project / "scripts" / "multi_run_albert_squad.sh"
    finished = run("bash", script, SQUAD_VERSION="2.0", **settings)
    assert finished.returncode == 0, finished.stderr
    assert f"--train_file={home}/squad_data/train-v2.0.json" in finished.stdout
    num_requests = len(server.requests)
    assert run("bash", script, SQUAD_VERSION="2.0", **settings).stderr == ""
    assert len(server.requests) == num_requests


def test_a_run_script_says_what_to_do_if_the_model_cannot_be_fetched(run, project, tmp_path):
    finished = run("bash", project / "scripts" / "multi_run_albert_glue.sh")
    assert (finished.returncode, finished.stdout) == (1, "")
    model = tmp_path / "my data" / "pretrained_model" / "albert_base_v2"
    first, _, reason, last = finished.stderr.splitlines()
    assert first == f"multi_run_albert_glue.sh: {model} is not there: fetching it."
    assert "albert_base_v2.tar.gz: the server answers 404" in reason
    assert last.startswith(f"multi_run_albert_glue.sh: {model} could not be fetched: put the pre-")
    assert not model.exists()


def test_the_models_script_downloads_once_into_the_folder_of_the_settings(
    run, project, server, tiny_model, shared_data, tmp_path
):
    real = {name: (shared_data / "spm" / name).read_bytes() for name in packed.VOCABULARY}
    server.files["albert_base_v1.tar.gz"] = packed.model_archive("base", tiny_model, real)
    script = project / "scripts" / "download_pretrained_models.sh"
    for message in ("albert_base_v1 is ready.", "albert_base_v1 exists and is complete: skipped."):
        finished = run("bash", script, "base_v1", CURRENT_PWD="relative home")
        assert (finished.returncode, finished.stdout) == (0, ""), finished.stderr
        assert f"{tmp_path}/relative home/pretrained_model/{message}" in finished.stderr
        made = packed.contents_of(tmp_path)
        folder = "relative home/pretrained_model/albert_base_v1"
        assert made == {f"{folder}/{name}": data for name, data in dict(tiny_model, **real).items()}
        assert {(project / name).read_bytes() for name in real} == {*real.values()}
    assert len(server.requests) == 1


def test_the_models_script_uses_the_settings_if_no_model_is_named(run, project, server):
    script = project / "scripts" / "download_pretrained_models.sh"
    finished = run("bash", script, "--retries=0", ALBERT_DIR="xxlarge", VERSION="zh")
    assert finished.returncode == 1
    assert server.requests == [("albert_xxlarge_zh.tar.gz", None)]
    finished = run("bash", script, "--retries=0", "albert_base_v1", "large_v3")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("download_pretrained_models.sh: large_v3 is not a model; allowed: ")
    assert len(server.requests) == 1
