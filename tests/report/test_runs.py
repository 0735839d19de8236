"""Tests of albert.report.runs."""

import json
import math

import numpy as np
import pytest
from sample_runs import write_run

from albert.common.errors import UsageError
from albert.report import runs

EVALUATIONS = {10: {"accuracy": 0.5, "loss": 0.7}, 20: {"accuracy": 0.75, "loss": 0.5}}


def read_one(folder):
    (run,) = runs.read([str(folder)])
    return run


def test_a_run_is_read(tmp_path):
    folder = tmp_path / "CoLA"
    write_run(folder, EVALUATIONS, losses=[3.0, 2.0], learning_rate=0.1)
    run = read_one(folder)
    assert (run.name, run.task, run.best_metric) == ("CoLA", "CoLA", "accuracy")
    assert run.best == (20, EVALUATIONS[20])
    assert run.evaluations == list(EVALUATIONS.items())
    assert run.settings["learning_rate"] == run.options["learning_rate"] == 0.1
    np.testing.assert_allclose(run.training_loss, [(1, 3), (2, 2)])


def test_metrics_that_are_null_are_nan(tmp_path):
    write_run(tmp_path, {10: {"accuracy": None}})
    run = read_one(tmp_path)
    assert run.best is None
    assert math.isnan(run.evaluations[0].metrics["accuracy"])


def test_evaluations_of_other_data_than_those_of_the_best_are_left_out(tmp_path):
    write_run(tmp_path, EVALUATIONS)
    path = tmp_path / "eval_results.json"
    record = json.loads(path.read_text())
    record["evaluations"].append({"step": 30, "dataset": "other", "metrics": {"accuracy": 1.0}})
    path.write_text(json.dumps(record))
    assert [evaluation.step for evaluation in read_one(tmp_path).evaluations] == [10, 20]
    assert read_one(tmp_path).best.step == 20


def test_a_record_of_an_earlier_release_is_read(tmp_path):
    write_run(tmp_path, EVALUATIONS)
    path = tmp_path / "eval_results.json"
    record = json.loads(path.read_text())
    record["settings"] = {"Task": "SQuAD 2.0", "Learning rate": 0.1}
    del record["greater_is_better"]
    path.write_text(json.dumps(record).replace('"loss": 0.7', '"loss": NaN'))
    (tmp_path / "run.json").write_text(json.dumps({"--seed": 1, "--task_name": "squad2.0"}))
    run = read_one(tmp_path)
    assert run.settings == {"task": "SQuAD 2.0", "learning_rate": 0.1}
    assert (run.options, run.dev_data) == ({}, {})


def test_a_run_that_was_never_evaluated_is_read(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"settings": {"task_name": "cola"}}))
    run = read_one(tmp_path)
    assert (run.task, run.best, list(run.evaluations)) == ("cola", None, [])


def test_a_folder_stands_for_the_runs_below_it(tmp_path):
    first = write_run(tmp_path / "seed1" / "CoLA", EVALUATIONS)
    write_run(tmp_path / "seed1" / "CoLA" / "predictions_other", EVALUATIONS)
    second = write_run(tmp_path / "seed2" / "CoLA", EVALUATIONS)
    predicted = tmp_path / "predicted"  # by a checkpoint from elsewhere
    predicted.mkdir()
    (predicted / "run.json").write_text(json.dumps({"settings": {}, "data": {"dev": {}}}))
    found = runs.find([str(tmp_path), first])
    assert found == [first, second]
    assert [run.name for run in runs.read(found)] == ["seed1/CoLA", "seed2/CoLA"]


def test_a_folder_without_a_run_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty holds no run, nor do the folders below it: give"):
        runs.find([str(tmp_path / "empty")])
    with pytest.raises(UsageError, match="nowhere is not a folder: give the output_dir of a run.$"):
        runs.find([str(tmp_path / "nowhere")])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("best_metric", 1),
        ("settings", 7),
        ("best", 7),
        ("best", {"step": "x"}),
        ("evaluations", 1),
    ],
)
def test_a_damaged_record_is_refused(tmp_path, key, value):
    write_run(tmp_path, EVALUATIONS)
    path = tmp_path / "eval_results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(UsageError, match="eval_results.json"):
        read_one(tmp_path)
