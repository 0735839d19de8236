"""Tests of albert.common.files."""

import errno
import hashlib
import json
import os
import pathlib

import pytest

from albert.common import files
from albert.common.errors import UsageError


class Crash(Exception):
    """Stands for whatever ends a block early."""


def test_a_table_is_written_with_tabs_and_nothing_else_between_its_cells(tmp_path):
    path = tmp_path / "a.tsv"
    files.write_tsv(str(path), [("index", "é"), (1, 0.1), ("", "two words")])
    assert path.read_bytes() == "index\té\n1\t0.1\n\ttwo words\n".encode()


def test_a_folder_that_another_process_has_filled_meanwhile_is_refused(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(UsageError, match="^output=.*out is a folder that holds files; it must be"):
        with files.making_folder("output", str(path)):
            path.mkdir()
            (path / "theirs").touch()
    assert sorted(tmp_path.rglob("*")) == [path, path / "theirs"]


@pytest.mark.parametrize("value", ["é 'q\"", "", "中", 7, 0.5])
def test_a_plain_value_is_its_own_cell(value):
    assert files.as_cell(value) == str(value)


@pytest.mark.parametrize("text", ["a\tb", "a\n", "\r", '"a"', "\ud800", "\u2028"])
def test_a_text_that_could_break_a_table_is_a_cell_in_json(text):
    cell = files.as_cell(text)
    assert cell.isprintable() and json.loads(cell) == text


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


def test_full_disk_at_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError):
        files.write_text(str(tmp_path / "a.txt"), "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(str(tmp_path)) == ["a.txt"]


def read(tmp_path, content):
    path = tmp_path / "a.tsv"
    path.write_bytes(content)
    return list(files.read_lines(str(path)))


def test_lines_come_with_their_numbers_and_without_their_ends(tmp_path):
    content = "\ufeffé\r\n\n \tb\rc\u2028\n\r\nd\x00ef".encode()
    assert read(tmp_path, content) == [(1, "é"), (3, " \tb\rc\u2028"), (5, "d\x00ef")]


# {what: (content, line, byte, its value, likely encoding)}, by hand.
OTHER_ENCODINGS = {
    "UTF-16 with a mark": ("é\na\n".encode("utf-16"), 1, 0, "ff", "UTF-16"),
    "UTF-16 without a mark": ("ab\ncd\n".encode("utf-16-le"), 1, 1, "00", "UTF-16"),
    "UTF-16, high byte first": ("ab\ncd\n".encode("utf-16-be"), 1, 0, "00", "UTF-16"),
    "Latin-1": ("ab\nd\xe9j\xe0 vu\n".encode("latin-1"), 2, 4, "e9", "Latin-1"),
    "Latin-1 after a UTF-8 mark": (b"\xef\xbb\xbfab\nd\xe9\n", 2, 7, "e9", "Latin-1"),
    "GB18030": ("ab\n中文文本\n".encode("gb18030"), 2, 3, "d6", "GB18030 or the like"),
}


@pytest.mark.parametrize("name", sorted(OTHER_ENCODINGS))
def test_another_encoding_is_reported_with_line_byte_and_likely_name(tmp_path, name):
    content, line, byte, value, likely = OTHER_ENCODINGS[name]
    with pytest.raises(UsageError) as caught:
        read(tmp_path, content)
    assert str(caught.value) == (
        f"{tmp_path / 'a.tsv'} is not UTF-8 text: byte {byte} (line {line}) is 0x{value}. "
        f"It looks like {likely}; save it as UTF-8."
    )


@pytest.mark.parametrize(
    "content, byte", [(b"ab\rcd\r", 2), (b"\xef\xbb\xbfab\rcd", 5), (b"ab\rcd\n\n", 2)]
)
def test_carriage_returns_in_place_of_line_feeds_are_reported(tmp_path, content, byte):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, content)
    assert str(caught.value) == (
        f"{tmp_path / 'a.tsv'}:1: the file has carriage returns, the first at byte {byte}, in "
        "place of line feeds. Save it with line feeds."
    )


def test_sha256_is_that_of_the_bytes_across_blocks(tmp_path):
    content = b"0123456789abcdef" * (1 << 17)  # two blocks
    (tmp_path / "a").write_bytes(content + b"end")
    assert files.sha256(str(tmp_path / "a")) == hashlib.sha256(content + b"end").hexdigest()


def test_half_a_surrogate_pair_is_written_as_an_escape(tmp_path):
    files.write_text(str(tmp_path / "text"), "a\ud800é\n")
    assert (tmp_path / "text").read_bytes() == b"a\\ud800\xc3\xa9\n"
