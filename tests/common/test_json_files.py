"""Tests of albert.common.json_files."""

import json

import pytest

from albert.common.errors import UsageError
from albert.common.json_files import as_json, load_json, parse_json, value_of, write_json


def test_a_json_object_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"é": [1, null, -123456789012345678, 2.5]}', encoding="utf-8")
    assert load_json(str(path)) == {"é": [1, None, -123456789012345678, 2.5]}


def test_a_byte_order_mark_is_no_part_of_the_json(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert load_json(str(path)) == {"a": 1}


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(UsageError) as raised:
        load_json(str(tmp_path))
    assert str(raised.value) == f"{tmp_path}: Is a directory."


def test_a_hundred_levels_are_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a":' * 100 + "1" + "}" * 100)
    assert list(load_json(str(path))) == ["a"]


@pytest.mark.parametrize(
    "content, reason",
    [
        (None, ": No such file or directory."),
        (b"{", " is not JSON: Expecting property name"),
        (b"[]", " does not hold a JSON object."),
        (
            b'\n{"caf\xe9": 1}',
            " is not UTF-8 text: byte 6 (line 2) is 0xe9. It looks like Latin-1; save it as UTF-8.",
        ),
        (
            b'\xef\xbb\xbf{"\xe9": 1}',
            " is not UTF-8 text: byte 5 (line 1) is 0xe9. It looks like Latin-1",
        ),
        (
            "{}".encode("utf-16"),
            " is not UTF-8 text: byte 0 (line 1) is 0xff. It looks like UTF-16;",
        ),
        (
            '{"a": 1}\n'.encode("utf-16-be"),
            " is not UTF-8 text: byte 0 (line 1) is 0x00. It looks like UTF-16;",
        ),
        (
            b"\x1f\x8b\x08 zipped",
            " is not UTF-8 text: byte 1 (line 1) is 0x8b. It looks like a binary file;",
        ),
        (b'{"a": NaN}', " is not JSON: NaN is not a finite number."),
        (b'{"a": -Infinity}', " is not JSON: -Infinity is not a finite number."),
        (b'{"a": 1e999}', " is not JSON: 1e999 is not a finite number."),
        (
            b'{"a": -1234567890123456789}',
            " is not JSON: -12345678901234567... has more than 18 digits.",
        ),
        (b'{"a":' * 101 + b"1" + b"}" * 101, " cannot be read: it is nested more than 100 levels"),
        (b"[" * 99999, " cannot be read: it is nested more than 100 levels deep."),
    ],
)
def test_what_is_wrong_with_a_file_is_named_after_its_path_or_its_setting(
    tmp_path, content, reason
):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        load_json(str(path))
    assert str(raised.value).startswith(f"{path}{reason}")
    with pytest.raises(UsageError) as raised:
        load_json(str(path), setting="config_file")
    assert raised.value.text("--{}".format).startswith(f"--config_file={path}{reason}")


@pytest.mark.parametrize(
    "mapping, message",
    [
        ({}, "a.json: row 7 has no 'size'."),
        ([], "a.json: row 7 has no 'size'."),
        ({"size": "1"}, "a.json: 'size' of row 7 must be of type int, not str."),
        ({"size": True}, "a.json: 'size' of row 7 must be of type int, not bool."),
    ],
)
def test_a_value_that_is_missing_or_of_another_type_is_named(mapping, message):
    with pytest.raises(UsageError) as raised:
        value_of(mapping, "size", int, "a.json", "row 7")
    assert str(raised.value) == message


def test_a_value_of_the_expected_type_is_returned():
    assert value_of({"size": 3}, "size", int, "a.json", "row 7") == 3
    assert value_of({"whole": True}, "whole", bool, "a.json", "row 7") is True


def test_numbers_that_are_not_finite_are_written_as_null(tmp_path):
    path = tmp_path / "values.json"
    write_json(str(path), {"f1": float("nan"), "rows": [(float("inf"), 1.5)]})
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "f1": None,
        "rows": [[None, 1.5]],
    }


def test_a_lone_surrogate_is_written_as_an_escape_and_read_back(tmp_path):
    path = tmp_path / "values.json"
    write_json(str(path), {"\ud83d": "é \udc00 😀"})
    assert "é " in path.read_text(encoding="utf-8")
    assert load_json(str(path)) == {"\ud83d": "é \udc00 😀"}


def test_what_ends_a_line_for_some_programs_is_an_escape():
    text = "".join(map(chr, range(0x2100)))
    assert len(as_json(text).splitlines()) == 1 and json.loads(as_json(text)) == text


def test_a_text_may_stand_for_any_value_but_not_too_deep_a_one():
    assert [parse_json(text) for text in ("[1, {}]", '"a"', "null")] == [[1, {}], "a", None]
    assert parse_json("NaN", allow_nan=True) != parse_json("0")
    for text in ("[" * 101 + "]" * 101, "[" * 100_000):
        with pytest.raises(RecursionError):
            parse_json(text)
    assert parse_json("1" * 19, max_digits=19) == int("1" * 19)
    for text in ("NaN", "1e999", "1" * 19, "", "{"):
        with pytest.raises(ValueError):
            parse_json(text)
