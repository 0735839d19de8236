"""Reads the tab-separated files of the GLUE tasks."""

import logging
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

from albert.common import files
from albert.common.errors import UsageError
from albert.glue.table import GlueSplit

_log = logging.getLogger(__name__)


def read_tsv(path: str) -> Iterator[Tuple[str, List[str]]]:
    """Yields (file:line, cells) for each row of a file; quotation marks are ordinary characters.

    A byte order mark and empty lines are skipped.

    Raises:
        UsageError: the file cannot be read or is not UTF-8.
    """
    try:
        for number, line in files.read_lines(path):
            yield f"{path}:{number}", line.split("\t")
    except OSError as error:
        raise cannot_read(path, error) from error


class TextRow(NamedTuple):
    """The cells of a row that its GlueSplit names; None where it names none.

    Attributes:
        where: file and line, for errors.
    """

    where: str
    text_a: str
    text_b: Optional[str]
    label: Optional[str]
    guid: Optional[str]


def read_rows(path: str, split: GlueSplit, is_label: Callable[[str], bool]) -> Iterator[TextRow]:
    """Yields the rows of a split's file; uneven rows that the split skips are counted and logged.

    Args:
        is_label: whether a text can be a label of the task.

    Raises:
        UsageError: the header is missing, a row has another number of columns, or there are no
            rows.
    """
    columns = [split.text_b, split.label, split.guid]
    num_needed = 1 + max([split.text_a, *(column for column in columns if column is not None)])
    if split.label == -1:  # the last column, which must not be one of the texts
        num_needed += 1
    rows = read_tsv(path)
    num_columns = num_needed
    if split.has_header:
        where, header = next(rows, (path, None))
        num_columns = _num_columns(where, header, num_needed, split, is_label)
    num_rows, num_skipped = 0, 0
    for where, cells in rows:
        if len(cells) == num_columns:
            num_rows += 1
            text_b, label, guid = (None if c is None else cells[c] for c in columns)
            yield TextRow(where, cells[split.text_a], text_b, label, guid)
        elif split.skips_uneven_rows:
            num_skipped += 1
        else:
            raise UsageError(f"{where}: {len(cells)} columns found, {num_columns} expected.")
    if num_skipped:
        _log.warning(
            "%s: %d rows without exactly %d columns are left out.", path, num_skipped, num_columns
        )
    if not num_rows:
        raise UsageError(f"{path} holds no examples.")


def _num_columns(where, header, num_needed, split, is_label):
    """Returns how many columns a header names; None, as of an empty file, names those needed.

    Whoever writes a header words it as they like, so that it is told from an example by what it
    cannot hold: a label in the column of the labels, or a number in that of the ids.
    """
    if header is None:
        return num_needed
    if len(header) < num_needed:
        raise UsageError(f"{where}: {len(header)} columns found, at least {num_needed} expected.")
    is_example = (
        header[split.guid].isdigit() if split.label is None else is_label(header[split.label])
    )
    if is_example:
        raise UsageError(
            f"{where}: this line holds an example; the first line must name the columns."
        )
    return len(header)


def cannot_read(path: str, error: OSError) -> UsageError:
    """Returns the UsageError for a data file that cannot be read."""
    return UsageError(f"{path}: {error.strerror}. Is <data_dir> right?", data_dir=None)
