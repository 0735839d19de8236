"""Tests of albert.tagging.files and of CoNLL in albert.common.tables."""

import json

import pytest

from albert.common import tables
from albert.common.errors import UsageError
from albert.common.tables import Row
from albert.tagging import files

TOKENS = [
    "-DOCSTART-",
    "don't",
    '"',
    "``",
    "👨‍👩‍👧",
    "#",
    "a\u00a0b",
    "\u3000",
    "\u200b",
    "1,000",
    "漢字",
]


def rows_of(path, content, file_format="conll"):
    path.write_bytes(content.encode())
    return list(tables.read_table(str(path), "train_file", file_format))


def test_sentences_have_their_first_and_last_column_and_their_line(tmp_path):
    content = "\n-DOCSTART- -X- O\n \t \n\nU.N.  NNP   B-ORG\nsaid VBD O \n\n"
    assert rows_of(tmp_path / "a.conll", content) == [
        Row(f"{tmp_path}/a.conll:2", {"tokens": ["-DOCSTART-"], "tags": ["O"]}, 1),
        Row(f"{tmp_path}/a.conll:5", {"tokens": ["U.N.", "said"], "tags": ["B-ORG", "O"]}, 2),
    ]


def test_tabs_separate_columns_in_place_of_spaces(tmp_path):
    content = "New York\tB-LOC\r\n.\tO\r\n\r\nalone\tO"
    rows = rows_of(tmp_path / "a.txt", content)
    assert [row.cells for row in rows] == [
        {"tokens": ["New York", "."], "tags": ["B-LOC", "O"]},
        {"tokens": ["alone"], "tags": ["O"]},
    ]


def test_a_file_of_tokens_alone_has_no_tags(tmp_path):
    (row,) = rows_of(tmp_path / "a.conll", "a\nb\n")
    assert row.cells == {"tokens": ["a", "b"]}
    assert files.sentence_of(row).tags is None


def test_another_number_of_columns_is_refused_with_its_line(tmp_path):
    with pytest.raises(
        UsageError, match=r"a.conll:4: 1 columns found, 2 expected, as in the lines"
    ):
        rows_of(tmp_path / "a.conll", "a O\n\nb O\nc\n")


def test_an_empty_token_is_refused_with_its_line(tmp_path):
    (row,) = rows_of(tmp_path / "a.conll", "a\tO\n\tO\n")
    with pytest.raises(UsageError, match=r"a.conll:2: the token is empty.$"):
        files.sentence_of(row)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"tokens": ["a", ""]}, "f:3: token 2: the token is empty."),
        ({"tokens": []}, "f:3: the sentence has no tokens."),
        ({"words": ["a"]}, "f:3: there is no 'tokens' among 'words'."),
        ({"tokens": "a b"}, "f:3: 'tokens' must be a list, not 'a b'."),
        ({"tokens": None}, "f:3: 'tokens' must be a list, not null."),
        ({"tokens": [["a"]]}, "f:3: 'tokens' must be text, not list."),
        ({"tokens": ["a"], "tags": ["O", "O"]}, "f:3: 1 tokens, but 2 tags."),
        ({"tokens": ["a"], "tags": 7}, "f:3: 'tags' must be a list, not 7."),
    ],
)
def test_malformed_sentences_are_refused(cells, message):
    with pytest.raises(UsageError) as caught:
        files.sentence_of(Row("f:3", cells))
    assert str(caught.value) == message


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_tokens_come_back_unchanged(tmp_path, separator):
    tokens = TOKENS + (["New York", " "] if separator == "\t" else [])
    path = tmp_path / "out.conll"
    files.write_conll(str(path), [[tokens, ["O"] * len(tokens)], [["x"], ["B-X"]]])
    content = path.read_bytes().decode()
    assert content.splitlines()[0] == f"-DOCSTART-{separator}O"
    first, second = tables.read_table(str(path), "input", "conll")
    assert first.cells["tokens"] == tokens and set(first.cells["tags"]) == {"O"}
    assert second.cells == {"tokens": ["x"], "tags": ["B-X"]}


def test_a_token_that_would_break_the_table_is_a_json_string(tmp_path):
    path = tmp_path / "out.conll"
    tokens = ["\n", "a\tb", "\ud800", "\u2028", "\x85", "\x0b", '"n"']
    files.write_conll(str(path), [[tokens, ["O"] * 7]])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line.split(" ")[0]) for line in lines[:7]] == tokens and lines[7] == ""


def test_a_loose_text_is_cut_into_words_and_punctuation():
    sentence = files.loose_sentence_of(Row("f:1", {"text": "Anna's in  Oslo."}))
    assert sentence.tokens == ("Anna", "'", "s", "in", "Oslo", ".")
    assert sentence.starts == (0, 4, 5, 7, 11, 15)
    assert files.loose_sentence_of(Row("f:1", {"text": " "})).tokens == ()
    assert files.loose_sentence_of(Row("f:1", {"tokens": ["a b"], "text": "c"})).tokens == ("a b",)
    with pytest.raises(UsageError, match="f:1: there is no 'text' among 'txt'"):
        files.loose_sentence_of(Row("f:1", {"txt": "a"}))
