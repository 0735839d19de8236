"""Whose run an output_dir holds: recorded when training begins, compared ever after."""

import json
import os

from albert.common import files
from albert.common.errors import UsageError

NAME = "run.json"


def claim(output_dir, identity):
    """Records a run in output_dir, or checks that it is the run recorded there.

    Args:
        output_dir: an existing folder.
        identity: {flag or file: value}, JSON values; what may not change within a run.

    Raises:
        UsageError: the folder holds another run.
    """
    if not check(output_dir, identity):
        files.write_text(os.path.join(output_dir, NAME), json.dumps(identity, indent=2) + "\n")


def check(output_dir, identity):
    """Returns whether output_dir holds the record of a run; other runs than this are refused.

    Only what both name is compared.

    Raises:
        UsageError: the record is another run's or cannot be read.
    """
    path = os.path.join(output_dir, NAME)
    if not os.path.exists(path):
        return False
    try:
        with open(path, encoding="utf-8") as reader:
            recorded = dict(json.load(reader))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path} cannot be read ({error}); use another --output_dir.") from error
    differences = [
        f"{name} was {recorded[name]!r} and is {identity[name]!r}"
        for name in identity
        if name in recorded and recorded[name] != identity[name]
    ]
    if differences:
        raise UsageError(
            f"--output_dir={output_dir} holds another run: {'; '.join(differences)}. "
            "Use another folder, or the same settings to go on."
        )
    return True
