"""JSON files of data sets: what is wrong with them ends in one line."""

import json

from albert.common.errors import UsageError


def load_json(path):
    """Returns what a JSON file holds; raises UsageError where it cannot be read or is not JSON."""
    try:
        with open(path, encoding="utf-8") as reader:
            return json.load(reader)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}.") from error


def value_of(mapping, key, expected, path, place):
    """Returns mapping[key].

    Raises:
        UsageError: it is missing, or no value of the expected type; names path and place.
    """
    if not isinstance(mapping, dict) or key not in mapping:
        raise UsageError(f"{path}: {place} has no {key!r}.")
    value = mapping[key]
    if not isinstance(value, expected):
        raise UsageError(
            f"{path}: {key!r} of {place} must be of type {expected.__name__}, "
            f"not {type(value).__name__}."
        )
    return value
