"""Tests of GLUE's metrics on cases small enough to work out by hand."""

import pytest

from albert.glue import metrics, table


def test_f1_is_that_of_class_1():
    # Class 1: two predicted, one of them right, one missed. Class 0 would give 2/3.
    found = metrics.accuracy_and_f1([1, 1, 0, 0, 0], [1, 0, 1, 0, 0])
    assert found == {"accuracy": pytest.approx(0.6), "f1": pytest.approx(0.5)}


@pytest.mark.parametrize(
    "task, metric",
    [("cola", "matthews_corr"), ("sts-b", "pearson"), ("mrpc", "accuracy"), ("qqp", "accuracy")],
)
def test_the_best_checkpoint_is_that_of_the_metric_in_the_table(task, metric):
    assert table.GLUE_ROWS[task].best_metric == metric
