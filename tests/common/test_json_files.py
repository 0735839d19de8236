"""Tests of albert.common.json_files."""

import json

import pytest

from albert.common.errors import UsageError
from albert.common.json_files import load_json, value_of, write_json


def test_a_json_object_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"é": [1, null]}', encoding="utf-8")
    assert load_json(str(path)) == {"é": [1, None]}


@pytest.mark.parametrize(
    "content, reason",
    [
        (None, ": No such file or directory."),
        (b"{", " is not JSON: Expecting property name"),
        (b'{"\xe9": 1}', " is not JSON: 'utf-8' codec can't decode"),
        (b"[]", " does not hold a JSON object."),
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
    ],
)
def test_a_value_that_is_missing_or_of_another_type_is_named(mapping, message):
    with pytest.raises(UsageError) as raised:
        value_of(mapping, "size", int, "a.json", "row 7")
    assert str(raised.value) == message


def test_a_value_of_the_expected_type_is_returned():
    assert value_of({"size": 3}, "size", int, "a.json", "row 7") == 3


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
