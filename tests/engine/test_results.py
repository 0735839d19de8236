"""Tests of albert.engine.results: eval_results.txt and eval_results.json."""

import json
import math
import os

import pytest

from albert.common.errors import UsageError
from albert.engine import results
from albert.engine.results import EvaluationRecord


def make_record(tmp_path, best_metric="accuracy"):
    return EvaluationRecord(str(tmp_path), best_metric)


def text_of(tmp_path):
    """Returns the lines of eval_results.txt."""
    text = (tmp_path / "eval_results.txt").read_text(encoding="utf-8")
    assert text.endswith("\n")
    return text.splitlines()


def json_of(tmp_path):
    return json.loads((tmp_path / "eval_results.json").read_text(encoding="utf-8"))


def values_of(lines, name):
    """Returns the values of all lines `name = value`."""
    return [line.split(" = ")[1] for line in lines if line.startswith(name + " = ")]


def test_settings_are_listed_under_hyperparameters(tmp_path):
    make_record(tmp_path).add_settings({"Task": "CoLA", "Learning rate": 1e-05})
    assert text_of(tmp_path) == [
        "===== Hyperparameters =====",
        "Task: CoLA",
        "Learning rate: 1e-05",
    ]


def test_an_evaluation_is_a_block_of_key_value_lines_in_order(tmp_path):
    make_record(tmp_path).add(200, "data", {"accuracy": 0.75, "loss": 0.5})
    assert text_of(tmp_path) == [
        "===== Hyperparameters =====",
        "===== Evaluation =====",
        "accuracy = 0.75",
        "eval_accuracy = 0.75",
        "eval_loss = 0.5",
        "global_step = 200",
        "loss = 0.5",
        "best = 0.75",
        "=" * 50,
        "Best step: 200",
        "Best accuracy: 0.75",
    ]


def test_metrics_have_both_our_names_and_the_original_ones(tmp_path):
    metrics = {"matthews_corr": 0.5625, "accuracy": 0.875, "loss": 0.25}
    make_record(tmp_path, "matthews_corr").add(1, "data", metrics)
    lines = text_of(tmp_path)
    for ours, original, value in [
        ("matthews_corr", "matthew_corr", "0.5625"),
        ("accuracy", "eval_accuracy", "0.875"),
        ("loss", "eval_loss", "0.25"),
    ]:
        assert values_of(lines, ours) == values_of(lines, original) == [value]


def test_metrics_without_an_original_name_have_only_ours(tmp_path):
    make_record(tmp_path, "pearson").add(1, "data", {"pearson": 0.5, "spearman": 0.25})
    lines = text_of(tmp_path)
    assert not [line for line in lines if line.startswith(("eval_", "matthew_corr"))]


@pytest.mark.parametrize(
    "scores, step, interval, count",
    [
        ({}, 9, 1, 0),
        ({1: 0.5, 2: 0.5, 3: 0.4}, 3, 1, 2),  # the earliest of equals is the best
        ({1: 0.5, 2: 0.4, 3: 0.6}, 3, 1, 0),
        ({1: 0.5, 2: 0.4, 3: 0.6}, 2, 1, 1),  # the run went back to step 2
        ({2: 0.5, 3: 0.9, 4: 0.6, 5: 0.1, 6: 0.4}, 6, 2, 1),  # stopped and resumed at 3 and at 5
        ({1: math.nan, 2: math.nan}, 2, 1, 2),
        ({1: 0.5, 2: math.nan, 3: 0.5}, 3, 1, 2),
    ],
)
def test_evaluations_since_the_best_one_are_counted(tmp_path, scores, step, interval, count):
    record = make_record(tmp_path)
    for number, score in scores.items():
        record.add(number, "data", {"accuracy": score})
    assert record.num_without_improvement(step, interval) == count


def test_best_in_the_text_is_the_highest_so_far(tmp_path):
    record = make_record(tmp_path)
    for step, score in enumerate([0.5, 0.25, 0.75, 0.5], 1):
        record.add(step, "data", {"accuracy": score})
    lines = text_of(tmp_path)
    assert values_of(lines, "global_step") == ["1", "2", "3", "4"]
    assert values_of(lines, "best") == ["0.5", "0.5", "0.75", "0.75"]
    assert lines[-2:] == ["Best step: 3", "Best accuracy: 0.75"]


def test_saved_files_are_listed_in_the_block_of_their_step(tmp_path):
    record = make_record(tmp_path)
    record.add(1, "data", {"accuracy": 0.5})
    record.note_saved(1, [("a/model.ckpt-1.index", "a/model.ckpt-best.index")])
    record.add(2, "data", {"accuracy": 0.25})
    lines = text_of(tmp_path)
    position = lines.index("saved a/model.ckpt-1.index to a/model.ckpt-best.index")
    assert lines[position - 1] == "best = 0.5"
    assert lines[position + 1] == "=" * 50
    assert sum(line.startswith("saved ") for line in lines) == 1


def test_evaluations_are_sorted_by_step(tmp_path):
    record = make_record(tmp_path)
    for step in (30, 10, 20):
        record.add(step, "data", {"accuracy": step / 100})
    assert [row["step"] for row in json_of(tmp_path)["evaluations"]] == [10, 20, 30]
    assert values_of(text_of(tmp_path), "global_step") == ["10", "20", "30"]


def test_the_json_file_holds_settings_evaluations_and_the_best(tmp_path):
    record = make_record(tmp_path)
    record.add_settings({"Seed": 42})
    record.add(1, "data", {"accuracy": 0.5, "loss": 2.0})
    record.add(2, "data", {"accuracy": 0.75, "loss": 1.0})
    stored = json_of(tmp_path)
    assert stored["settings"] == {"Seed": 42}
    assert stored["best_metric"] == "accuracy"
    assert stored["best"] == {"step": 2, "metrics": {"accuracy": 0.75, "loss": 1.0}}
    assert stored["evaluations"][0]["metrics"] == {"accuracy": 0.5, "loss": 2.0}


def test_there_is_no_best_without_evaluations(tmp_path):
    record = make_record(tmp_path)
    record.add_settings({"Seed": 42})
    assert record.best() is None
    assert json_of(tmp_path)["best"] is None


def test_no_file_is_written_before_there_is_a_result(tmp_path):
    make_record(tmp_path)
    assert os.listdir(tmp_path) == []


def test_the_earliest_of_equal_scores_is_best(tmp_path):
    record = make_record(tmp_path)
    for step in (30, 10, 20):
        record.add(step, "data", {"accuracy": 0.5})
    assert record.best()["step"] == 10


def test_negative_scores_can_be_best(tmp_path):
    record = make_record(tmp_path, "matthews_corr")
    record.add(1, "data", {"matthews_corr": -0.5})
    record.add(2, "data", {"matthews_corr": -0.25})
    assert record.best()["step"] == 2


def test_best_in_the_text_is_the_highest_so_far_of_negative_scores_too(tmp_path):
    record = make_record(tmp_path, "matthews_corr")
    for step, score in enumerate([-0.5, -0.75, -0.25], 1):
        record.add(step, "data", {"matthews_corr": score})
    assert values_of(text_of(tmp_path), "best") == ["-0.5", "-0.5", "-0.25"]
    assert text_of(tmp_path)[-2:] == ["Best step: 3", "Best matthews_corr: -0.25"]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_diverged_model_is_never_the_best_whatever_its_accuracy(tmp_path, loss):
    record = EvaluationRecord(str(tmp_path), "accuracy")
    record.add(1, "dev", {"accuracy": 0.5, "loss": 0.7})
    record.add(2, "dev", {"accuracy": 0.9, "loss": loss})
    assert record.best()["step"] == 1
    assert make_record(tmp_path).best()["step"] == 1


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_never_best(tmp_path, score):
    record = make_record(tmp_path)
    record.add(1, "data", {"accuracy": score})
    assert record.best() is None
    record.add(2, "data", {"accuracy": 0.125})
    record.add(3, "data", {"accuracy": score})
    assert record.best()["step"] == 2
    assert make_record(tmp_path).best()["step"] == 2
    assert values_of(text_of(tmp_path), "best")[1:] == ["0.125", "0.125"]


def test_the_lowest_score_is_best_where_the_task_says_so(tmp_path):
    record = EvaluationRecord(str(tmp_path), "loss", greater_is_better=False)
    for step, loss in enumerate([0.5, math.nan, 0.25, -0.5, -0.5, 0.0], 1):
        record.add(step, "data", {"loss": loss})
    assert record.best()["step"] == 4
    assert values_of(text_of(tmp_path), "best") == ["0.5", "0.5", "0.25", "-0.5", "-0.5", "-0.5"]
    assert json_of(tmp_path)["greater_is_better"] is False


def test_the_json_file_holds_null_for_what_is_not_finite_and_is_read_back(tmp_path):
    make_record(tmp_path).add(1, "data", {"accuracy": math.nan, "loss": math.inf, "f1": 0.5})
    text = (tmp_path / "eval_results.json").read_text(encoding="utf-8")
    (row,) = json.loads(text, parse_constant=pytest.fail)["evaluations"]
    assert row["metrics"] == {"accuracy": None, "loss": None, "f1": 0.5}
    again = make_record(tmp_path)
    assert again.best() is None
    assert math.isnan(again.metrics_by_step()[1]["accuracy"])
    again.add(2, "data", {"accuracy": 0.5})
    assert again.best()["step"] == 2


def test_a_record_of_an_earlier_release_may_hold_nan(tmp_path):
    make_record(tmp_path).add(1, "data", {"accuracy": math.nan})
    path = tmp_path / "eval_results.json"
    path.write_text(path.read_text().replace('"accuracy": null', '"accuracy": NaN'))
    assert math.isnan(make_record(tmp_path).metrics_by_step()[1]["accuracy"])


def test_a_step_is_found_only_with_the_data_it_was_evaluated_on(tmp_path):
    record = make_record(tmp_path)
    record.add(1, "old", {"accuracy": 0.5})
    assert record.find(1, "old")["metrics"] == {"accuracy": 0.5}
    assert record.find(1, "new") is None
    assert record.find(2, "old") is None


def test_a_new_evaluation_of_a_step_replaces_the_old_one(tmp_path):
    record = make_record(tmp_path)
    record.add(1, "data", {"accuracy": 0.5})
    record.add(1, "data", {"accuracy": 0.25})
    (row,) = json_of(tmp_path)["evaluations"]
    assert row["metrics"] == {"accuracy": 0.25}


def test_the_record_of_an_earlier_run_is_kept(tmp_path):
    first = make_record(tmp_path)
    first.add_settings({"seed": 42, "total_seconds": 10.0})
    first.add(1, "data", {"accuracy": 0.5})
    first.note_saved(1, [("one", "best")])
    second = make_record(tmp_path)
    assert second.setting("total_seconds") == 10.0
    assert second.best()["step"] == 1
    second.add_settings({"total_seconds": 12.5})
    second.add(2, "data", {"accuracy": 0.25})
    stored = json_of(tmp_path)
    assert stored["settings"] == {"seed": 42, "total_seconds": 12.5}
    assert [row["step"] for row in stored["evaluations"]] == [1, 2]
    lines = text_of(tmp_path)
    assert "Seed: 42" in lines and "Total time: 12.5" in lines
    assert "saved one to best" in lines


def test_settings_under_the_labels_of_older_records_are_understood(tmp_path):
    make_record(tmp_path).add_settings({"Training steps": 7, "own": 1})
    record = make_record(tmp_path)
    assert record.setting("train_steps") == 7
    record.write()
    assert json_of(tmp_path)["settings"] == {"train_steps": 7, "own": 1}


def test_an_unknown_setting_has_the_default_value(tmp_path):
    record = make_record(tmp_path)
    assert record.setting("seed") is None
    assert record.setting("total_seconds", 0.0) == 0.0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"settings": {}, "evalua',
        b"[]",
        b"null",
        b"{}",
        b'{"settings": {}, "evaluations": 3}',
        b'{"settings": {}, "evaluations": [3]}',
        b'{"settings": {}, "evaluations": [{"metrics": {}}]}',
        b"\xff\xfe\n\n",
        b'{"settings": {"total_seconds": "long"}, "evaluations": []}',
        b'{"settings": {}, "evaluations": [{"step": true, "dataset": "", "metrics": {}}]}',
        b'{"settings": {}, "evaluations": [{"step": 1, "dataset": 2, "metrics": {}}]}',
        b'{"settings": {}, "evaluations": [{"step": 1, "dataset": "", "metrics": [1]}]}',
        b'{"settings": {}, "evaluations": [{"step": 1, "dataset": "", "metrics": {"f1": "1"}}]}',
        b'{"settings": {}, "evaluations": [{"step": 1, "dataset": "", "metrics": {}, "saved": 1}]}',
    ],
)
def test_a_garbage_json_file_is_a_usage_error_of_one_line(tmp_path, content):
    path = tmp_path / "eval_results.json"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        make_record(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert path.read_bytes() == content


def test_files_stay_complete_if_a_write_fails(tmp_path, monkeypatch):
    record = make_record(tmp_path)
    record.add(1, "data", {"accuracy": 0.5})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full_disk(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results.files.os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        record.add(2, "data", {"accuracy": 0.75})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
