"""Turns predictions into what the page shows of them: scores, confusions, examples gone wrong."""

import collections
import math
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from markupsafe import Markup

from albert.glue import metrics
from albert.glue.columns import CLASSIFICATION, MULTI_LABEL, REGRESSION
from albert.report import examples, figures
from albert.report.counts import (
    SCORES,
    Confusion,
    Table,
    averages_of,
    confusion_of,
    ids_of,
    scores_of,
)
from albert.report.examples import Example
from albert.report.predictions import SQUAD, TAGGING, Predictions
from albert.tagging import metrics as tag_metrics
from albert.tagging import tags as tag_lib

_ANSWERED = "answer", "no answer"
_MOST_EXAMPLES = 50
_MOST_CELLS = 20
_MOST_EXAMPLES_OF_CELL = 10

Row = Dict[str, Any]


class Cell(NamedTuple):
    """The examples of a cell of a confusion matrix; `row` and `column` are its place there."""

    row: int
    column: int
    num_examples: int
    examples: List[Example]


class Section(NamedTuple):
    """What the page shows of the predictions of a split.

    Attributes:
        facts: (name, value) of the whole split.
        confusion: None for a regression, say.
        counted: what the confusion matrix counts.
        cells: those of the confusion matrix with examples, most frequent first.
        ranking: how `wrong` is ordered.
        wrong: the first of the examples that are wrong.
        num_wrong: how many there are in all.
    """

    split: str
    facts: Sequence[Tuple[str, Any]]
    wrong: List[Example]
    num_wrong: int
    ranking: str
    tables: Sequence[Table] = ()
    confusion: Optional[Confusion] = None
    counted: str = ""
    cells: Sequence[Cell] = ()
    figure: Markup = Markup("")


def of_predictions(predictions: Predictions, name: str) -> List[Section]:
    """Returns the section of each split.

    Args:
        name: a part of the names of charts.
    """
    make = _MAKERS[predictions.kind]
    return [
        make(split, rows, f"{name}-{number}")
        for number, (split, rows) in enumerate(predictions.splits.items())
    ]


def _of_classes(split: str, rows: List[Row], name: str) -> Section:
    labels = _labels_of(rows, [[row["gold"], row["predicted"]] for row in rows])
    gold, predicted = (ids_of(_column(rows, key), labels) for key in ("gold", "predicted"))
    wrong = [row for row in rows if row["gold"] != row["predicted"]]
    wrong = _ranked(wrong, lambda row: row["probabilities"].get(row["predicted"], math.nan))
    confusion = confusion_of(gold, predicted, labels)
    table = Table("Each class", ["class", *SCORES])
    return Section(
        split,
        _facts(len(rows), len(wrong)),
        _examples(wrong),
        len(wrong),
        "The wrong predictions with the highest probability come first.",
        tables=[table.with_rows(scores_of(gold, predicted, labels), averages_of(gold, predicted))],
        confusion=confusion,
        counted="Examples",
        cells=_cells(confusion, wrong, lambda row: [(row["gold"], row["predicted"])]),
    )


def _of_label_sets(split: str, rows: List[Row], name: str) -> Section:
    labels = _labels_of(rows, [row["gold"] + row["predicted"] for row in rows])
    wrong = [row for row in rows if set(row["gold"]) != set(row["predicted"])]
    wrong = _ranked(wrong, lambda row: row["loss"])
    gold, predicted = (
        np.array([[label in row[key] for label in labels] for row in rows], int)
        for key in ("gold", "predicted")
    )
    table = Table("Each label", ["label", *SCORES])
    averages = averages_of(gold, predicted, ("micro", "macro"))
    return Section(
        split,
        _facts(len(rows), len(wrong)),
        _examples(wrong),
        len(wrong),
        "The wrong predictions with the highest loss come first.",
        tables=[table.with_rows(scores_of(gold, predicted, labels), averages)],
    )


def _of_numbers(split: str, rows: List[Row], name: str) -> Section:
    gold, predicted = _column(rows, "gold"), _column(rows, "predicted")
    values = metrics.of_scores(gold, predicted) if _are_finite(gold, predicted) else {}
    ranked = _ranked(rows, lambda row: abs(row["gold"] - row["predicted"]))
    facts = [("examples", len(rows)), *values.items()]
    if values:
        errors = [abs(one - other) for one, other in zip(gold, predicted)]
        facts.append(("mean absolute error", sum(errors) / len(errors)))
    return Section(
        split,
        facts,
        _examples(ranked),
        len(rows),
        "The predictions with the largest errors come first.",
        figure=figures.draw_scatter(gold, predicted, "Predicted against gold values", name),
    )


def _of_answers(split: str, rows: List[Row], name: str) -> Section:
    parts = [("all", rows)]
    is_version_2 = any(not row["gold"] for row in rows)
    if is_version_2:
        parts += [
            ("with answer", [row for row in rows if row["gold"]]),
            ("without answer", [row for row in rows if not row["gold"]]),
        ]
    scores = [
        [title, len(part), _percent_of(part, "exact"), _percent_of(part, "f1")]
        for title, part in parts
        if part
    ]
    wrong = [row for row in rows if row["exact"] == 0 and row["f1"] < 0.5]
    wrong = _ranked(wrong, lambda row: row["score"])
    confusion, cells = None, []
    if is_version_2:
        confusion = confusion_of(
            ids_of([_answered(row, "gold") for row in rows], _ANSWERED),
            ids_of([_answered(row, "predicted") for row in rows], _ANSWERED),
            _ANSWERED,
        )
        ranked = _ranked(rows, lambda row: row["score"])
        cells = _cells(
            confusion, ranked, lambda row: [(_answered(row, "gold"), _answered(row, "predicted"))]
        )
    return Section(
        split,
        [("questions", len(rows)), ("not exact", sum(row["exact"] != 1 for row in rows))],
        _examples(wrong),
        len(wrong),
        "Answers with F1 below 0.5; those with the highest probability come first.",
        tables=[Table("Scores in percent", ["questions", "number", "exact", "F1"], scores)],
        confusion=confusion,
        counted="Questions",
        cells=cells,
    )


def _answered(row, key):
    return _ANSWERED[not row[key]]


def _percent_of(rows, key):
    return f"{100.0 * sum(row[key] for row in rows) / len(rows):.2f}"


def _of_tags(split: str, rows: List[Row], name: str) -> Section:
    wrong = [row for row in rows if row["gold"] != row["predicted"]]
    wrong = _ranked(wrong, examples.confidence_in_errors)
    gold, predicted = (_flat(_column(rows, key)) for key in ("gold", "predicted"))
    num_right = sum(one == other for one, other in zip(gold, predicted))
    types, predicted_types = (list(map(tag_lib.type_of, tags)) for tags in (gold, predicted))
    labels = sorted({*types, *predicted_types}, key=lambda label: (label == tag_lib.OUTSIDE, label))
    confusion = confusion_of(ids_of(types, labels), ids_of(predicted_types, labels), labels)
    return Section(
        split,
        [
            ("sentences", len(rows)),
            ("wrong", len(wrong)),
            ("tokens", len(gold)),
            ("accuracy of tokens", num_right / len(gold) if gold else math.nan),
        ],
        _examples(wrong),
        len(wrong),
        "Wrong sentences; those with the highest probability of a wrong tag come first.",
        tables=[_table_of_tags(rows, labels)],
        confusion=confusion,
        counted="Tokens",
        cells=_cells(confusion, wrong, _types_of_tokens),
    )


def _table_of_tags(rows: List[Row], labels: Sequence[str]) -> Table:
    """Returns the scores of each type of entity, or of each tag where tags are plain."""
    gold, predicted = (_column(rows, key) for key in ("gold", "predicted"))
    if tag_lib.scheme_of(_flat(gold + predicted)) == tag_lib.PLAIN:
        ids, predicted_ids = (ids_of(_flat(tags), labels) for tags in (gold, predicted))
        table = Table("Tokens of each tag", ["tag", *SCORES])
        scores = scores_of(ids, predicted_ids, labels)
        return table.with_rows(scores, averages_of(ids, predicted_ids))
    found = tag_metrics.entity_scores(gold, predicted)
    cells = [
        [name.replace(" avg", " average"), *(scores[key] for key in tag_metrics.SCORES)]
        for name, scores in found.items()
    ]
    return Table("Entities of each type", ["type", *SCORES]).with_rows(cells[:-3], cells[-3:])


def _types_of_tokens(row):
    types = (map(tag_lib.type_of, row[key]) for key in ("gold", "predicted"))
    return set(zip(*types))


_MAKERS: Dict[str, Callable[[str, List[Row], str], Section]] = {
    CLASSIFICATION: _of_classes,
    MULTI_LABEL: _of_label_sets,
    REGRESSION: _of_numbers,
    SQUAD: _of_answers,
    TAGGING: _of_tags,
}


def _facts(num_rows, num_wrong):
    return [
        ("examples", num_rows),
        ("wrong", num_wrong),
        ("accuracy", (num_rows - num_wrong) / num_rows),
    ]


def _labels_of(rows: List[Row], found: Iterable[Iterable[str]]) -> List[str]:
    """Returns the labels in the order of the model, then those that it does not know."""
    known = rows[0]["probabilities"]
    return [*known, *sorted(set(_flat(found)) - set(known))]


def _flat(rows):
    return [each for row in rows for each in row]


def _column(rows, key):
    return [row[key] for row in rows]


def _are_finite(*columns):
    return all(math.isfinite(value) for column in columns for value in column)


def _ranked(rows, value_of):
    """Returns rows with the highest value first, and those with none last."""

    def rank(row):
        value = value_of(row)
        return (1, 0.0) if math.isnan(value) else (0, -value)

    return sorted(rows, key=rank)


def _examples(rows: Sequence[Row]) -> List[Example]:
    return [examples.example_of(row) for row in rows[:_MOST_EXAMPLES]]


def _cells(
    confusion: Confusion,
    rows: Sequence[Row],
    places_of: Callable[[Row], Iterable[Tuple[str, str]]],
) -> List[Cell]:
    """Returns the most frequent cells of errors, each with the first of its rows.

    Args:
        places_of: the pairs of a gold and a predicted label of a row.
    """
    rows_of = collections.defaultdict(list)
    for row in rows:
        for place in places_of(row):
            rows_of[place].append(row)
    places = [
        (confusion.counts[i][j], i, j)
        for i in range(len(confusion.labels))
        for j in range(len(confusion.labels))
        if i != j and confusion.counts[i][j]
    ]
    places.sort(key=lambda place: -place[0])
    return [
        Cell(
            i,
            j,
            count,
            _examples(rows_of[confusion.labels[i], confusion.labels[j]][:_MOST_EXAMPLES_OF_CELL]),
        )
        for count, i, j in places[:_MOST_CELLS]
    ]
