"""Tests of the downloads of SQuAD and MRPC with data made here, in place of the real ones."""

import os
import random

import packed
import pytest

from albert.downloads import glue as download_glue
from albert.downloads import squad as download_squad

HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"


def pairs(first, count):
    """Returns rows of MRPC as Microsoft wrote them, with ids from `first` on."""
    return [f"{n % 2}\t{first + 2 * n}\t{first + 2 * n + 1}\ta {n}\tb\n" for n in range(count)]


@pytest.fixture
def mrpc():
    """Returns (the rows of train and dev, those of dev, those of test) of an MRPC of 40 rows."""
    rows = pairs(100, 30)
    dev = [rows[number] for number in sorted(random.Random(1).sample(range(30), 7))]
    return rows, dev, pairs(1000, 10)


def text_of(*rows):
    return (HEADER + "".join(rows)).encode()


@pytest.mark.parametrize("is_local", [False, True], ids=["downloaded", "local"])
def test_mrpc_is_split_by_the_ids_of_its_dev_set(server, download_config, tmp_path, mrpc, is_local):
    rows, dev, test = mrpc
    sources = {"train": text_of(*rows), "test": text_of(*test)}
    local = tmp_path / "local mrpc"
    local.mkdir()
    for name, content in sources.items():
        file = f"msr_paraphrase_{name}.txt"
        if is_local:  # with the line ends of Microsoft's own installer
            (local / file).write_bytes(content.replace(b"\n", b"\r\n"))
        else:
            server.files[file] = content
    ids = ("\t".join(row.split("\t")[1:3]) + "\n" for row in dev)
    server.files["mrpc_dev_ids.tsv"] = "".join(ids).encode()
    data_dir = str(tmp_path / "glue_data")
    tasks = download_glue.parse_tasks("MRPC")
    for _ in range(2):  # the second time there is nothing to do
        download_glue.download(tasks, data_dir, download_config, str(local) if is_local else None)
        made = packed.contents_of(os.path.join(data_dir, "MRPC"))
        assert made["train.tsv"] == text_of(*(row for row in rows if row not in dev))
        assert made["dev.tsv"] == text_of(*dev)
        test_rows = made["test.tsv"].decode().splitlines(True)[1:]
        assert [row.split("\t")[0] for row in test_rows] == [str(n) for n in range(len(test))]
        assert [row.split("\t")[1:] for row in test_rows] == [row.split("\t")[1:] for row in test]
        assert len(server.requests) == (1 if is_local else 3)


def test_squad_is_fetched_once(server, download_config, tmp_path):
    server.files = dict.fromkeys(["train-v2.0.json", "dev-v2.0.json"], packed.SQUAD)
    for _ in range(2):
        download_squad.download(["2.0"], str(tmp_path), download_config)
        assert packed.contents_of(tmp_path) == server.files
        assert len(server.requests) == 2
