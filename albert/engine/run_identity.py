"""Identifies the run in an output_dir: recorded when training starts, checked from then on."""

import os
from typing import Any, Dict

from albert.common import json_files
from albert.common.errors import UsageError

NAME = "run.json"


def claim(output_dir: str, settings: Dict[str, Any], sizes: Dict[str, int]) -> None:
    """Records a run in output_dir, or checks that it is the one already recorded there.

    Args:
        output_dir: an existing folder.
        settings: {setting: value} of what must not change within a run, as JSON values.
        sizes: from AlbertConfig.sizes.

    Raises:
        UsageError: the folder holds another run.
    """
    if not check(output_dir, settings, sizes):
        json_files.write_json(
            os.path.join(output_dir, NAME), {"settings": settings, "sizes": sizes}
        )


def check(output_dir: str, settings: Dict[str, Any], sizes: Dict[str, int]) -> bool:
    """Returns whether output_dir holds the record of this run; refuses that of another run.

    Only settings and sizes that are both recorded and given are compared.

    Raises:
        UsageError: the folder holds another run, or the record cannot be read.
    """
    path = os.path.join(output_dir, NAME)
    if not os.path.exists(path):
        return False
    recorded = _read(path)
    given = {f"<{name}>": ("settings", name, value) for name, value in settings.items()}
    given.update(
        (f"{name} of <albert_config_file>", ("sizes", name, value)) for name, value in sizes.items()
    )
    differences = [
        f"{shown} was {recorded[group][name]!r} and is {value!r}"
        for shown, (group, name, value) in given.items()
        if name in recorded[group] and recorded[group][name] != value
    ]
    if differences:
        raise UsageError(
            f"<output_dir> holds another run: {'; '.join(differences)}. "
            "Use another folder, or the same settings to go on.",
            output_dir=output_dir,
            albert_config_file=None,
            **dict.fromkeys(settings),
        )
    return True


def _read(path):
    """Returns a record, {"settings": {...}, "sizes": {...}}."""
    advice = "Use another <output_dir>."
    try:
        record = json_files.load_json(path)
        if isinstance(record, dict) and "settings" not in record:  # from an earlier release
            return _from_flags(record)
        return {group: dict(record[group]) for group in ("settings", "sizes")}
    except UsageError as error:
        raise UsageError(f"{error} {advice}", output_dir=None) from error
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"{path} is not the record of a run. {advice}", output_dir=None) from error


def _from_flags(record):
    """Converts a record such as {"--seed": 1, "hidden_size of --albert_config_file": 16}."""
    suffix = " of --albert_config_file"
    return {
        "settings": {key[2:]: record[key] for key in record if not key.endswith(suffix)},
        "sizes": {key[: -len(suffix)]: record[key] for key in record if key.endswith(suffix)},
    }
