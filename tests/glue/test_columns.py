"""Tests of albert.glue.columns: what the columns and labels of the user's own files are."""

import pathlib
import re

import numpy as np
import pytest

from albert.common.errors import UsageError
from albert.common.tables import Row
from albert.glue import columns


def rows_of(*all_cells):
    return [Row(f"f:{number}", cells) for number, cells in enumerate(all_cells, 2)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("text label", ("text", None, ("label",))),
        ("Sentence Label", ("Sentence", None, ("Label",))),
        ("id review stars rating", ("review", None, ("rating",))),
        ("anything label", ("anything", None, ("label",))),
        ("idx sentence1 sentence2 label", ("sentence1", "sentence2", ("label",))),
        ("question sentence label", ("question", "sentence", ("label",))),
        ("premise hypothesis genre label", ("premise", "hypothesis", ("label",))),
        ("text text_pair category", ("text", "text_pair", ("category",))),
    ],
)
def test_usual_names_are_found(names, expected):
    rows = rows_of(dict.fromkeys(names.split(), "2"))
    assert columns.find_columns(rows, "f") == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("text", "holds the labels is not clear from 'text': name it by label_column"),
        ("text label class", "holds the labels is not clear"),
        ("text review label", "holds the text is not clear from 'text', 'review'"),
        ("a b label", "holds the text is not clear"),
        ("text Text label", "holds the text is not clear from 'text', 'Text'"),
        ("text sentence1 sentence2 label", "holds the text is not clear"),
    ],
)
def test_what_is_not_clear_is_asked_for(names, message):
    with pytest.raises(UsageError, match=message):
        columns.find_columns(rows_of(dict.fromkeys(names.split(), "2")), "f")


def test_given_names_decide_and_must_exist():
    rows = rows_of({"a": "x", "b": "y", "c": "z", "text": "t", "label": "l"})
    found = columns.find_columns(rows, "f", text="a", text_pair="b", labels=["c"])
    assert found == ("a", "b", ("c",))
    with pytest.raises(UsageError, match="text_column=d: f has no such column; it has 'a', 'b'"):
        columns.find_columns(rows, "f", text="d")


def test_several_columns_of_0_and_1_are_labels():
    rows = rows_of(
        {"text": "a", "rude": "0", "spam": True, "more": [0]},
        {"text": "b", "rude": "1", "spam": "1", "more": []},
    )
    found = columns.find_columns(rows, "f")
    assert found == ("text", None, ("rude", "spam"))
    assert columns.infer_task_type(rows, found, None) == "multi_label"
    labels = [columns.label_of(row, found, "multi_label", None) for row in rows]
    assert labels == [("spam",), ("rude", "spam")]
    with pytest.raises(UsageError, match="^f:2: 'rude' must be 0 or 1, not 'x'"):
        columns.label_of(Row("f:2", {"rude": "x"}), found, "multi_label", None)


@pytest.mark.parametrize(
    ("labels", "separator", "expected"),
    [
        (["0", "1", "2"], None, "classification"),
        (["-1", "1"], None, "classification"),
        (["yes", "0.5"], None, "classification"),
        (["0.5", "2"], None, "regression"),
        ([0.5, 2], None, "regression"),
        (["nan", "1"], None, "classification"),
        ([["a"], []], None, "multi_label"),
        (['["a"]', "[]"], None, "multi_label"),
        (["a", "a|b"], "|", "multi_label"),
    ],
)
def test_task_types_are_told_from_the_labels(labels, separator, expected):
    rows = rows_of(*[{"text": "t", "label": label} for label in labels])
    found = columns.find_columns(rows, "f")
    assert columns.infer_task_type(rows, found, separator) == expected


@pytest.mark.parametrize(
    ("value", "separator", "expected"),
    [
        (["a", 1, "a"], None, ("a", "1")),
        ('["a", "b"]', None, ("a", "b")),
        ("a| b ||a", "|", ("a", "b")),
        ("", "|", ()),
    ],
)
def test_labels_of_one_cell(value, separator, expected):
    row = Row("f:2", {"label": value})
    found = columns.Columns("text", None, ("label",))
    assert columns.label_of(row, found, "multi_label", separator) == expected


def test_a_label_that_is_missing_or_no_list_is_refused():
    found = columns.Columns("text", None, ("label",))
    with pytest.raises(UsageError, match="^f:2: there is no label in 'label'"):
        columns.label_of(Row("f:2", {"label": ""}), found, "classification", None)
    with pytest.raises(UsageError, match="^f:2: 'label' must be a JSON list of labels, not 'a,b'"):
        columns.label_of(Row("f:2", {"label": "a,b"}), found, "multi_label", None)


def test_labels_are_sorted_as_numbers_if_all_are_numbers():
    assert columns.sorted_labels(["10", "2", "2"]) == ["2", "10"]
    assert columns.sorted_labels(["10", "2", "b"]) == ["10", "2", "b"]


def test_the_same_share_of_every_label_is_held_out():
    keys = ["a"] * 100 + ["b"] * 40 + ["c"]
    taken = columns.held_out(keys, 0.1, np.random.RandomState(3))
    counts = [sum(keys[index] == key for index in taken) for key in "abc"]
    assert counts == [10, 4, 0]
    assert taken == columns.held_out(keys, 0.1, np.random.RandomState(3))
    assert taken != columns.held_out(keys, 0.1, np.random.RandomState(4))


def test_the_only_example_of_a_label_is_not_held_out():
    keys = ["a"] * 9 + ["b"]  # of which the tenth would be taken
    assert columns.held_out(keys, 0.1, np.random.RandomState(3)) == []


def test_the_documents_list_the_usual_names():
    page = (pathlib.Path(__file__).parents[2] / "docs" / "own_tasks.md").read_text("utf-8")
    rows = {
        line.split("|")[1].strip(): line.split("|")[2]
        for line in page.splitlines()
        if line[:1] == "|"
    }
    found = {row: set(re.findall("`(.+?)`", cell)) for row, cell in rows.items()}
    assert found["text"] == set(columns._TEXTS)
    assert found["label"] == set(columns._LABELS)
    assert found["pair of texts"] == {name for pair in columns._PAIRS for name in pair}
