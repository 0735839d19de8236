"""Reads and writes JSON files; what is wrong with one becomes a UsageError of one line."""

import json
import math
import re
from typing import Any, Dict, Optional

from albert.common import files
from albert.common.errors import UsageError


def load_json(path: str, setting: Optional[str] = None) -> Dict[str, Any]:
    """Returns the JSON object that a file holds.

    Args:
        setting: the setting that chose the file, for errors to name it together with the path.

    Raises:
        UsageError: the file cannot be read, is not JSON, or holds something other than an object.
    """
    name = path if setting is None else f"<{setting}>"
    settings = {} if setting is None else {setting: path}
    try:
        with open(path, encoding="utf-8") as reader:
            value = json.load(reader)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}.", **settings) from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise UsageError(f"{name} is not JSON: {error}.", **settings) from error
    if not isinstance(value, dict):
        raise UsageError(f"{name} does not hold a JSON object.", **settings)
    return value


def write_json(path: str, value: Any, indent: int = 2) -> None:
    """Writes a value as indented JSON, whole or not at all.

    Numbers that are not finite, which JSON does not have, become null. Text stays readable; only
    lone surrogates, which UTF-8 does not have, are written as escapes.
    """
    text = json.dumps(_with_nulls(value), indent=indent, ensure_ascii=False, allow_nan=False)
    text = re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match.group()):04x}", text)
    files.write_text(path, text + "\n")


def _with_nulls(value: Any) -> Any:
    """Returns a JSON value with None in place of NaN and infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _with_nulls(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_nulls(item) for item in value]
    return value


def value_of(mapping: Any, key: str, expected: type, path: str, owner: str) -> Any:
    """Returns mapping[key], where `mapping` is a value in a JSON file.

    Args:
        expected: the type that the value must be of.
        path: of the file, for errors.
        owner: what `mapping` describes, for errors, such as "question 7".

    Raises:
        UsageError: `mapping` is not an object or lacks the key, or the value is of another type.
    """
    if not isinstance(mapping, dict) or key not in mapping:
        raise UsageError(f"{path}: {owner} has no {key!r}.")
    value = mapping[key]
    is_boolean = isinstance(value, bool) and expected is not bool  # True is an int to Python
    if is_boolean or not isinstance(value, expected):
        raise UsageError(
            f"{path}: {key!r} of {owner} must be of type {expected.__name__}, "
            f"not {type(value).__name__}."
        )
    return value
