"""Metrics of GLUE (arXiv 1804.07461) and of other classification: functions of two sequences.

A metric takes two sequences of equal length, labels first, and returns {name: float}. All its
values are NaN if a label or a prediction is not finite, as those of a model that has diverged are.
SciPy and scikit-learn, which take long to import, are imported when they are used.
"""

import functools
import logging
import math
from typing import Callable, Dict, Sequence

import numpy as np

from albert.common.files import as_cell

Metric = Callable[[Sequence[float], Sequence[float]], Dict[str, float]]

_log = logging.getLogger(__name__)


def _nan_unless_finite(*names: str) -> Callable[[Metric], Metric]:
    """Returns a decorator of a metric that returns these names."""

    def decorate(metric: Metric) -> Metric:
        @functools.wraps(metric)
        def checked(labels: Sequence[float], predictions: Sequence[float]) -> Dict[str, float]:
            if not all(np.isfinite(values).all() for values in (labels, predictions)):
                return dict.fromkeys(names, math.nan)
            return metric(labels, predictions)

        return checked

    return decorate


@_nan_unless_finite("accuracy")
def accuracy(labels: Sequence[float], predictions: Sequence[float]) -> Dict[str, float]:
    """Returns the fraction of predictions that equal their label."""
    from sklearn import metrics as sklearn_metrics

    return {"accuracy": float(sklearn_metrics.accuracy_score(labels, predictions))}


@_nan_unless_finite("accuracy", "f1")
def accuracy_and_f1(labels: Sequence[float], predictions: Sequence[float]) -> Dict[str, float]:
    """Returns accuracy, and the F1 of class 1, which is 0 if that class never occurs."""
    from sklearn import metrics as sklearn_metrics

    f1 = float(sklearn_metrics.f1_score(labels, predictions, zero_division=0))
    return dict(accuracy(labels, predictions), f1=f1)


@_nan_unless_finite("matthews_corr", "accuracy")
def matthews(labels: Sequence[float], predictions: Sequence[float]) -> Dict[str, float]:
    """Returns Matthews correlation, which is 0 if either side is constant, and accuracy."""
    from sklearn import metrics as sklearn_metrics

    correlation = float(sklearn_metrics.matthews_corrcoef(labels, predictions))
    return dict(matthews_corr=correlation, **accuracy(labels, predictions))


@_nan_unless_finite("pearson", "spearman")
def correlations(labels: Sequence[float], predictions: Sequence[float]) -> Dict[str, float]:
    """Returns Pearson's and Spearman's correlation, which are 0 if either side is constant."""
    from scipy import stats

    if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
        _log.warning("All labels or all predictions are equal: correlations are set to 0.")
        return {"pearson": 0.0, "spearman": 0.0}
    return {
        "pearson": float(stats.pearsonr(labels, predictions)[0]),
        "spearman": float(stats.spearmanr(labels, predictions)[0]),
    }


def of_classes(
    labels: Sequence[int], predictions: Sequence[int], names: Sequence[str]
) -> Dict[str, float]:
    """Returns the metrics of a classification, given ids of classes and the classes' names.

    Macro averages are over the classes that occur. Precision, recall and F1 are 0 where they are
    not defined. Of two classes the second counts as positive, for `f1`.
    """
    from sklearn import metrics as sklearn_metrics

    values = matthews(labels, predictions)
    for average in ("macro", "weighted"):
        f1 = sklearn_metrics.f1_score(labels, predictions, average=average, zero_division=0)
        values[f"{average}_f1"] = float(f1)
    if len(names) == 2:
        values.update(accuracy_and_f1(labels, predictions))
    return dict(values, **_of_each(labels, predictions, names, range(len(names))))


def of_scores(labels: Sequence[float], predictions: Sequence[float]) -> Dict[str, float]:
    """Returns the correlations and the mean squared error of a regression."""
    from sklearn import metrics as sklearn_metrics

    error = float(sklearn_metrics.mean_squared_error(labels, predictions))
    return dict(correlations(labels, predictions), mse=error)


def of_label_sets(
    labels: Sequence[Sequence[float]],
    predictions: Sequence[Sequence[float]],
    names: Sequence[str],
) -> Dict[str, float]:
    """Returns the metrics where an example has any number of labels: 0 or 1 [examples, labels].

    `accuracy` is the share of the examples that have exactly the labels predicted.
    """
    from sklearn import metrics as sklearn_metrics

    true, predicted = np.asarray(labels, int), np.asarray(predictions, int)
    values = {"accuracy": float(sklearn_metrics.accuracy_score(true, predicted))}
    for average in ("micro", "macro"):
        f1 = sklearn_metrics.f1_score(true, predicted, average=average, zero_division=0)
        values[f"{average}_f1"] = float(f1)
    return dict(values, **_of_each(true, predicted, names, None))


def _of_each(labels, predictions, names, ids):
    """Returns the precision and recall of each label."""
    from sklearn import metrics as sklearn_metrics

    precisions, recalls, _, _ = sklearn_metrics.precision_recall_fscore_support(
        labels, predictions, labels=ids, average=None, zero_division=0
    )
    return {
        f"{metric}_{as_cell(name)}": float(value)
        for metric, found in (("precision", precisions), ("recall", recalls))
        for name, value in zip(names, found)
    }
