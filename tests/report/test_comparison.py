"""Tests of albert.report.comparison."""

import math

import numpy as np

from albert.report import comparison
from albert.report.runs import Evaluation, Run


def run(score=0.5, task="CoLA", metric="accuracy", dev_data=None, labels=None, **options):
    best = None if score is None else Evaluation(10, {metric: score, "loss": 1 - score})
    return Run(
        name="run",
        folder="run",
        task=task,
        best_metric=metric,
        greater_is_better=metric != "mse",
        best=best,
        evaluations=[best] if best else [],
        settings={"labels": labels},
        options={"seed": 1, "learning_rate": 0.1, **options},
        dev_data=dev_data or {},
        training_loss=np.zeros((0, 2)),
    )


def test_runs_of_a_task_are_grouped():
    runs = [run(), run(task="RTE"), run(), run(labels=["a", "b"]), run(labels=["a", "c"])]
    groups = comparison.groups_of(runs)
    numbers = {id(each): number for number, each in enumerate(runs)}
    found = [[numbers[id(each)] for each in group] for group in groups]
    assert found == [[0, 2], [1], [3], [4]]


def test_tasks_of_one_name_are_told_apart_by_their_labels():
    groups = [[run(labels=["a", "b"])], [run(labels=["c"])], [run(task="RTE", labels=["a"])]]
    groups += [[run()._replace(settings={"labels": [], "task_type": "regression"})]]
    assert comparison.titles_of(groups) == ["CoLA: a, b", "CoLA: c", "RTE", "CoLA: regression"]


def test_the_deciding_metric_is_shown_first_and_the_loss_last():
    metrics = dict.fromkeys(
        ["loss", "exact", "f1", "best_f1", "best_f1_thresh", "precision_yes", "recall_yes"], 0.5
    )
    evaluated = run(metric="f1")._replace(evaluations=[Evaluation(1, metrics)])
    assert comparison.shown_metrics([evaluated]) == ["f1", "exact", "loss"]


def test_the_best_run_has_the_best_score():
    low, high, none = run(0.2), run(0.8), run(None)
    assert comparison.best_run([none, low, high]) is high
    assert comparison.best_run([none]) is None
    low, high = run(0.2, metric="mse"), run(0.8, metric="mse")
    assert comparison.best_run([high, low]) is low


def test_the_metric_of_the_first_run_decides_which_is_best():
    by_accuracy, by_loss = run(0.2), run(0.8)._replace(best_metric="loss", greater_is_better=False)
    assert comparison.best_run([by_accuracy, by_loss]) is by_loss
    other = run(0.9, metric="f1")
    assert comparison.best_run([by_accuracy, other]) is by_accuracy


def test_only_settings_that_differ_and_matter_are_compared():
    runs = [
        run(output_dir="a", do_train=True, optimizer="adamw", new=1),
        run(output_dir="b", do_train=False, optimizer="lamb"),
    ]
    assert comparison.differing_settings(runs) == {"optimizer": ["adamw", "lamb"]}


def test_runs_of_older_releases_are_compared_by_their_settings():
    old = run()._replace(options={}, settings={"seed": 2, "train_steps": 9})
    assert comparison.differing_settings([run(), old]) == {"seed": [1, 2]}


def test_the_spread_over_seeds_is_median_lowest_and_highest():
    scores = [0.5, 0.9, 0.6, None]
    runs = [run(score, seed=seed) for seed, score in enumerate(scores)]
    (spread,) = comparison.spreads_of(runs, ["accuracy", "f1"])
    assert (spread.seeds, spread.num_runs, spread.settings) == ([0, 1, 2, 3], 3, {})
    assert spread.metrics == {"accuracy": (0.6, 0.5, 0.9)}


def test_each_set_of_seeds_has_a_spread():
    runs = [run(seed / 10, seed=seed, learning_rate=rate) for rate in (1, 2) for seed in (1, 2)]
    runs += [run(0.9, seed=1, learning_rate=3)]
    spreads = comparison.spreads_of(runs, ["accuracy"])
    assert [spread.settings for spread in spreads] == [{"learning_rate": 1}, {"learning_rate": 2}]
    assert all(math.isclose(spread.metrics["accuracy"][0], 0.15) for spread in spreads)


def test_runs_with_one_seed_have_no_spread():
    assert comparison.spreads_of([run(learning_rate=1), run(learning_rate=2)], ["accuracy"]) == []
    assert comparison.spreads_of([run(), run()], ["accuracy"]) == []


def test_different_dev_data_are_noticed():
    known, other, unknown = run(dev_data={"dev": "1"}), run(dev_data={"dev": "2"}), run()
    assert comparison.have_other_data([known, unknown, other])
    assert not comparison.have_other_data([known, unknown, known])
