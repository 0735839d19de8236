"""Tests of albert.glue.metrics against values worked out by hand."""

import math
import warnings

import numpy as np
import pytest

from albert.glue import metrics


def from_confusion(true_positive, false_positive, false_negative, true_negative):
    """Returns (labels, predictions) with that confusion table."""
    labels = [1] * true_positive + [0] * false_positive + [1] * false_negative + [0] * true_negative
    predictions = (
        [1] * true_positive + [1] * false_positive + [0] * false_negative + [0] * true_negative
    )
    return labels, predictions


def pearson_by_hand(first, second):
    first = np.asarray(first, np.float64) - np.mean(first)
    second = np.asarray(second, np.float64) - np.mean(second)
    return (first * second).sum() / math.sqrt((first**2).sum() * (second**2).sum())


def test_accuracy_is_the_fraction_of_equal_labels():
    assert metrics.accuracy([0, 1, 2, 1, 0], [0, 1, 1, 1, 2]) == {"accuracy": 0.6}


def test_matthews_correlation_follows_its_formula():
    # (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) = (5*4 - 2*3) / sqrt(7*8*6*7)
    values = metrics.matthews(*from_confusion(5, 2, 3, 4))
    assert values["matthews_corr"] == pytest.approx(14 / math.sqrt(7 * 8 * 6 * 7), abs=1e-12)


def test_matthews_comes_with_accuracy():
    values = metrics.matthews(*from_confusion(5, 2, 3, 4))
    assert set(values) == {"matthews_corr", "accuracy"}
    assert values["accuracy"] == pytest.approx(9 / 14, abs=1e-12)


@pytest.mark.parametrize(
    "table, expected", [((3, 0, 0, 2), 1.0), ((0, 3, 2, 0), -1.0), ((2, 2, 2, 2), 0.0)]
)
def test_matthews_correlation_reaches_its_bounds_and_zero(table, expected):
    value = metrics.matthews(*from_confusion(*table))["matthews_corr"]
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("table", [(3, 2, 0, 0), (0, 0, 3, 2), (3, 0, 2, 0)])
def test_matthews_correlation_of_constant_input_is_0_without_a_warning(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metrics.matthews(*from_confusion(*table))["matthews_corr"] == 0.0


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_matthews_correlation_is_0_if_there_is_only_one_label():
    values = metrics.matthews(*from_confusion(0, 0, 0, 4))
    assert values == {"matthews_corr": 0.0, "accuracy": 1.0}


def test_pearson_follows_its_formula():
    # Deviations: -1.5 -0.5 0.5 1.5 and -2 0 -1 3; their products sum to 7, the squares to 5, 14.
    values = metrics.correlations([1, 2, 3, 4], [1, 3, 2, 6])
    assert values["pearson"] == pytest.approx(7 / math.sqrt(5 * 14), abs=1e-12)


def test_spearman_follows_the_formula_of_rank_differences():
    # Ranks 1 2 3 4 against 1 3 2 4: 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15)
    values = metrics.correlations([1, 2, 3, 4], [1, 3, 2, 6])
    assert values["spearman"] == pytest.approx(0.8, abs=1e-12)


def test_spearman_gives_ties_their_mean_rank():
    values = metrics.correlations([5.0, 0.0, 5.0, 2.5, 2.5, 2.5], [9.0, 1.0, 2.0, 2.0, 4.0, 3.0])
    expected = pearson_by_hand([5.5, 1, 5.5, 3, 3, 3], [6, 1, 2.5, 2.5, 5, 4])
    assert values["spearman"] == pytest.approx(expected, abs=1e-12)


def test_spearman_depends_on_the_order_only():
    labels = [0.0, 1.5, 2.0, 4.5]
    values = metrics.correlations(labels, list(np.exp(labels)))
    assert values["spearman"] == pytest.approx(1.0, abs=1e-12)
    assert values["pearson"] == pytest.approx(pearson_by_hand(labels, np.exp(labels)), abs=1e-12)
    assert values["pearson"] < 0.95


@pytest.mark.parametrize(
    "labels, predictions",
    [([1.0, 2.0, 3.0], [0.7] * 3), ([2.5] * 3, [1.0, 2.0, 3.0]), ([1.0] * 2, [1.0] * 2)],
)
def test_correlations_of_constant_input_are_0_without_a_warning_from_scipy(labels, predictions):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = metrics.correlations(labels, predictions)
    assert values == {"pearson": 0.0, "spearman": 0.0}


def test_constant_input_is_reported_in_one_log_line(caplog):
    metrics.correlations([1.0, 2.0], [0.5, 0.5])
    (record,) = caplog.records
    assert record.levelname == "WARNING"


def test_a_single_example_has_no_correlation():
    assert metrics.correlations([1.0], [2.0]) == {"pearson": 0.0, "spearman": 0.0}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "function, names",
    [
        (metrics.accuracy, ["accuracy"]),
        (metrics.accuracy_and_f1, ["accuracy", "f1"]),
        (metrics.matthews, ["accuracy", "matthews_corr"]),
        (metrics.correlations, ["pearson", "spearman"]),
    ],
)
def test_every_metric_of_a_prediction_or_label_that_is_not_finite_is_nan(function, names, bad):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values in (function([0, 1, 1], [0, bad, 1]), function([0, bad, 1], [0, 1, 1])):
            assert sorted(values) == names
            assert all(math.isnan(value) for value in values.values())


@pytest.mark.parametrize("function", [metrics.accuracy, metrics.matthews, metrics.correlations])
def test_values_are_python_floats_even_for_numpy_input(function):
    values = function(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
    assert all(type(value) is float for value in values.values())
