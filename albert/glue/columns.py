"""Which columns of a table hold the texts and labels of a classification, and what labels mean.

A flag decides; else usual names and the labels themselves do, where they leave no doubt.
"""

import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from albert.common.errors import UsageError
from albert.common.tables import Row, as_list, as_text, shown

TASK_TYPES = CLASSIFICATION, REGRESSION, MULTI_LABEL = "classification", "regression", "multi_label"
NAME = "custom"  # of a task from files that the user gives no name

_PAIRS = (
    ("sentence1", "sentence2"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text", "text_pair"),
)
_TEXTS = (
    "text",
    "sentence",
    "content",
    "review",
    "comment",
    "tweet",
    "message",
    "document",
    "body",
)
_LABELS = ("label", "labels", "class", "category", "target", "score", "rating", "sentiment")
_SWITCHES = {"0": False, "1": True, "false": False, "true": True}


class Columns(NamedTuple):
    """Names of columns; `labels` has more than one where each says whether a label is there."""

    text: str
    text_pair: Optional[str]
    labels: Tuple[str, ...]


def find_columns(
    rows: Sequence[Row],
    path: str,
    text: Optional[str] = None,
    text_pair: Optional[str] = None,
    labels: Sequence[str] = (),
) -> Columns:
    """Returns the columns of a training file.

    Args:
        rows: at least one.
        text, text_pair, labels: names that the user has given.

    Raises:
        UsageError: a given column is missing, or the others are not told by their names.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.cells))
    for flag, given in (
        ("text_column", [text]),
        ("text_pair_column", [text_pair]),
        ("label_column", labels),
    ):
        for name in given:
            if name is not None and name not in names:
                raise UsageError(
                    f"<{flag}>: {path} has no such column; it has {shown(names)}.", **{flag: name}
                )
    found_labels = tuple(labels) or _find_labels(rows, names, path, [text, text_pair])
    left = [name for name in names if name not in found_labels]
    if text is None:
        text, pair = _find_texts(left, path)
        text_pair = text_pair or pair
    return Columns(text, text_pair, found_labels)


def _find_labels(rows, names, path, texts):
    usual = _called(names, _LABELS)
    usual = [name for name in usual if name not in texts]
    if len(usual) == 1:
        return (usual[0],)
    if not usual:
        switches = [
            name
            for name in names
            if name not in texts
            and all(str(row.cells.get(name)).lower() in _SWITCHES for row in rows)
        ]
        if len(switches) > 1:
            return tuple(switches)
    raise UsageError(
        f"{path}: which column holds the labels is not clear from {shown(names)}: "
        "name it by <label_column>.",
        label_column=None,
    )


def _find_texts(names, path):
    """Returns the columns of the text and, or None, of its pair."""
    pairs = [each for each in _PAIRS if all(len(_called(names, [name])) == 1 for name in each)]
    texts = _called(names, _TEXTS)
    if len(pairs) == 1 and set(texts) <= set(_called(names, pairs[0])):
        first, second = (_called(names, [name])[0] for name in pairs[0])
        return first, second
    if not pairs and len(texts) == 1:
        return texts[0], None
    if not pairs and not texts and len(names) == 1:
        return names[0], None
    raise UsageError(
        f"{path}: which column holds the text is not clear from {shown(names)} (the first "
        "line must name the columns): name it by <text_column>, that of a second text by "
        "<text_pair_column>.",
        text_column=None,
        text_pair_column=None,
    )


def _called(names, usual):
    """Returns the columns that have one of the usual names, in any case."""
    return [name for name in names if name.strip().lower() in usual]


def label_of(row: Row, columns: Columns, task_type: str, separator: Optional[str]) -> Any:
    """Returns the label in a row: text, or for multi_label a tuple of the labels that are there.

    Raises:
        UsageError: there is none.
    """
    if len(columns.labels) > 1:
        return tuple(name for name in columns.labels if _is_on(row, name))
    (name,) = columns.labels
    value = row.cells.get(name)
    if task_type == MULTI_LABEL:
        return _labels_in(value, row.where, name, separator)
    text = as_text(value, row.where, name)
    if not text.strip():
        raise UsageError(f"{row.where}: there is no label in {name!r}.")
    return text


def _is_on(row, name):
    text = as_text(row.cells.get(name), row.where, name).lower()
    if text not in _SWITCHES:
        raise UsageError(f"{row.where}: {name!r} must be 0 or 1, not {text!r:.50}.")
    return _SWITCHES[text]


def _labels_in(value, where, name, separator):
    labels = as_list(value)
    if labels is not None:
        return tuple(dict.fromkeys(as_text(label, where, name) for label in labels))
    text = as_text(value, where, name)
    if separator is None:
        raise UsageError(
            f"{where}: {name!r} must be a JSON list of labels, not {text!r:.50}; labels in one "
            "text need <label_separator>.",
            label_separator=None,
        )
    return tuple(dict.fromkeys(part.strip() for part in text.split(separator) if part.strip()))


def infer_task_type(rows: Sequence[Row], columns: Columns, separator: Optional[str]) -> str:
    """Returns which of TASK_TYPES the labels of a training file suggest.

    Lists, several columns or a separator: multi_label. Numbers, not all of them whole: regression.
    Anything else: classification.
    """
    if separator is not None or len(columns.labels) > 1:
        return MULTI_LABEL
    (name,) = columns.labels
    values = [row.cells.get(name) for row in rows]
    if all(as_list(value) is not None for value in values):
        return MULTI_LABEL
    texts = [as_text(value, row.where, name) for value, row in zip(values, rows)]
    if all(map(_is_number, texts)) and not all(map(_is_whole, texts)):
        return REGRESSION
    return CLASSIFICATION


def _is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_whole(text):
    return text.lstrip("+-").isdecimal()


def sorted_labels(labels: Any) -> List[str]:
    """Returns labels in order: by value if all are whole numbers, else as text."""
    found = sorted(set(labels))
    return sorted(found, key=int) if all(map(_is_whole, found)) else found


def held_out(keys: Sequence[Any], share: float, random: Any) -> List[int]:
    """Returns which examples to hold out: that share of them, of every kind alike.

    The examples are ordered by their keys, at random among equal ones, and taken at equal
    distances. The only example of its kind is never held out, since nothing else would teach it.

    Args:
        keys: the label of each example.
        random: a np.random.RandomState.
    """
    counts: Dict[Any, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    order = [int(index) for index in random.permutation(len(keys)) if counts[keys[index]] > 1]
    order.sort(key=lambda index: keys[index])
    taken = [
        index
        for position, index in enumerate(order)
        if math.floor((position + 1) * share) > math.floor(position * share)
    ]
    return sorted(taken)
