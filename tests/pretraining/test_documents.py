"""Tests of albert.pretraining.documents."""

import gzip
import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.common.errors import UsageError
from albert.pretraining import documents


@pytest.fixture
def written(tmp_path):
    """Returns a function that writes contents to files and returns the paths."""

    def write(*contents):
        paths = [tmp_path / f"{number}.txt" for number in range(len(contents))]
        for path, content in zip(paths, contents):
            path.write_bytes(content)
        return [str(path) for path in paths]

    return write


def lines_of(paths):
    return list(documents.Corpus(paths).lines())


def test_each_file_ends_a_document(written):
    assert lines_of(written(b"a\nb\n\nc", b"d\n")) == ["a", "b", "", "c", "", "d", ""]


def test_byte_order_mark_carriage_returns_and_white_space_are_removed(written):
    content = "\ufeff a b \r\n\r\n \t\r\nc\u3000\n".encode()
    assert lines_of(written(content)) == ["a b", "", "", "c", ""]


def test_gzip_is_told_by_its_first_bytes(written):
    packed = gzip.compress(b"a\n") + gzip.compress(b"b\n")
    assert lines_of(written(packed, b"c\n")) == ["a", "b", "", "c", ""]


def test_files_are_listed_with_size_and_hash_once_they_are_read(written):
    contents = [gzip.compress(b"a\n" * 10000), b"b\n", b""]
    paths = written(*contents)
    corpus = documents.Corpus(paths)
    lines = corpus.lines()
    next(lines)
    assert corpus.files == []
    for _ in lines:
        pass
    expected = [
        (path, len(content), hashlib.sha256(content).hexdigest())
        for path, content in zip(paths, contents)
    ]
    assert corpus.files == expected
    assert [documents.input_file(path) for path in paths] == expected


LINES = b"good\n\nmore\n"


@pytest.mark.parametrize(
    "content, message",
    [
        (LINES + b"caf\xe9\n", ":4: byte 3 of the line is 0xe9: this is not UTF-8 text"),
        (LINES + b"a\0b\n", ":4: byte 1 of the line is 0x00"),
        ("hello\n".encode("utf-16"), ":1: byte 0 of the line is 0xff"),
        ("hello\n".encode("utf-16-le"), ":1: byte 1 of the line is 0x00"),
        (b"a\rb\rc", ":1: the file has carriage returns"),
        (gzip.compress(LINES * 99)[:-5], ": the gzip file ends too early, after line "),
        (b"\x1f\x8b\x00", ": the gzip file "),
        (gzip.compress(LINES)[:-8] + bytes(8), ": the gzip file is damaged (CRC check failed"),
        (gzip.compress(LINES + b"\xff\n"), ":4: byte 0 of the line is 0xff"),
        (b"a " * (1 << 23) + b"b", ":1: the line has more than 16777216 bytes"),
    ],
    ids=range(10),  # gzip's bytes have the time in them
)
def test_what_is_no_text_is_refused_with_its_line(written, content, message):
    paths = written(content)
    with pytest.raises(UsageError) as caught:
        lines_of(paths)
    assert str(caught.value).startswith(paths[0] + message)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_gone_is_one_line(tmp_path):
    path = str(tmp_path / "none.txt")
    with pytest.raises(UsageError, match="none.txt: No such file or directory"):
        lines_of([path])
    with pytest.raises(UsageError, match="none.txt: No such file or directory"):
        documents.input_file(path)


def test_a_line_of_a_megabyte_is_one_sentence(written):
    (line, end) = lines_of(written(b"word " * 200000))
    assert (len(line), end) == (5 * 200000 - 1, "")


def test_shards_hold_whole_documents_up_to_the_size(written):
    paths = written(b"aaaa\nb\n\ncccc\n\ndd\n", b"ee\n")
    assert list(documents.Corpus(paths).shards(10)) == ["aaaa\nb\n\ncccc", "dd\n\nee"]
    assert list(documents.Corpus(paths).shards(1000)) == ["aaaa\nb\n\ncccc\n\ndd\n\nee"]


def test_a_document_larger_than_a_shard_is_cut(written):
    (path,) = written(b"aaaa\nbbbb\ncccc\n")
    assert list(documents.Corpus([path]).shards(8)) == ["aaaa\nbbbb", "cccc"]
    assert list(documents.Corpus([path]).shards(1)) == ["aaaa", "bbbb", "cccc"]


def test_no_text_is_no_shard(written):
    assert list(documents.Corpus(written(b"", b" \n\n")).shards(10)) == []


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.text("ab", min_size=1, max_size=9), min_size=1, max_size=5), max_size=6),
    st.integers(1, 30),
)
def test_shards_hold_every_sentence_in_order(tmp_path_factory, texts, size):
    path = tmp_path_factory.mktemp("corpus") / "text"
    path.write_text("\n\n".join("\n".join(lines) for lines in texts))
    shards = list(documents.Corpus([str(path)]).shards(size))
    sentences = [line for shard in shards for line in shard.split("\n") if line]
    assert sentences == list(itertools.chain(*texts))
    longest = max([len(line) for line in sentences], default=0)
    for shard in shards:
        assert shard and "\n\n\n" not in shard and shard == shard.strip("\n")
        assert len(shard.replace("\n", "")) <= max(size, longest)
