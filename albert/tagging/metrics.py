"""Scores of tags: entities as conlleval counts them (CoNLL-2000), by seqeval, or plain tags.

Libraries that take long to import are imported when they are used.
"""

import warnings
from typing import Dict, List, Sequence

Tags = List[Sequence[str]]


def of_entities(gold: Tags, predicted: Tags, types: Sequence[str]) -> Dict[str, float]:
    """Returns precision, recall and F1 of the entities, over all and of each type, and accuracy.

    An entity counts if its limits and its type are right. What is not defined is 0. `accuracy` is
    that of the tokens' tags.

    Args:
        gold, predicted: the tags of each sentence.
        types: of the entities.
    """
    from seqeval import metrics

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that were never predicted
        report = metrics.classification_report(gold, predicted, output_dict=True, zero_division=0)
    values = _scores(report["micro avg"])
    values["accuracy"] = float(metrics.accuracy_score(gold, predicted))
    for name in types:
        scores = _scores(report.get(name, {}))
        values.update({f"{metric}_{name}": value for metric, value in scores.items()})
    return values


def of_plain(gold: Tags, predicted: Tags) -> Dict[str, float]:
    """Returns the accuracy of the tags, and the mean of the F1 of those that occur."""
    from sklearn import metrics

    flat_gold, flat_predicted = (
        [tag for each in tags for tag in each] for tags in (gold, predicted)
    )
    f1 = metrics.f1_score(flat_gold, flat_predicted, average="macro", zero_division=0)
    accuracy = metrics.accuracy_score(flat_gold, flat_predicted)
    return {"accuracy": float(accuracy), "macro_f1": float(f1)}


def _scores(row):
    names = {"precision": "precision", "recall": "recall", "f1": "f1-score"}
    return {name: float(row.get(key, 0.0)) for name, key in names.items()}
