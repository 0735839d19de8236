"""Scores of tags: entities as conlleval counts them (CoNLL-2000), by seqeval, or plain tags.

Libraries that take long to import are imported when they are used.
"""

import warnings
from typing import Dict, List, Sequence

from albert.common.files import as_cell

Tags = List[Sequence[str]]


SCORES = ("precision", "recall", "f1-score", "support")  # of seqeval


def entity_scores(gold: Tags, predicted: Tags) -> Dict[str, Dict[str, float]]:
    """Returns {type: {name in SCORES: value}} of the entities; three averages come last.

    An entity counts if its limits and its type are right. What is not defined is 0.

    Args:
        gold, predicted: the tags of each sentence.
    """
    from seqeval import metrics

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no entities at all
        return metrics.classification_report(gold, predicted, output_dict=True, zero_division=0)


def of_entities(gold: Tags, predicted: Tags, types: Sequence[str]) -> Dict[str, float]:
    """Returns precision, recall and F1 of the entities, over all and of each type, and accuracy.

    `accuracy` is that of the tokens' tags.

    Args:
        gold, predicted: the tags of each sentence.
        types: of the entities.
    """
    from seqeval import metrics

    report = entity_scores(gold, predicted)
    names = ("precision", "recall", "f1")
    values = {name: float(report["micro avg"][key]) for name, key in zip(names, SCORES)}
    values["accuracy"] = float(metrics.accuracy_score(gold, predicted))
    for kind in types:
        scores = report.get(kind, {})
        for name, key in zip(names, SCORES):
            values[f"{name}_{as_cell(kind)}"] = float(scores.get(key, 0))
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
