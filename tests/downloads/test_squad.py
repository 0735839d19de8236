"""Tests of albert.downloads.squad."""

import os

import packed
import pytest

from albert.common.errors import UsageError
from albert.downloads import squad as download_squad


def test_squad_is_fetched_once(server, download_config, shared_data, tmp_path):
    server.files["train-v1.1.json"] = packed.SQUAD
    server.files["dev-v1.1.json"] = (shared_data / "squad" / "dev-v1.1.json").read_bytes()
    for _ in range(2):
        download_squad.download(["1.1"], str(tmp_path), download_config)
        assert packed.contents_of(tmp_path) == server.files
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "content, message",
    [(b"<html>", "is not JSON"), (b"{}", "has no 'data'")],
)
def test_a_file_that_is_not_squads_is_refused(server, download_config, tmp_path, content, message):
    server.files["train-v2.0.json"] = content
    with pytest.raises(UsageError, match=message):
        download_squad.download(["2.0"], str(tmp_path), download_config)
    assert packed.contents_of(tmp_path) == {}
    assert os.listdir(str(tmp_path / ".downloads")) == ["lock"]


def test_a_file_with_another_hash_is_refused(server, download_config, tmp_path):
    server.files = dict.fromkeys(["train-v1.1.json", "dev-v1.1.json"], packed.SQUAD)
    with pytest.raises(
        UsageError, match="dev-v1.1.json is another file: its SHA-256 is not 95aa6a52d5d6"
    ):
        download_squad.download(["1.1"], str(tmp_path), download_config)
    assert list(packed.contents_of(tmp_path)) == ["train-v1.1.json"]
