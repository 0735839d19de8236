"""Tags of tokens: their types, and the scores of entities."""

import re
from typing import List, Sequence

from albert.report.counts import Table, averages_of, ids_of, scores_of

OUTSIDE = "O"
_COLUMNS = "precision", "recall", "F1", "support"
_PREFIXED = re.compile(r"[BIES]-(.+)", re.DOTALL)


def types_of(tags: Sequence[str]) -> List[str]:
    """Returns the type of each tag: that of B-PER is PER, that of a tag without prefix itself."""
    matches = [(_PREFIXED.fullmatch(tag), tag) for tag in tags]
    return [match.group(1) if match else tag for match, tag in matches]


def table_of(gold: Sequence[List[str]], predicted: Sequence[List[str]]) -> Table:
    """Returns the table of the scores of each type: of entities, or of tokens for plain tags.

    Args:
        gold, predicted: the tags of each sentence.
    """
    flat_gold, flat_predicted = (
        [tag for tags in sentences for tag in tags] for sentences in (gold, predicted)
    )
    labels = sorted({*flat_gold, *flat_predicted})
    if all(tag == OUTSIDE or _PREFIXED.fullmatch(tag) for tag in labels):
        return _of_entities(gold, predicted)
    table = Table("Tokens of each tag", ["tag", *_COLUMNS])
    ids, predicted_ids = ids_of(flat_gold, labels), ids_of(flat_predicted, labels)
    return table.with_rows(scores_of(ids, predicted_ids, labels), averages_of(ids, predicted_ids))


def _of_entities(gold, predicted):
    from seqeval.metrics import classification_report

    table = Table("Entities of each type", ["type", *_COLUMNS])
    if not any(tag != OUTSIDE for tags in (*gold, *predicted) for tag in tags):
        return table  # seqeval fails
    report = classification_report(gold, predicted, output_dict=True, zero_division=0)
    rows = [
        [
            name.replace(" avg", " average"),
            *(float(scores[key]) for key in ("precision", "recall", "f1-score")),
            int(scores["support"]),
        ]
        for name, scores in report.items()
    ]
    return table.with_rows(rows[:-3], rows[-3:])  # the averages come last
