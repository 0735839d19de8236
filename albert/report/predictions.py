"""Reads dev_predictions.jsonl: what the best checkpoint of a run predicts of each dev example.

What kind of task it was shows in the keys of a row.
"""

import math
import os
from typing import Any, Dict, List, NamedTuple, Optional

from albert.common import json_files, tables
from albert.common.errors import UsageError
from albert.common.tables import Row
from albert.engine.results import DEV_PREDICTIONS
from albert.glue.columns import CLASSIFICATION, MULTI_LABEL, REGRESSION

SQUAD, TAGGING = "squad", "tagging"
NUMBER = float  # or null, which becomes NaN

# {kind: {key: type}} of what every row has, besides the keys that all kinds have.
_COMMON = {"step": int, "split": str, "index": int}
_REQUIRED: Dict[str, Dict[str, Any]] = {
    CLASSIFICATION: {"text": str, "gold": str, "predicted": str, "probabilities": dict},
    MULTI_LABEL: {
        "text": str,
        "gold": list,
        "predicted": list,
        "probabilities": dict,
        "loss": NUMBER,
    },
    REGRESSION: {"text": str, "gold": NUMBER, "predicted": NUMBER},
    SQUAD: {
        "text": str,
        "question": str,
        "gold": list,
        "predicted": str,
        "score": NUMBER,
        "exact": NUMBER,
        "f1": NUMBER,
    },
    TAGGING: {"tokens": list, "gold": list, "predicted": list, "probabilities": list},
}
_OF_PRETRAINING = "num_masked"  # a key that no other kind has
_OPTIONAL = {"text_pair": str, "question": str, "options": list, "start": int}


class Predictions(NamedTuple):
    """The rows of a file: {key: value}, where NaN stands for null in place of a number.

    Attributes:
        kind: CLASSIFICATION, MULTI_LABEL, REGRESSION, SQUAD or TAGGING.
        step: that of the checkpoint.
        splits: {split: its rows, in the order of the file}.
    """

    kind: str
    step: int
    splits: Dict[str, List[Dict[str, Any]]]


def read(output_dir: str) -> Optional[Predictions]:
    """Returns the predictions in a folder; None if there are none.

    Those of pre-training, which have no text, count as none.

    Raises:
        UsageError: the file cannot be read, or a line is damaged or of another kind or step than
            the first.
    """
    path = os.path.join(output_dir, DEV_PREDICTIONS)
    if not os.path.exists(path):
        return None
    kind, step = "", 0
    splits: Dict[str, List[Dict[str, Any]]] = {}
    for row in _rows(path):
        if _OF_PRETRAINING in row.cells:
            return None
        if not kind:
            kind, step = _kind_of(row.cells), row.cells.get("step", 0)
        values = _checked(row, kind)
        if values["step"] != step:
            raise UsageError(
                f"{row.where}: step {values['step']} after step {step} in the lines above."
            )
        splits.setdefault(values["split"], []).append(values)
    return Predictions(kind, step, splits) if splits else None


def _rows(path):
    try:
        with open(path, "rb") as lines:
            yield from tables.read_lines(lines, path, "jsonl")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def _kind_of(cells):
    if "tokens" in cells:
        return TAGGING
    if "exact" in cells:
        return SQUAD
    if "probabilities" not in cells:
        return REGRESSION
    return MULTI_LABEL if isinstance(cells.get("gold"), list) else CLASSIFICATION


def _checked(row: Row, kind: str) -> Dict[str, Any]:
    """Returns the values of a row.

    Raises:
        UsageError: a key is missing, or its value is of another type.
    """
    given = {key: row.cells[key] for key in _OPTIONAL if row.cells.get(key) is not None}
    expected = {**_COMMON, **{key: _OPTIONAL[key] for key in given}, **_REQUIRED[kind]}
    values = {key: _value(row, key, expected[key]) for key in expected}
    if kind == TAGGING:
        lengths = {len(values[key]) for key in _REQUIRED[TAGGING]}
        if len(lengths) > 1:
            raise UsageError(f"{row.where}: its lists are of different lengths.")
    return values


def _value(row, key, expected):
    if expected is NUMBER and key in row.cells:
        return _number(row, key, row.cells[key])
    if expected is list and key != "probabilities":
        return json_files.texts_of(row.cells, key, row.where, "the row")
    value = json_files.value_of(row.cells, key, expected, row.where, "the row")
    if key == "probabilities":
        if isinstance(value, dict):
            return {label: _number(row, key, each) for label, each in value.items()}
        return [_number(row, key, each) for each in value]
    return value


def _number(row, key, value):
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UsageError(f"{row.where}: {key!r} must be a number, not {type(value).__name__}.")
    return float(value)
