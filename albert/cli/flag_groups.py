"""The groups of the runners' flags, in the order in which --help and docs/flags.md list them.

A flag joins a group where it is defined: `flags.DEFINE_string(..., module_name=DATA)`. absl groups
flags by the module that defines them; here the group takes that module's place.
"""

import argparse
import functools
import os
import re
import sys
import textwrap
from typing import Any, Dict, List, NamedTuple

from absl import flags

TO_DO = "What to do"
DATA = "Data"
MODEL = "Model"
TRAINING = "Training"
PREDICTION = "Evaluation and prediction"
DEVICES = "Devices"
RESULTS = "Results"
WITHOUT_EFFECT = "Without effect, accepted for scripts that were written for the original"
GROUPS = (TO_DO, DATA, MODEL, TRAINING, PREDICTION, DEVICES, RESULTS, WITHOUT_EFFECT)

SYNTAX = (
    "Flags are written `--name=value`, a switch also `--name` for True and `--noname` for False. "
    "`--flagfile=<file>` reads flags from a file, one per line."
)

_WIDTH = 79
_KINDS = {"bool": "switch", "string": "text", "int": "integer", "float": "number"}


class Row(NamedTuple):
    """What a user must know about a flag, in Markdown; `default` is "" where it has none."""

    name: str
    values: str
    default: str
    meaning: str


def rows_by_group() -> Dict[str, List[Row]]:
    """Returns {group: Rows of the flags defined so far, in the order of their definition}."""
    return {
        group: [_row(flag) for flag in flags.FLAGS.get_key_flags_for_module(group)]
        for group in GROUPS
    }


def _row(flag: Any) -> Row:
    meaning = re.sub(r"^<[^>]*>: ", "", flag.help)  # absl repeats the values of an enum there
    default = "" if flag.default is None else str(flag.default)
    return Row(flag.name, _values(flag), default, " ".join(meaning.split()))


def _values(flag: Any) -> str:
    """Returns in words what a flag may be set to."""
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    values = _KINDS.get(flag.flag_type(), flag.flag_type())
    for word, bound in (("from", "lower_bound"), ("to", "upper_bound")):
        limit = getattr(flag.parser, bound, None)
        values += "" if limit is None else f" {word} {limit:g}"
    return values


def _rows_of_script() -> Dict[str, List[Row]]:
    """Returns the group of the flags that a user's own script has defined, if there are any."""
    script = sys.argv[0]
    rows = [_row(flag) for flag in flags.FLAGS.get_key_flags_for_module(script)]
    return {f"Flags of {os.path.basename(script)}": rows} if rows else {}


def help_text(description: str) -> str:
    """Returns what --help prints: the description as it is, then the flags by group."""
    syntax = textwrap.fill(_plain(SYNTAX), _WIDTH)
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,
        description=f"{description.strip()}\n\n{syntax}",
        add_help=False,
        formatter_class=functools.partial(
            argparse.RawDescriptionHelpFormatter, width=_WIDTH, max_help_position=32
        ),
    )
    for group, rows in {**rows_by_group(), **_rows_of_script()}.items():
        section = parser.add_argument_group(group)
        for row in rows:
            default = f"; default: {row.default}" if row.default else ""
            text = _plain(f"{row.meaning} ({row.values}{default})").replace("%", "%%")
            section.add_argument(f"--{row.name}", action="store_true", help=text)
    return parser.format_help()


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")
