"""Tests of albert.report.predictions: kinds of rows, and what is refused."""

import math

import pytest
from sample_runs import answered, classified, labelled, scored, tagged, write_rows

from albert.common.errors import UsageError
from albert.engine import results
from albert.report import predictions

RACE = {"id": "high1.txt", "question": "Why?", "options": ["a", "b", "c", "d"]}


def test_a_file_that_cannot_be_read_is_one_line(tmp_path):
    (tmp_path / "dev_predictions.jsonl").mkdir()
    with pytest.raises(UsageError, match="dev_predictions.jsonl cannot be read: Is a directory.$"):
        predictions.read(str(tmp_path))


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (classified(0, "no", "yes"), "classification"),
        (classified(0, "A", "B", labels="ABCD", **RACE), "classification"),
        (scored(0, 1, 2.5), "regression"),
        (labelled(0, [], ["a"], 0.5), "multi_label"),
        (answered(0, ["Ann"], ""), "squad"),
        (tagged(0, "Ann sings", "B-PER O", "O O"), "tagging"),
    ],
)
def test_the_kind_shows_in_a_row(tmp_path, row, kind):
    write_rows(tmp_path, [row])
    found = predictions.read(str(tmp_path))
    assert (found.kind, found.step) == (kind, 20)
    assert found.splits["dev"][0]["gold"] == row["gold"]


def test_rows_of_pretraining_count_as_no_predictions(tmp_path):
    row = {"step": 20, "split": "dev", "index": 0, "gold": 1, "predicted": 0, "num_masked": 3}
    write_rows(tmp_path, [row])
    assert predictions.read(str(tmp_path)) is None


def test_rows_of_splits_are_apart_and_in_order(tmp_path):
    rows = [classified(i, "no", "yes", split=f"dev_{'ab'[i % 2]}") for i in range(4)]
    write_rows(tmp_path, rows)
    splits = predictions.read(str(tmp_path)).splits
    assert {name: [row["index"] for row in rows] for name, rows in splits.items()} == {
        "dev_a": [0, 2],
        "dev_b": [1, 3],
    }


def test_null_becomes_nan(tmp_path):
    write_rows(tmp_path, [scored(0, 1.0, None)])
    assert math.isnan(predictions.read(str(tmp_path)).splits["dev"][0]["predicted"])


@pytest.mark.parametrize("rows", [None, []])
def test_a_run_without_rows_has_no_predictions(tmp_path, rows):
    if rows is not None:
        (tmp_path / results.DEV_PREDICTIONS).write_text("")
    assert predictions.read(str(tmp_path)) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"step": 20, "gold', "is not JSON: "),
        ("[1]", ": a JSON object was expected, not list"),
        (b"\xff", " is not UTF-8 text"),
        ({"gold": None}, ": 'gold' of the row must be of type str, not NoneType."),
        ({"gold": 1}, ": 'gold' of the row must be of type str, not int."),
        ({"text": 1}, ": 'text' of the row must be of type str, not int."),
        ({"text_pair": 1}, ": 'text_pair' of the row must be of type str, not int."),
        ({"index": "1"}, ": 'index' of the row must be of type int, not str."),
        ({"probabilities": {"no": "x"}}, ": 'probabilities' must be a number, not str."),
        ({"step": 30}, ": step 30 after step 20 in the lines above."),
    ],
)
def test_a_damaged_line_is_refused(tmp_path, line, message):
    write_rows(tmp_path, [classified(0, "no", "yes")])
    if isinstance(line, dict):
        import json

        line = json.dumps({**classified(1, "no", "no"), "step": 20, "split": "dev", **line})
    path = tmp_path / results.DEV_PREDICTIONS
    content = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(path.read_bytes() + content + b"\n")
    with pytest.raises(UsageError) as caught:
        predictions.read(str(tmp_path))
    assert str(caught.value).startswith(f"{path}:2") and message in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**tagged(0, "a b", "O O", "O O"), "gold": ["O"]}, "its lists are of different lengths."),
        (answered(0, [1], "a"), "'gold' of the row must hold texts only."),
        ({**answered(0, ["a"], "a"), "f1": True}, "'f1' must be a number, not bool."),
        (scored(0, "1", 2.0), "'gold' must be a number, not str."),
        (
            {key: value for key, value in scored(0, 1, 2).items() if key != "gold"},
            "the row has no 'gold'.",
        ),
    ],
)
def test_a_row_of_another_layout_is_refused(tmp_path, row, message):
    write_rows(tmp_path, [row])
    with pytest.raises(UsageError, match=":1: ") as caught:
        predictions.read(str(tmp_path))
    assert str(caught.value).endswith(message)
