"""Reads and writes JSON files; what is wrong with one becomes a UsageError of one line."""

import json
import math
import re
from typing import Any, Dict, List, Optional

from albert.common import files
from albert.common.errors import UsageError

# Far above any file of ours, and far below what recursive functions such as copy.deepcopy bear.
_MAX_DEPTH = 100
_MAX_DIGITS = 18  # of an integer, so that it has at most 64 bits
_ESCAPED = re.compile("[\x85\u2028\u2029\ud800-\udfff]")


def load_json(path: str, setting: Optional[str] = None, allow_nan: bool = False) -> Dict[str, Any]:
    """Returns the JSON object that a UTF-8 file holds.

    Args:
        setting: the setting that chose the file, for errors to name it together with the path.
        allow_nan: whether to take NaN and infinity, which Python's json writes, for numbers.

    Raises:
        UsageError: the file cannot be read, is not JSON, holds something other than an object, is
            nested too deeply, or has a number that is not finite or has too many digits.
    """
    name = path if setting is None else f"<{setting}>"
    settings = {} if setting is None else {setting: path}
    try:
        with open(path, "rb") as reader:
            content = reader.read()
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}.", **settings) from error
    text = files.utf8_text(content, name, **settings)
    try:
        value = parse_json(text, allow_nan)
    except RecursionError as error:
        reason = f"it is nested more than {_MAX_DEPTH} levels deep"
        raise UsageError(f"{name} cannot be read: {reason}.", **settings) from error
    except ValueError as error:
        raise UsageError(f"{name} is not JSON: {error}.", **settings) from error
    if not isinstance(value, dict):
        raise UsageError(f"{name} does not hold a JSON object.", **settings)
    return value


def parse_json(text: str, allow_nan: bool = False, max_digits: int = _MAX_DIGITS) -> Any:
    """Returns the value that a JSON text stands for.

    Args:
        allow_nan: as of `load_json`.
        max_digits: of an integer.

    Raises:
        ValueError: it is not JSON, or has a number that is not finite or has too many digits.
        RecursionError: it is nested too deeply.
    """

    def integer(digits: str) -> int:
        if len(digits.lstrip("-")) > max_digits:
            raise ValueError(f"{digits[:_MAX_DIGITS]}... has more than {max_digits} digits")
        return int(digits)

    number = float if allow_nan else _finite
    value = json.loads(text, parse_int=integer, parse_float=number, parse_constant=number)
    if isinstance(value, (dict, list)):
        _check_depth(value)
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:_MAX_DIGITS]} is not a finite number")
    return value


def _check_depth(value: Any) -> None:
    """Raises RecursionError if a JSON object or list is nested too deeply."""
    level: List[Any] = [value]
    for _ in range(_MAX_DEPTH):
        rows = [item.values() if isinstance(item, dict) else item for item in level]
        level = [item for row in rows for item in row if isinstance(item, (dict, list))]
    if level:
        raise RecursionError


def write_json(path: str, value: Any, indent: int = 2) -> None:
    """Writes a value as indented JSON, whole or not at all.

    Numbers that are not finite, which JSON does not have, become null. Text stays readable; only
    lone surrogates, which UTF-8 does not have, and what some programs take for the end of a line
    are written as escapes.
    """
    files.write_text(path, as_json(value, indent) + "\n")


def as_json(value: Any, indent: Optional[int] = None) -> str:
    """Returns a value as JSON that UTF-8 can encode, as `write_json` writes it."""
    text = json.dumps(_with_nulls(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


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
    if is_boolean or not isinstance(value, (expected, int) if expected is float else expected):
        raise UsageError(
            f"{path}: {key!r} of {owner} must be of type {expected.__name__}, "
            f"not {type(value).__name__}."
        )
    return value


def texts_of(mapping: Any, key: str, path: str, owner: str) -> List[str]:
    """Returns mapping[key], which must be a list of texts; args and errors are `value_of`'s."""
    values = value_of(mapping, key, list, path, owner)
    if not all(isinstance(value, str) for value in values):
        raise UsageError(f"{path}: {key!r} of {owner} must hold texts only.")
    return values
