"""Metrics of the GLUE benchmark: pure functions of labels and predictions (arXiv 1804.07461).

A metric takes two sequences of equal length, labels first, and returns {name: float}.
"""

import logging

import numpy as np
from scipy import stats
from sklearn import metrics as sklearn_metrics

_log = logging.getLogger(__name__)


def accuracy(labels, predictions):
    """Returns the share of predictions that equal the label."""
    return {"accuracy": float(sklearn_metrics.accuracy_score(labels, predictions))}


def accuracy_and_f1(labels, predictions):
    """Returns accuracy and the F1 of class 1, which is 0 where that class never occurs."""
    f1 = float(sklearn_metrics.f1_score(labels, predictions, zero_division=0))
    return dict(accuracy(labels, predictions), f1=f1)


def matthews(labels, predictions):
    """Returns Matthews correlation, and accuracy; the first is 0 where either side is constant."""
    correlation = float(sklearn_metrics.matthews_corrcoef(labels, predictions))
    return dict(matthews_corr=correlation, **accuracy(labels, predictions))


def correlations(labels, predictions):
    """Returns Pearson's and Spearman's correlation; both are 0 where either side is constant."""
    if np.ptp(labels) == 0 or np.ptp(predictions) == 0:
        _log.warning("All labels or all predictions are equal: correlations are set to 0.")
        return {"pearson": 0.0, "spearman": 0.0}
    return {
        "pearson": float(stats.pearsonr(labels, predictions)[0]),
        "spearman": float(stats.spearmanr(labels, predictions)[0]),
    }
