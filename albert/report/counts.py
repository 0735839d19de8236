"""Counts over the predictions of a split: confusion matrix, and the scores of each class."""

import math
from typing import Any, List, NamedTuple, Sequence

import numpy as np

MOST_CLASSES = 20  # of a confusion matrix
SCORES = ("precision", "recall", "F1", "support")  # the columns of `scores_of`


class Table(NamedTuple):
    """A table of the page.

    Attributes:
        columns: their names; the first column names the row.
        rows: cells, text or numbers; NaN is shown as a dash.
        footer: rows over all others, such as averages.
    """

    caption: str
    columns: List[str]
    rows: Sequence[Sequence[Any]] = ()
    footer: Sequence[Sequence[Any]] = ()

    def with_rows(self, rows: List[List[Any]], footer: List[List[Any]]) -> "Table":
        """Returns the table with other rows."""
        return self._replace(rows=rows, footer=footer)


class Confusion(NamedTuple):
    """How often gold label i was predicted as label j: counts[i][j].

    Attributes:
        num_others: classes left out, those with fewest errors. The last row and column, which have
            no label, stand for all of them together; 0 if there are none.
    """

    labels: List[str]
    counts: List[List[int]]
    num_others: int = 0

    def shade(self, i: int, j: int) -> float:
        """Returns from 0 to 1 how strongly a cell is to be shaded: root of its share of the row."""
        total = sum(self.counts[i])
        return math.sqrt(self.counts[i][j] / total) if total else 0.0


def ids_of(values: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Returns the place of each value among the labels: int [examples]."""
    places = {label: place for place, label in enumerate(labels)}
    return np.array([places[value] for value in values], int)


def confusion_of(gold: np.ndarray, predicted: np.ndarray, labels: Sequence[str]) -> Confusion:
    """Returns the confusion matrix, of the classes with most errors if there are many classes.

    Args:
        gold, predicted: from `ids_of`.
    """
    counts = np.zeros((len(labels), len(labels)), int)
    np.add.at(counts, (gold, predicted), 1)
    if len(labels) <= MOST_CLASSES:
        return Confusion(list(labels), counts.tolist())
    num_errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    kept = np.sort(np.argsort(-num_errors, kind="stable")[:MOST_CLASSES])
    others = np.setdiff1d(np.arange(len(labels)), kept)
    # All others become one class.
    for axis in (0, 1):
        rest = counts.take(others, axis).sum(axis=axis, keepdims=True)
        counts = np.concatenate([counts.take(kept, axis), rest], axis)
    return Confusion([labels[index] for index in kept], counts.tolist(), len(others))


def scores_of(gold: np.ndarray, predicted: np.ndarray, labels: Sequence[str]) -> List[List[Any]]:
    """Returns [label, precision, recall, F1, support] of each label.

    Args:
        gold, predicted: from `ids_of`, or 0 or 1 [examples, labels] where an example may have any
            number of labels.
    """
    from sklearn import metrics

    columns = metrics.precision_recall_fscore_support(
        gold, predicted, labels=range(len(labels)), zero_division=0
    )
    return [[label, *map(float, row[:3]), int(row[3])] for label, *row in zip(labels, *columns)]


def averages_of(
    gold: np.ndarray, predicted: np.ndarray, averages: Sequence[str] = ("macro", "weighted")
) -> List[List[Any]]:
    """Returns the rows of averages over the classes that occur, as `scores_of` of each class."""
    from sklearn import metrics

    support = len(gold) if gold.ndim == 1 else int(gold.sum())
    rows = []
    for average in averages:
        scores = metrics.precision_recall_fscore_support(
            gold, predicted, average=average, zero_division=0
        )
        rows.append([f"{average} average", *map(float, scores[:3]), support])
    return rows
