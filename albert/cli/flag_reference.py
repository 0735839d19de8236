"""Prints the reference of all runners' flags, as Markdown; a test holds docs/flags.md to it.

python -m albert.cli.flag_reference > docs/flags.md
"""

import argparse
import importlib
import pathlib
import re
from typing import NamedTuple

from absl import flags

import albert
from albert.cli import quiet

COMMAND = "python -m albert.cli.flag_reference > docs/flags.md"

# What the meanings of flags begin with that are there for the original's scripts alone.
_IDLE = ("Without effect", "Refused")

_HEADER = f"""\
# Flags

Made by `{COMMAND}`; to be changed in the code.

Flags are written `--name=value`. A switch also as `--name` for True and `--noname` for False.
`--flagfile=<file>` reads flags from a file, one a line."""


class Row(NamedTuple):
    """One flag: four str."""

    flag: str
    values: str
    default: str
    meaning: str

    @property
    def is_idle(self):
        """Whether the flag is only accepted."""
        return self.meaning.startswith(_IDLE)


def runners():
    """Returns the names of the runners' modules, in order."""
    package = pathlib.Path(albert.__file__).parent
    return sorted(path.stem for path in package.glob("run_multigpus_*.py"))


def rows_of(runner):
    """Returns the Rows of a runner's flags, in the order of their definition.

    Those of absl that they declare as theirs come last. The flags are taken back again: runners
    define the same names.
    """
    importlib.import_module(f"albert.{runner}").define_flags()
    defined = [
        flag
        for module, of_module in flags.FLAGS.flags_by_module_dict().items()
        if module.startswith("albert.")
        for flag in of_module
    ]
    declared = [
        flag
        for flag in flags.FLAGS.key_flags_by_module_dict()["albert.cli.common_flags"]
        if flag not in defined
    ]
    for flag in defined:
        delattr(flags.FLAGS, flag.name)
    return [_row(flag) for flag in (*defined, *declared)]


def _row(flag):
    default = "" if flag.default is None else f"`{flag.default}`"
    meaning = re.sub(r"^<[^>]*>: ", "", flag.help)  # absl repeats the values of an enum there
    meaning = " ".join(meaning.split()).replace("|", "\\|")
    return Row(f"`--{flag.name}`", _values(flag), default, meaning)


def _values(flag):
    """Returns what a flag may be set to, in words."""
    choices = getattr(flag.parser, "enum_values", None)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    kind = {"bool": "switch", "string": "text", "int": "integer", "float": "number"}
    values = kind.get(flag.flag_type(), flag.flag_type())
    bounds = [getattr(flag.parser, f"{end}_bound", None) for end in ("lower", "upper")]
    for word, bound in zip(("from", "to"), bounds):
        values += "" if bound is None else f" {word} {bound:g}"
    return values


def reference(rows):
    """Returns the Markdown of {runner: Rows}; what all runners define alike stands there once."""
    shared = set.intersection(*map(set, rows.values()))
    owned = {"all": [row for row in next(iter(rows.values())) if row in shared]}
    owned.update((runner, [row for row in rows[runner] if row not in shared]) for runner in rows)
    parts = [_HEADER]
    for owner, of_owner in owned.items():
        title = "All runners" if owner == "all" else f"`python -m albert.{owner}`"
        parts += _table(title, Row._fields, [row for row in of_owner if not row.is_idle])
    idle = [(owner, *row) for owner, of_owner in owned.items() for row in of_owner if row.is_idle]
    parts += _table("Accepted for the original's scripts", ("runner", *Row._fields), idle)
    return "\n".join(parts) + "\n"


def _table(title, columns, rows):
    """Returns the lines of a section with a table."""
    lines = [" | ".join(cells) for cells in [columns, ["---"] * len(columns), *rows]]
    return [f"\n## {title}\n", *(f"| {line} |" for line in lines)]


def main():
    argparse.ArgumentParser(
        prog="flag_reference.py", description=(__doc__ or "").split("\n")[0]
    ).parse_args()
    quiet.quiet_tensorflow()
    print(reference({runner: rows_of(runner) for runner in runners()}), end="")


if __name__ == "__main__":
    main()
