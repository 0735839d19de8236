"""Tests of albert.common.files."""

import errno
import hashlib
import os
import pathlib

import pytest

from albert.common import files


class Crash(Exception):
    """Stands for whatever ends a block early."""


def test_a_table_is_written_with_tabs_and_nothing_else_between_its_cells(tmp_path):
    path = tmp_path / "a.tsv"
    files.write_tsv(str(path), [("index", "é"), (1, 0.1), ("", "two words")])
    assert path.read_bytes() == "index\té\n1\t0.1\n\ttwo words\n".encode()


def test_write_text_writes_utf8_with_line_feeds(tmp_path):
    files.write_text(str(tmp_path / "a.txt"), "é\n你\n")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n\xe4\xbd\xa0\n"


def test_write_text_replaces_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("a long old text")
    files.write_text(str(tmp_path / "a.txt"), "new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert os.listdir(str(tmp_path)) == ["a.txt"]


def test_failed_block_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(Crash):
        with files.replacing(str(tmp_path / "a.txt")) as temporary:
            pathlib.Path(temporary).write_text("half")
            raise Crash
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(str(tmp_path)) == ["a.txt"]


def test_block_that_fails_before_it_writes_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(Crash):
        with files.replacing(str(tmp_path / "a.txt")):
            raise Crash
    assert (tmp_path / "a.txt").read_text() == "old"


def test_new_file_is_not_seen_before_it_is_whole(tmp_path):
    with files.replacing(str(tmp_path / "a.txt")) as temporary:
        pathlib.Path(temporary).write_text("half")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "half"


def test_temporary_name_is_a_new_one_beside_the_file(tmp_path):
    path = str(tmp_path / "a.txt")
    with files.replacing(path) as first, files.replacing(path) as second:
        assert first != second and os.path.dirname(first) == str(tmp_path)
        for temporary in (first, second):
            pathlib.Path(temporary).write_text("x")


def test_text_that_cannot_be_encoded_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(UnicodeEncodeError):
        files.write_text(str(tmp_path / "a.txt"), "new \ud800")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(str(tmp_path)) == ["a.txt"]


def test_full_disk_at_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError):
        files.write_text(str(tmp_path / "a.txt"), "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(str(tmp_path)) == ["a.txt"]


def test_sha256_is_that_of_the_bytes_across_blocks(tmp_path):
    content = b"0123456789abcdef" * (1 << 17)  # two blocks
    (tmp_path / "a").write_bytes(content + b"end")
    assert files.sha256(str(tmp_path / "a")) == hashlib.sha256(content + b"end").hexdigest()
