"""Metrics of the GLUE benchmark: pure functions of labels and predictions (arXiv 1804.07461).

A metric takes two sequences of equal length, labels first, and returns {name: float}.
"""

import logging
from typing import Callable, Dict, Sequence

import numpy as np

# SciPy and scikit-learn take a second to import: each function imports what it needs.

Metric = Callable[[Sequence[float], Sequence[float]], Dict[str, float]]

_log = logging.getLogger(__name__)


def accuracy(labels: Sequence[float], predictions: Sequence[float]) -> Dict[str, float]:
    """Returns the fraction of predictions that equal their label."""
    from sklearn import metrics as sklearn_metrics

    return {"accuracy": float(sklearn_metrics.accuracy_score(labels, predictions))}


def accuracy_and_f1(labels: Sequence[float], predictions: Sequence[float]) -> Dict[str, float]:
    """Returns accuracy, and the F1 of class 1, which is 0 if that class never occurs."""
    from sklearn import metrics as sklearn_metrics

    f1 = float(sklearn_metrics.f1_score(labels, predictions, zero_division=0))
    return dict(accuracy(labels, predictions), f1=f1)


def matthews(labels: Sequence[float], predictions: Sequence[float]) -> Dict[str, float]:
    """Returns Matthews correlation, which is 0 if either side is constant, and accuracy."""
    from sklearn import metrics as sklearn_metrics

    correlation = float(sklearn_metrics.matthews_corrcoef(labels, predictions))
    return dict(matthews_corr=correlation, **accuracy(labels, predictions))


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
