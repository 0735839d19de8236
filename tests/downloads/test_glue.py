"""Tests of albert.downloads.glue."""

import os
import random

import packed
import pytest

from albert.common.errors import UsageError
from albert.downloads import glue as download_glue


def download_tasks(names, tmp_path, download_config, path_to_mrpc=None):
    data_dir = str(tmp_path / "glue_data")
    download_glue.download(
        download_glue.parse_tasks(names), data_dir, download_config, path_to_mrpc
    )


def sources_of_mrpc(folder):
    """Returns {name: bytes} of the sources that make the MRPC files in a folder."""
    lines = {
        name: (folder / f"{name}.tsv").read_bytes().splitlines(True)
        for name in ("train", "dev", "test")
    }
    header, train = lines["train"][0], lines["train"][1:]
    rows, dev = list(train), lines["dev"][1:]
    # The dev rows are spread among the others, in their own order.
    indices = sorted(random.Random(0).sample(range(len(train)), len(dev)))
    for index, row in reversed(list(zip(indices, dev))):
        rows.insert(index, row)
    test = [b"0\t" + line.split(b"\t", 1)[1] for line in lines["test"][1:]]
    ids = [b"\t".join(row.split(b"\t")[1:3]) + b"\n" for row in dev]
    return {
        "msr_paraphrase_train.txt": header + b"".join(rows),
        "msr_paraphrase_test.txt": header + b"".join(test),
        "mrpc_dev_ids.tsv": b"".join(ids),
    }


def test_glue_from_a_mirror_is_glue_byte_for_byte(server, download_config, shared_data, tmp_path):
    glue_data = shared_data / "glue_data"
    expected = packed.contents_of(glue_data)
    for folder in ("CoLA", "SST-2", "STS-B", "RTE", "WNLI"):
        server.files[f"{folder}.zip"] = packed.zip_of(
            {name: content for name, content in expected.items() if name.startswith(folder)}
        )
    server.files.update(sources_of_mrpc(glue_data / "MRPC"))
    download_tasks("CoLA,SST,MRPC,STS,RTE,WNLI", tmp_path, download_config)
    assert packed.contents_of(tmp_path / "glue_data") == expected
    num_requests = len(server.requests)
    download_tasks("CoLA,SST,MRPC,STS,RTE,WNLI", tmp_path, download_config)
    assert len(server.requests) == num_requests
    assert os.listdir(str(tmp_path / "glue_data" / ".downloads")) == ["lock"]


def test_every_task_is_made_from_its_own_files(server, download_config, tmp_path):
    for name in ("CoLA", "SST-2", "STS-B", "RTE", "WNLI"):
        server.files[f"{name}.zip"] = packed.task_zip(name)
    splits = ("train", "dev_matched", "dev_mismatched", "test_matched", "test_mismatched")
    server.files["MNLI.zip"] = packed.task_zip("MNLI", splits)
    server.files["QQP-clean.zip"] = packed.task_zip("QQP")
    server.files["QNLIv2.zip"] = packed.task_zip("QNLI")
    server.files["AX.tsv"] = b"index\tsentence1\tsentence2\n"
    rows = b"Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t10\t11\ta\tb\n0\t20\t21\tc\td\n"
    server.files["msr_paraphrase_train.txt"] = server.files["msr_paraphrase_test.txt"] = rows
    server.files["mrpc_dev_ids.tsv"] = b"20\t21\n30\t31\n"
    with pytest.raises(UsageError, match="does not hold every pair that .*mrpc_dev_ids.tsv names"):
        download_tasks("MRPC", tmp_path, download_config)
    assert packed.contents_of(tmp_path) == {}
    server.files["mrpc_dev_ids.tsv"] = b"20\t21\n"
    download_tasks("all", tmp_path, download_config)
    made = packed.contents_of(tmp_path / "glue_data")
    assert len(made) == 8 * 3 + 5 + 1
    assert made["diagnostic/diagnostic.tsv"] == server.files["AX.tsv"]
    assert made["MRPC/dev.tsv"].splitlines()[1:] == [b"0\t20\t21\tc\td"]
    assert made["MRPC/test.tsv"].splitlines()[1:] == [b"0\t10\t11\ta\tb", b"1\t20\t21\tc\td"]


def test_tasks_have_the_names_of_the_original_and_of_their_folders():
    original = "CoLA,SST,MRPC,QQP,STS,MNLI,QNLI,RTE,WNLI,diagnostic"
    folders = "cola, sst-2,mrpc,qqp,STS-B,mnli,qnli,rte,wnli,AX"
    assert download_glue.parse_tasks(original) == download_glue.parse_tasks(folders)
    assert sorted(download_glue.parse_tasks(original)) == sorted(download_glue.parse_tasks("all"))


def test_a_local_mrpc_is_used_instead_of_downloads(server, download_config, shared_data, tmp_path):
    expected = packed.contents_of(shared_data / "glue_data" / "MRPC")
    local = tmp_path / "local mrpc"
    local.mkdir()
    for name, content in sources_of_mrpc(shared_data / "glue_data" / "MRPC").items():
        (server.files if "ids" in name else {})[name] = content
        if "ids" not in name:  # as Microsoft's own installer leaves them
            (local / name).write_bytes(content.replace(b"\n", b"\r\n"))
    download_tasks("MRPC", tmp_path, download_config, str(local))
    assert packed.contents_of(tmp_path / "glue_data" / "MRPC") == expected
    assert server.requests == [("mrpc_dev_ids.tsv", None)]
    assert len(os.listdir(str(local))) == 2


BAD_SOURCES = {
    "page": (b"<html>Sign in</html>\n", "is damaged or not an archive"),
    "other files": (
        packed.zip_of({"RTE/train.tsv": b"a\tb\n"}),
        "has no folder with train.tsv, dev.tsv",
    ),
    "page inside": (
        packed.zip_of({f"RTE/{name}.tsv": b"<html>" for name in ("train", "dev", "test")}),
        "train.tsv in it is not a table",
    ),
}


@pytest.mark.parametrize("what", BAD_SOURCES)
def test_a_download_that_is_something_else_makes_no_task_and_is_fetched_again(
    server, download_config, tmp_path, what
):
    server.files["RTE.zip"], message = BAD_SOURCES[what]
    with pytest.raises(UsageError, match=message):
        download_tasks("RTE", tmp_path, download_config)
    assert packed.contents_of(tmp_path / "glue_data") == {}
    server.files["RTE.zip"] = packed.task_zip("RTE")
    download_tasks("RTE", tmp_path, download_config)
    assert len(packed.contents_of(tmp_path / "glue_data")) == 3


def test_an_incomplete_folder_is_reported_and_left_as_it_is(server, download_config, tmp_path):
    folder = tmp_path / "glue_data" / "RTE"
    folder.mkdir(parents=True)
    (folder / "dev.tsv").touch()
    with pytest.raises(UsageError, match="RTE is there but lacks test.tsv, train.tsv: remove the"):
        download_tasks("WNLI,RTE", tmp_path, download_config)
    assert (os.listdir(str(folder)), server.requests) == (["dev.tsv"], [])


def test_a_damaged_download_is_fetched_again_once(server, download_config, tmp_path):
    good = packed.task_zip("RTE")
    server.files["RTE.zip"] = good
    work = tmp_path / "glue_data" / ".downloads"
    work.mkdir(parents=True)
    (work / "RTE.zip").write_bytes(good[: len(good) // 2])  # left by a call that was interrupted
    download_tasks("RTE", tmp_path, download_config)
    assert len(packed.contents_of(tmp_path / "glue_data")) == 3
    assert server.requests == [("RTE.zip", None)]
