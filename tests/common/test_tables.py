"""Tests of albert.common.tables: every row comes back, with its text as it is and its line."""

import datetime
import decimal
import gzip
import json

import pytest

from albert.common import tables
from albert.common.errors import UsageError

ROWS = [
    {"text": 'He said "hi", and left', "label": "NA"},
    {"text": "two\nlines\tand a tab", "label": "007"},
    {"text": "", "label": "null"},
    {"text": "日本語 🙂 ü", "label": " 1 "},
]
CSV = (
    'text,label\r\n"He said ""hi"", and left",NA\r\n"two\nlines\tand a tab",007\r\n'
    ",null\r\n日本語 🙂 ü, 1 \r\n"
)


def cells(rows):
    return [row.cells for row in rows]


def read(path):
    return list(tables.read_table(str(path), "train_file"))


def error_of(tmp_path, content, name="data.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError) as caught:
        read(path)
    return str(caught.value).replace(str(tmp_path), "DIR")


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_csv_with_quotes_line_ends_and_empty_cells(tmp_path, ending, mark):
    path = tmp_path / ("data" + ending)
    content = mark + CSV.encode()
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    rows = read(path)
    assert cells(rows) == ROWS
    assert [row.where for row in rows] == [f"{path}:{line}" for line in (2, 3, 5, 6)]


def test_json_lines_and_parquet_hold_the_same_rows(tmp_path):
    from pyarrow import Table, parquet

    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    parquet.write_table(Table.from_pylist(ROWS), str(tmp_path / "data.parquet"))
    assert cells(read(tmp_path / "data.jsonl")) == ROWS
    found = read(tmp_path / "data.parquet")
    assert cells(found) == ROWS
    assert found[1].where.endswith("data.parquet: row 2")


def test_whole_numbers_of_parquet_stay_whole_beside_missing_ones(tmp_path):
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pydict({"label": [7, None]}), str(tmp_path / "data.parquet"))
    values = [row.cells["label"] for row in read(tmp_path / "data.parquet")]
    assert [tables.as_text(value, "", "label") for value in values] == ["7", ""]


def test_values_of_parquet_that_json_does_not_have_are_text(tmp_path):
    from pyarrow import Table, parquet

    row = {"day": datetime.date(2020, 1, 2), "bytes": b"a\xff", "price": decimal.Decimal("1.50")}
    row["list"] = [{"day": datetime.date(2020, 1, 2)}]
    parquet.write_table(Table.from_pylist([row]), str(tmp_path / "data.parquet"))
    expected = {"day": "2020-01-02", "bytes": "a\\xff", "price": "1.50"}
    assert cells(read(tmp_path / "data.parquet")) == [{**expected, "list": [{"day": "2020-01-02"}]}]


def test_parquet_with_what_is_no_text_or_two_columns_of_a_name_is_one_line(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path = tmp_path / "data.parquet"
    column = pyarrow.array([b"a\xff"]).view(pyarrow.string())
    parquet.write_table(pyarrow.Table.from_arrays([column], ["text"]), str(path))
    with pytest.raises(UsageError, match="data.parquet is not Parquet: 'utf-8' codec can't decode"):
        read(path)
    parquet.write_table(pyarrow.Table.from_arrays([column] * 2, ["text"] * 2), str(path))
    with pytest.raises(UsageError, match="data.parquet: two columns are called 'text'.$"):
        read(path)


def test_quotation_marks_in_tsv_are_text(tmp_path):
    path = tmp_path / "data.tsv"
    path.write_text('text\tlabel\n"Never\t0\nsaid "so"\t1\n', encoding="utf-8")
    assert [row.cells["text"] for row in read(path)] == ['"Never', 'said "so"']


def test_empty_lines_are_counted(tmp_path, caplog):
    path = tmp_path / "data.csv"
    path.write_text("text,label\n\na,1\n\n", encoding="utf-8")
    assert len(read(path)) == 1
    assert caplog.messages == [f"{path}: empty lines, which hold no row: 2."]


def test_each_plain_line_is_a_row(tmp_path):
    path = tmp_path / "data.txt"
    path.write_bytes(b"a\r\n\n  b\tc\nlast")
    assert cells(read(path)) == [{"text": text} for text in ("a", "", "  b\tc", "last")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\na,1\nb\n", "DIR/data.csv:3: 1 cells found, 2 expected (quote cells"),
        ("text,label\na,1,2\n", "DIR/data.csv:2: 3 cells found, 2 expected (quote cells"),
        ('text,label\n"a\nb",1\n"c,0\nd,1\n', "DIR/data.csv:4: a quotation mark that opens a"),
        ('text,label\n"a" b,1\n', "DIR/data.csv:2: ',' expected after '\"'."),
        ("text,text\na,1\n", "DIR/data.csv:1: two columns are called 'text'."),
        ("text\na\0b\n", "DIR/data.csv:2 has a null character."),
        (b"text\nok\ncaf\xe9\n", "DIR/data.csv is not UTF-8 text: byte 11 (line 3) is 0xe9."),
        ("text\nab\n".encode("utf-16"), "DIR/data.csv is not UTF-8 text: byte 0 (line 1) is 0xff"),
    ],
)
def test_malformed_csv_is_refused_with_its_line(tmp_path, content, message):
    assert error_of(tmp_path, content).startswith(message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', "DIR/a.jsonl:2 is not JSON: Expecting value"),
        ("a.json", '[{"a": 1}]\n', "DIR/a.json:1: a JSON object was expected, not list"),
        ("a.jsonl", "[" * 100000, "DIR/a.jsonl:1 is not JSON: it is nested too deeply"),
        (
            "a.jsonl",
            '{"a": ' * 400 + "1" + "}" * 400,
            "DIR/a.jsonl:1 is not JSON: it is nested too",
        ),
        ("a.jsonl", '{"a": %s}' % ("9" * 1001), "DIR/a.jsonl:1 is not JSON: 999999999999999999..."),
        ("a.parquet", "text,label\n", "DIR/a.parquet is not Parquet: "),
        ("a.csv.gz", "text,label\n", "train_file=DIR/a.csv.gz cannot be read: Not a gzipped file"),
        ("a.csv.gz", gzip.compress(b"text\n" * 99)[:-9], "train_file=DIR/a.csv.gz cannot be read"),
        ("a.xlsx", "", "train_file=DIR/a.xlsx must end with one of .txt, .tsv, .csv"),
        ("a.tsv", "a\tb\nc\n", "DIR/a.tsv:2: 1 cells found, 2 expected (quotation marks are plain"),
    ],
    ids=range(10),
)
def test_malformed_files_of_other_formats_are_refused(tmp_path, name, content, message):
    assert error_of(tmp_path, content, name).startswith(message)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="^train_file=.*none.csv cannot be read: No such file"):
        read(tmp_path / "none.csv")


def test_rows_come_before_the_lines_behind_them_are_read():
    def lines():
        yield b"text\n"
        yield b"a\n"
        raise AssertionError("read too far")

    assert next(tables.read_lines(lines(), "standard input", "csv")).cells == {"text": "a"}


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "true"), (7, "7"), (0.5, "0.5"), ("007", "007")]
)
def test_cells_as_text(value, text):
    assert tables.as_text(value, "f:1", "c") == text


def test_a_list_is_no_text():
    with pytest.raises(UsageError, match="^f:1: 'c' must be text, not list.$"):
        tables.as_text(["a"], "f:1", "c")


def test_a_list_that_is_nested_too_deeply_is_none():
    assert tables.as_list('["a", ["b"]]') == ["a", ["b"]]
    assert tables.as_list("[" * 100_000) is None
