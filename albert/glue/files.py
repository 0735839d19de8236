"""Reads the tab-separated files of the GLUE tasks."""

from typing import Iterator, List, Tuple

from albert.common.errors import UsageError


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


def cannot_read(path: str, error: OSError) -> UsageError:
    """Returns the UsageError for a data file that cannot be read."""
    return UsageError(f"{path}: {error.strerror}. Is <data_dir> right?", data_dir=None)
