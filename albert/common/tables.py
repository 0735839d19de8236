"""Reads tables row by row: CSV, TSV, JSON Lines, Parquet, plain lines, CoNLL; text from pipes, too.

A cell of a text format is the text that stands there: "NA", "null" and 007 are not interpreted. A
row knows its line, and none is lost in silence. That, and reading what a pipe has brought so far,
is why CSV and JSON are read by the standard library rather than by pandas.
"""

import csv
import gzip
import itertools
import json
import logging
import os
import re
import zlib
from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional

from albert.common import files, json_files
from albert.common.errors import UsageError

FORMATS = ("lines", "tsv", "csv", "jsonl", "conll", "parquet")
LINE = "text"  # the column of plain lines
TOKENS, TAGS = "tokens", "tags"  # the columns of CoNLL, whose rows are sentences

# {ending: format}; a text format's file may also end with .gz.
_ENDINGS = {
    ".txt": "lines",
    ".tsv": "tsv",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".conll": "conll",
    ".parquet": "parquet",
}
_CELLS_SHOWN = 5
_MAX_DIGITS = 1000  # of an integer in JSON Lines; to read one takes the square of its length

csv.field_size_limit(2**31 - 1)  # of a cell; by default 131,072 characters

_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        where: its file and line, for errors.
        cells: {column: value}; text, except in JSON Lines and Parquet, and lists in CoNLL.
        num_lines: how many lines of CoNLL it has, each a token; else 0.
    """

    where: str
    cells: Dict[str, Any]
    num_lines: int = 0


def format_of(path: str) -> Optional[str]:
    """Returns which of FORMATS a file's ending stands for, or None."""
    name = path[: -len(".gz")] if path.endswith(".gz") else path
    return _ENDINGS.get(os.path.splitext(name)[1].lower())


def read_table(path: str, setting: str, file_format: Optional[str] = None) -> Iterator[Row]:
    """Yields the rows of a file.

    Args:
        setting: the setting that chose the file, for errors.
        file_format: one of FORMATS; None goes by the ending of the path.

    Raises:
        UsageError: the file cannot be read, its ending is unknown, or its content is malformed.
    """
    file_format = file_format or format_of(path)
    if file_format is None:
        known = ", ".join(_ENDINGS)
        raise UsageError(
            f"<{setting}> must end with one of {known}; text may be compressed (.gz).",
            **{setting: path},
        )
    try:
        if file_format == "parquet":
            yield from _parquet_rows(path)
        else:
            with _open(path) as reader:
                yield from read_lines(reader, path, file_format, lambda: _content(path))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UsageError(f"<{setting}> cannot be read: {reason}.", **{setting: path}) from error


def read_lines(
    lines: Iterable[bytes],
    name: str,
    file_format: str,
    content: Optional[Callable[[], bytes]] = None,
) -> Iterator[Row]:
    """Yields the rows of a text format, each as soon as its last line has come.

    Empty lines are counted and logged; of plain lines, each is a row.

    Args:
        lines: with their ends.
        name: of the file, for errors.
        file_format: one of FORMATS, but not parquet.
        content: returns the whole content again, for an error to say where it is not UTF-8.

    Raises:
        UsageError: a line is malformed.
    """
    texts = _decoded(lines, name, content)
    if file_format == "lines":
        for number, text in enumerate(texts, 1):
            yield Row(f"{name}:{number}", {LINE: text.rstrip("\r\n")})
        return
    if file_format == "conll":
        yield from _sentences(texts, name)
        return
    num_empty = 0
    for row in (
        _json_rows(texts, name) if file_format == "jsonl" else _csv_rows(texts, name, file_format)
    ):
        if row is None:
            num_empty += 1
        else:
            yield row
    if num_empty:
        _log.warning("%s: empty lines, which hold no row: %d.", name, num_empty)


def as_text(value: Any, where: str, column: str) -> str:
    """Returns a cell as text: "" for null, the decimal text of a number, true or false.

    Raises:
        UsageError: it holds a list or an object.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise UsageError(f"{where}: {column!r} must be text, not {type(value).__name__}.")


def text_in(row: Row, column: str) -> str:
    """Returns the text in a row's column.

    Raises:
        UsageError: there is no such column, or it holds no text.
    """
    if column not in row.cells:
        raise UsageError(f"{row.where}: there is no {column!r} among {shown(row.cells)}.")
    return as_text(row.cells[column], row.where, column)


def as_list(value: Any) -> Optional[List[Any]]:
    """Returns the list that a cell holds, also as JSON in a text; None if there is none."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, list) else None


def shown(names: Iterable[Any]) -> str:
    """Returns names for an error, quoted, and only the first few of many."""
    quoted = [f"{name!r:.50}" for name in names]
    more = f" and {len(quoted) - _CELLS_SHOWN} more" if len(quoted) > _CELLS_SHOWN else ""
    return ", ".join(quoted[:_CELLS_SHOWN]) + more


def _open(path: str) -> BinaryIO:
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")  # type: ignore


def _content(path: str) -> bytes:
    with _open(path) as reader:
        return reader.read()


def _decoded(lines, name, content):
    """Yields the text of each line, without a byte order mark."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            # Raises the error that names byte, line and likely encoding.
            files.utf8_text(content() if content else line, name if content else f"{name}:{number}")
            raise UsageError(f"{name}:{number} has a null character.")
        yield text


def _csv_rows(texts: Iterator[str], name: str, file_format: str) -> Iterator[Optional[Row]]:
    """Yields the rows below the header, and None for an empty line."""
    reader = (
        csv.reader(texts, strict=True)
        if file_format == "csv"
        else csv.reader(texts, delimiter="\t", quoting=csv.QUOTE_NONE)
    )
    header: Optional[List[str]] = None
    while True:
        where = f"{name}:{reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            reason = str(error)
            if "unexpected end" in reason:
                reason = "a quotation mark that opens a cell is never closed"
            raise UsageError(f"{where}: {reason}.") from error
        if not cells:
            yield None
        elif header is None:
            header = cells
            if len(set(header)) < len(header):
                twice = next(cell for cell in header if header.count(cell) > 1)
                raise UsageError(f"{where}: two columns are called {twice!r}.")
        elif len(cells) != len(header):
            advice = (
                "quote cells that hold a comma or a line end"
                if file_format == "csv"
                else "quotation marks are plain text here; texts with tabs or line ends need CSV"
            )
            raise UsageError(
                f"{where}: {len(cells)} cells found, {len(header)} expected ({advice})."
            )
        else:
            yield Row(where, dict(zip(header, cells)))


def _sentences(texts: Iterator[str], name: str) -> Iterator[Row]:
    """Yields a row for each sentence of CoNLL: the first and, if there are more, the last column.

    Columns are separated by tabs, in a line without one by spaces. Other white space, such as a
    no-break space, may be a token.
    """
    lines: List[List[str]] = []
    num_columns = start = 0
    for number, text in enumerate(itertools.chain(texts, [""]), 1):
        text = text.rstrip("\r\n")
        if not text.strip(" \t"):
            if lines:
                tokens, *others = zip(*lines)
                cells = {TOKENS: list(tokens), **({TAGS: list(others[-1])} if others else {})}
                yield Row(f"{name}:{start}", cells, len(lines))
            lines = []
            continue
        columns = text.split("\t") if "\t" in text else re.split(" +", text.strip(" "))
        num_columns = num_columns or len(columns)
        if len(columns) != num_columns:
            raise UsageError(
                f"{name}:{number}: {len(columns)} columns found, {num_columns} expected, as in the "
                "lines above (a token, others, the tag; an empty line ends a sentence)."
            )
        start = start if lines else number
        lines.append(columns)


def _json_rows(texts: Iterator[str], name: str) -> Iterator[Optional[Row]]:
    """Yields the rows, and None for an empty line."""
    for number, text in enumerate(texts, 1):
        where = f"{name}:{number}"
        if not text.strip():
            yield None
            continue
        try:
            cells = json_files.parse_json(text, allow_nan=True, max_digits=_MAX_DIGITS)
        except (ValueError, RecursionError) as error:
            reason = error if isinstance(error, ValueError) else "it is nested too deeply"
            raise UsageError(
                f"{where} is not JSON: {reason} (there must be one object in each line)."
            ) from error
        if not isinstance(cells, dict):
            raise UsageError(
                f"{where}: a JSON object was expected, not {type(cells).__name__} "
                "(there must be one object in each line)."
            )
        yield Row(where, cells)


def _parquet_rows(path: str) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(f"{path}: to read Parquet, pip install pyarrow.") from error
    number = 0
    try:
        file = parquet.ParquetFile(path)
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"{path}: two columns are called {twice!r}.")
        for batch in file.iter_batches(batch_size=1024):
            columns = batch.to_pydict()
            for values in zip(*columns.values()):
                number += 1
                yield Row(f"{path}: row {number}", dict(zip(columns, map(_as_json, values))))
    # ValueError: what is no text, or no date of Python, in a column of texts or dates.
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise UsageError(f"{path} is not Parquet: {str(error).splitlines()[0]}") from error


def _as_json(value: Any) -> Any:
    """Returns a value of Parquet as JSON has it: text for dates, decimals and bytes."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {str(key): _as_json(each) for key, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, (list, tuple)) else str(value)
