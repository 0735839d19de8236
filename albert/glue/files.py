"""Reads the tab-separated files of the GLUE tasks."""

import logging
from typing import Iterator, List, NamedTuple, Optional, Tuple

from albert.common.errors import UsageError
from albert.glue.table import GlueSplit

_log = logging.getLogger(__name__)


def read_tsv(path: str, has_header: bool) -> Iterator[Tuple[int, List[str]]]:
    """Yields (line number from 1, cells) for each row of a file.

    Quotation marks are ordinary characters. A byte order mark and empty lines are skipped.

    Args:
        has_header: whether to skip the first line, which names the columns.

    Raises:
        UsageError: the file cannot be read or is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as reader:
            for number, line in enumerate(reader, 1):
                line = line.rstrip("\r\n")
                if line and not (has_header and number == 1):
                    yield number, line.split("\t")
    except OSError as error:
        raise cannot_read(path, error) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error.reason}.") from error


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


def read_rows(path: str, split: GlueSplit) -> Iterator[TextRow]:
    """Yields the rows of a split's file; short rows that the split skips are counted and logged.

    Raises:
        UsageError: a row has too few columns, or there are no rows.
    """
    columns = [split.text_b, split.label, split.guid]
    num_needed = 1 + max([split.text_a, *(column for column in columns if column is not None)])
    if split.label == -1:  # the last column, which must not be one of the texts
        num_needed += 1
    num_rows, num_short = 0, 0
    for number, cells in read_tsv(path, split.has_header):
        where = f"{path}:{number}"
        if len(cells) >= num_needed:
            num_rows += 1
            text_b, label, guid = (None if c is None else cells[c] for c in columns)
            yield TextRow(where, cells[split.text_a], text_b, label, guid)
        elif split.skips_short_rows:
            num_short += 1
        else:
            raise UsageError(
                f"{where}: {len(cells)} columns found, at least {num_needed} expected."
            )
    if num_short:
        _log.warning("%s: %d rows with too few columns are left out.", path, num_short)
    if not num_rows:
        raise UsageError(f"{path} holds no examples.")


def cannot_read(path: str, error: OSError) -> UsageError:
    """Returns the UsageError for a data file that cannot be read."""
    return UsageError(f"{path}: {error.strerror}. Is <data_dir> right?", data_dir=None)
