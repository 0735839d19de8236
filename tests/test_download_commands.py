"""Tests of what downloads GLUE, SQuAD and the pre-trained models, as commands and as scripts."""

import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile

import file_server
import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny

from albert import download_glue, download_models, download_squad, downloads, modeling
from albert.errors import UsageError

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
VOCABULARY = ("30k-clean.model", "30k-clean.vocab")
SQUAD = {"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b"}]}]}]}


@pytest.fixture
def server():
    with file_server.serving({}) as served:
        yield served


@pytest.fixture
def config(server):
    return downloads.DownloadConfig(server.url, retries=0, wait=0)


def contents_of(folder):
    """Returns {path inside: bytes} of the files of a folder; hidden folders are left out."""
    folder = pathlib.Path(folder)
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in paths.items()
        if not any(part.startswith(".") for part in name.parts)
    }


def zip_of(contents):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        for name, content in contents.items():
            zipped.writestr(name, content)
    return packed.getvalue()


def tar_of(contents):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


# --- GLUE


def task_zip(folder, names=("train", "dev", "test")):
    return zip_of({f"{folder}/{name}.tsv": b"a\tb\n" for name in names})


def download_tasks(names, tmp_path, config, path_to_mrpc=None):
    data_dir = str(tmp_path / "glue_data")
    download_glue.download(download_glue.tasks_of(names), data_dir, config, path_to_mrpc)


def sources_of_mrpc(folder):
    """Returns {name: bytes} of what MRPC is made from, out of its folder."""
    lines = {
        name: (folder / f"{name}.tsv").read_bytes().splitlines(True)
        for name in ("train", "dev", "test")
    }
    header, train = lines["train"][0], lines["train"][1:]
    rows, dev = list(train), lines["dev"][1:]
    # The dev rows stand among the others, in their own order.
    places = sorted(random.Random(0).sample(range(len(train)), len(dev)))
    for place, row in reversed(list(zip(places, dev))):
        rows.insert(place, row)
    test = [b"0\t" + line.split(b"\t", 1)[1] for line in lines["test"][1:]]
    ids = [b"\t".join(row.split(b"\t")[1:3]) + b"\n" for row in dev]
    return {
        "msr_paraphrase_train.txt": header + b"".join(rows),
        "msr_paraphrase_test.txt": header + b"".join(test),
        "mrpc_dev_ids.tsv": b"".join(ids),
    }


def test_glue_from_a_mirror_is_glue_byte_for_byte(server, config, shared_data, tmp_path):
    glue_data = shared_data / "glue_data"
    expected = contents_of(glue_data)
    for folder in ("CoLA", "SST-2", "STS-B", "RTE", "WNLI"):
        server.files[f"{folder}.zip"] = zip_of(
            {name: content for name, content in expected.items() if name.startswith(folder)}
        )
    server.files.update(sources_of_mrpc(glue_data / "MRPC"))
    download_tasks("CoLA,SST,MRPC,STS,RTE,WNLI", tmp_path, config)
    assert contents_of(tmp_path / "glue_data") == expected
    num_requests = len(server.requests)
    download_tasks("CoLA,SST,MRPC,STS,RTE,WNLI", tmp_path, config)
    assert len(server.requests) == num_requests
    assert os.listdir(str(tmp_path / "glue_data" / ".downloads")) == ["lock"]


def test_all_tasks_have_their_addresses_and_files(server, config, tmp_path):
    for name in ("CoLA", "SST-2", "STS-B", "RTE", "WNLI"):
        server.files[f"{name}.zip"] = task_zip(name)
    splits = ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched")
    server.files["MNLI.zip"] = task_zip("MNLI", splits)
    server.files["QQP-clean.zip"] = task_zip("QQP")
    server.files["QNLIv2.zip"] = task_zip("QNLI")
    server.files["AX.tsv"] = b"index\tsentence1\tsentence2\n"
    rows = b"Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t10\t11\ta\tb\n0\t20\t21\tc\td\n"
    server.files["msr_paraphrase_train.txt"] = server.files["msr_paraphrase_test.txt"] = rows
    server.files["mrpc_dev_ids.tsv"] = b"20\t21\n30\t31\n"
    with pytest.raises(UsageError, match="does not hold every pair that .*mrpc_dev_ids.tsv names"):
        download_tasks("MRPC", tmp_path, config)
    assert contents_of(tmp_path) == {}
    server.files["mrpc_dev_ids.tsv"] = b"20\t21\n"
    download_tasks("all", tmp_path, config)
    made = contents_of(tmp_path / "glue_data")
    assert len(made) == 8 * 3 + 5 + 1
    assert made["diagnostic/diagnostic.tsv"] == server.files["AX.tsv"]
    assert made["MRPC/dev.tsv"].splitlines()[1:] == [b"0\t20\t21\tc\td"]
    assert made["MRPC/test.tsv"].splitlines()[1:] == [b"0\t10\t11\ta\tb", b"1\t20\t21\tc\td"]


def test_tasks_are_known_by_the_names_of_the_original_and_of_the_folders():
    original = "CoLA,SST,MRPC,QQP,STS,MNLI,QNLI,RTE,WNLI,diagnostic"
    folders = "cola, sst-2,mrpc,qqp,STS-B,mnli,qnli,rte,wnli,AX"
    assert download_glue.tasks_of(original) == download_glue.tasks_of(folders)
    assert sorted(download_glue.tasks_of(original)) == sorted(download_glue.tasks_of("all"))


def test_local_mrpc_is_taken_in_place_of_downloads(server, config, shared_data, tmp_path):
    expected = contents_of(shared_data / "glue_data" / "MRPC")
    local = tmp_path / "local mrpc"
    local.mkdir()
    for name, content in sources_of_mrpc(shared_data / "glue_data" / "MRPC").items():
        (server.files if "ids" in name else {})[name] = content
        if "ids" not in name:  # as Microsoft's own installer leaves them
            (local / name).write_bytes(content.replace(b"\n", b"\r\n"))
    download_tasks("MRPC", tmp_path, config, str(local))
    assert contents_of(tmp_path / "glue_data" / "MRPC") == expected
    assert server.requests == [("mrpc_dev_ids.tsv", None)]
    assert len(os.listdir(str(local))) == 2


BAD_SOURCES = {
    "page": (b"<html>Sign in</html>\n", "is damaged or no such archive"),
    "other files": (zip_of({"RTE/train.tsv": b"a\tb\n"}), "has no folder with train.tsv, dev.tsv"),
    "page inside": (
        zip_of({f"RTE/{name}.tsv": b"<html>" for name in ("train", "dev", "test")}),
        "train.tsv in it is not a table",
    ),
}


@pytest.mark.parametrize("what", BAD_SOURCES)
def test_source_that_is_something_else_makes_no_task_and_is_fetched_anew(
    server, config, tmp_path, what
):
    server.files["RTE.zip"], message = BAD_SOURCES[what]
    with pytest.raises(UsageError, match=message):
        download_tasks("RTE", tmp_path, config)
    assert contents_of(tmp_path / "glue_data") == {}
    server.files["RTE.zip"] = task_zip("RTE")
    download_tasks("RTE", tmp_path, config)
    assert len(contents_of(tmp_path / "glue_data")) == 3


def test_folder_that_is_not_whole_is_left_and_told(server, config, tmp_path):
    folder = tmp_path / "glue_data" / "RTE"
    folder.mkdir(parents=True)
    (folder / "dev.tsv").touch()
    with pytest.raises(UsageError, match="RTE is there but lacks test.tsv, train.tsv: remove the"):
        download_tasks("WNLI,RTE", tmp_path, config)
    assert (os.listdir(str(folder)), server.requests) == (["dev.tsv"], [])


# --- SQuAD


def test_squad_is_fetched_checked_and_not_fetched_twice(server, config, shared_data, tmp_path):
    server.files["train-v1.1.json"] = json.dumps(SQUAD).encode()
    server.files["dev-v1.1.json"] = (shared_data / "squad" / "dev-v1.1.json").read_bytes()
    for _ in range(2):
        download_squad.download(["1.1"], str(tmp_path), config)
        assert contents_of(tmp_path) == server.files
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "content, message",
    [(b"<html>", "is not JSON"), (b"{}", "has no 'data'")],
)
def test_squad_file_that_is_something_else_is_refused(server, config, tmp_path, content, message):
    server.files["train-v2.0.json"] = content
    with pytest.raises(UsageError, match=message):
        download_squad.download(["2.0"], str(tmp_path), config)
    assert contents_of(tmp_path) == {}
    assert os.listdir(str(tmp_path / ".downloads")) == ["lock"]


def test_squad_file_of_another_hash_is_refused(server, config, tmp_path):
    server.files = dict.fromkeys(["train-v1.1.json", "dev-v1.1.json"], json.dumps(SQUAD).encode())
    with pytest.raises(UsageError, match="dev-v1.1.json has not the SHA-256 95aa6a52d5d6"):
        download_squad.download(["1.1"], str(tmp_path), config)
    assert list(contents_of(tmp_path)) == ["train-v1.1.json"]


# --- Pre-trained models


def write_checkpoint(folder, left_out=None):
    """Writes the tiny model's configuration and a checkpoint into a folder."""
    tiny_config = tiny.config()
    (folder / "albert_config.json").write_text(tiny_config.to_json_string())
    with tf.Graph().as_default(), tf.Session() as session:
        modeling.AlbertModel(tiny_config, False, tf.zeros([1, 4], tf.int32))
        kept = [v for v in tf.global_variables() if v.op.name != left_out]
        session.run([tf.assign(v, np.full(v.shape.as_list(), 0.5)) for v in kept])
        tf.train.Saver(kept).save(session, str(folder / "model.ckpt-best"))
    (folder / "checkpoint").unlink()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Returns {name: bytes} of the tiny model's configuration and checkpoint."""
    folder = tmp_path_factory.mktemp("tiny model")
    write_checkpoint(folder)
    return contents_of(folder)


@pytest.fixture
def vocabulary(monkeypatch):
    """Returns {name: bytes} of a small vocabulary that counts as ALBERT's."""
    contents = {name: name.encode() for name in VOCABULARY}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(download_models, "_VOCABULARY", hashes)
    return contents


def archive_of(size, *contents):
    return tar_of(
        {f"albert_{size}/{name}": data for part in contents for name, data in part.items()}
    )


@pytest.fixture
def install(config, tmp_path):
    def installed(request):
        (tmp_path / "top").mkdir(exist_ok=True)
        download_models.install(
            request, str(tmp_path / "pretrained_model"), str(tmp_path / "top"), config
        )

    return installed


def test_model_is_installed_with_its_vocabulary_once(
    server, install, checkpoint, vocabulary, tmp_path
):
    server.files["albert_base_v2.tar.gz"] = archive_of("base", checkpoint, vocabulary)
    for _ in range(2):
        install("base_v2")
        made = contents_of(tmp_path / "pretrained_model")
        whole = dict(checkpoint, **vocabulary)
        assert made == {f"albert_base_v2/{name}": data for name, data in whole.items()}
        assert contents_of(tmp_path / "top") == vocabulary
        assert len(server.requests) == 1


def test_chinese_model_is_installed_under_its_own_name(server, install, checkpoint, tmp_path):
    server.files["albert_large_zh.tar.gz"] = archive_of(
        "large", checkpoint, {"vocab_chinese.txt": b"[CLS]"}
    )
    install("large_zh")
    assert (tmp_path / "pretrained_model" / "albert_large_zh" / "vocab_chinese.txt").is_file()
    assert contents_of(tmp_path / "top") == {}


def test_local_archive_is_taken_and_kept(server, install, checkpoint, vocabulary, tmp_path):
    archive = tmp_path / "albert_xlarge_v1.tar.gz"
    archive.write_bytes(archive_of("xlarge", checkpoint, vocabulary))
    install(str(archive))
    assert (tmp_path / "pretrained_model" / "albert_xlarge_v1" / "albert_config.json").is_file()
    assert archive.is_file()
    assert server.requests == []


def test_vocabulary_that_is_not_alberts_is_refused(
    server, install, checkpoint, vocabulary, tmp_path
):
    german = dict(vocabulary, **{"30k-clean.model": b"deutsch"})
    server.files["albert_base_v2.tar.gz"] = archive_of("base", checkpoint, german)
    with pytest.raises(UsageError, match=r"30k-clean.model \(7 bytes\) is not ALBERT's.*German"):
        install("base_v2")
    assert contents_of(tmp_path / "pretrained_model") == contents_of(tmp_path / "top") == {}
    # And before anything is fetched, where it stands at the top level already.
    (tmp_path / "top" / "30k-clean.model").write_bytes(b"deutsch")
    with pytest.raises(UsageError, match=r"top/30k-clean.model \(7 bytes\) is not ALBERT's"):
        install("base_v2")
    assert len(server.requests) == 1


def test_checkpoint_that_lacks_a_variable_is_refused_with_its_name(
    server, install, vocabulary, tmp_path
):
    (tmp_path / "lacking").mkdir()
    write_checkpoint(tmp_path / "lacking", left_out="bert/pooler/dense/bias")
    server.files["albert_base_v2.tar.gz"] = archive_of(
        "base", contents_of(tmp_path / "lacking"), vocabulary
    )
    with pytest.raises(UsageError, match="model.ckpt-best lacks bert/pooler/dense/bias"):
        install("base_v2")
    assert contents_of(tmp_path / "pretrained_model") == {}


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_model_that_is_there_but_damaged_is_told_and_left(
    server, install, checkpoint, vocabulary, tmp_path, damage
):
    server.files["albert_base_v2.tar.gz"] = archive_of("base", checkpoint, vocabulary)
    install("base_v2")
    data = tmp_path / "pretrained_model" / "albert_base_v2" / "model.ckpt-best.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    data.unlink()
    if damage == "cut":
        data.write_bytes(content[:100])
    elif damage == "changed":
        content[200] ^= 1
        data.write_bytes(content)
    before = contents_of(tmp_path)
    with pytest.raises(
        UsageError, match="is damaged: .* Without .*albert_base_v2 it is downloaded"
    ):
        install("base_v2")
    assert contents_of(tmp_path) == before


@pytest.mark.parametrize("request_", ["base_v3", "tiny_v2", "bert.tar.gz"])
def test_model_that_does_not_exist_is_refused(install, request_):
    with pytest.raises(UsageError, match=f"{request_} is no model; allowed"):
        install(request_)


# --- Commands and scripts, from another folder


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Returns a copy of the project, in a folder with a space, that scripts may write into."""
    copy = tmp_path_factory.mktemp("a copy") / "my project"
    copy.mkdir()
    shutil.copytree(str(REPOSITORY / "scripts"), str(copy / "scripts"))
    shutil.copy(str(REPOSITORY / "download_glue_data.py"), str(copy))
    (copy / "albert").symlink_to(REPOSITORY / "albert")
    return copy


@pytest.fixture
def run(project, server, tmp_path):
    """Returns a function of (command, settings) that runs it with the server as mirror."""

    def finished(*command, **settings):
        environment = dict(os.environ, PYTHON=sys.executable, ALBERT_DOWNLOAD_URL=server.url)
        environment.update(CURRENT_PWD=str(tmp_path / "my data"), **settings)
        return subprocess.run(
            list(map(str, command)),
            cwd=str(tmp_path),
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return finished


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--tasks=CoLA,FOO"], "--tasks=CoLA,FOO: 'FOO' is no task; allowed: all, CoLA, SST-2,"),
        (["--tasks=SNLI"], "--tasks=SNLI: SNLI is no longer part of GLUE's download."),
        (["--tasks=RTE"], "/RTE.zip: the server answers 404 "),
        (["--no_such_flag"], "unrecognized arguments: --no_such_flag"),
        (["--timeout=soon"], "argument --timeout: invalid float value: 'soon'"),
        (["--base_url=here"], "--base_url=here must begin with http"),
        (["--data_dir=/proc/nowhere"], "/proc/nowhere: No such file or directory."),
        (["--tasks=MRPC", "--path_to_mrpc=none"], "none/msr_paraphrase_train.txt is not there."),
    ],
)
def test_mistakes_on_the_glue_command_end_in_one_line(run, project, arguments, message):
    finished = run(sys.executable, project / "download_glue_data.py", *arguments)
    assert finished.returncode == 1
    last = finished.stderr.splitlines()[-1]
    assert last.startswith("download_glue_data.py: ") and message in last
    assert "Traceback" not in finished.stderr
    assert len(finished.stderr.splitlines()) <= 2  # a line on what is fetched may come before


def test_squad_script_downloads_into_the_folder_of_the_settings(run, project, server, tmp_path):
    server.files = dict.fromkeys(["train-v2.0.json", "dev-v2.0.json"], json.dumps(SQUAD).encode())
    finished = run("bash", project / "scripts" / "download_squad.sh", "2.0", "--retries=0")
    assert finished.returncode == 0, finished.stderr
    assert contents_of(tmp_path / "my data" / "squad_data") == server.files
    assert finished.stderr.count("\n") == 4
    finished = run("bash", project / "scripts" / "download_squad.sh", "3.0")
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line == "download_squad.sh: '3.0' is no version of SQuAD; allowed: 1.1, 2.0."


@pytest.fixture
def python_that_runs_downloads_only(tmp_path):
    """Returns an interpreter that prints its arguments in place of fine-tuning."""
    path = tmp_path / "half python"
    path.write_text(
        "#!/usr/bin/env bash\n"
        'if [[ $* == *albert.run_multigpus* ]]; then printf "%s\\n" "$@"; exit; fi\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def test_run_scripts_fetch_what_is_not_there(
    run, project, server, checkpoint, shared_data, tmp_path, python_that_runs_downloads_only
):
    real = {name: (shared_data / "spm" / name).read_bytes() for name in VOCABULARY}
    server.files["albert_large_v1.tar.gz"] = archive_of("large", checkpoint, real)
    server.files["RTE.zip"] = task_zip("RTE")
    settings = {"PYTHON": python_that_runs_downloads_only, "ALBERT_DIR": "large", "VERSION": "1"}
    script = project / "scripts" / "multi_run_albert_glue.sh"
    finished = run("bash", script, TASK="RTE", **settings)
    assert finished.returncode == 0, finished.stderr
    home = tmp_path / "my data"
    assert f"--init_checkpoint={home}/pretrained_model/albert_large_v1" in finished.stdout
    assert f"--spm_model_file={project}/30k-clean.model" in finished.stdout
    assert len(contents_of(home)) == len(checkpoint) + len(real) + 3
    assert (project / "30k-clean.model").read_bytes() == real["30k-clean.model"]

    server.files.update(
        dict.fromkeys(["train-v2.0.json", "dev-v2.0.json"], json.dumps(SQUAD).encode())
    )
    script = project / "scripts" / "multi_run_albert_squad.sh"
    finished = run("bash", script, SQUAD_VERSION="2.0", **settings)
    assert finished.returncode == 0, finished.stderr
    assert f"--train_file={home}/squad_data/train-v2.0.json" in finished.stdout
    num_requests = len(server.requests)
    assert run("bash", script, SQUAD_VERSION="2.0", **settings).stderr == ""
    assert len(server.requests) == num_requests


def test_run_script_says_what_to_do_where_the_model_cannot_be_fetched(run, project, tmp_path):
    finished = run("bash", project / "scripts" / "multi_run_albert_glue.sh")
    assert (finished.returncode, finished.stdout) == (1, "")
    model = tmp_path / "my data" / "pretrained_model" / "albert_base_v2"
    first, _, reason, last = finished.stderr.splitlines()
    assert first == f"multi_run_albert_glue.sh: {model} is not there: fetching it."
    assert "albert_base_v2.tar.gz: the server answers 404" in reason
    assert last.startswith(f"multi_run_albert_glue.sh: {model} could not be fetched: put the pre-")
    assert not model.exists()


def test_models_script_takes_the_settings_where_no_model_is_named(run, project, server):
    script = project / "scripts" / "download_pretrained_models.sh"
    finished = run("bash", script, "--retries=0", ALBERT_DIR="xxlarge", VERSION="zh")
    assert finished.returncode == 1
    assert server.requests == [("albert_xxlarge_zh.tar.gz", None)]
    finished = run("bash", script, "--retries=0", "albert_base_v1", "large_v3")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("download_pretrained_models.sh: large_v3 is no model; allowed: ")
    assert len(server.requests) == 1
