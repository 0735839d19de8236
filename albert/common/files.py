"""Writes files completely or not at all, reads lines of text, and hashes files."""

import codecs
import contextlib
import hashlib
import json
import os
import re
import uuid
from typing import Any, Iterable, Iterator, Tuple

from albert.common.errors import UsageError


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a temporary path beside `path`; the file written there replaces `path` at the end.

    If the block fails, `path` stays as it was and the temporary file is removed.
    """
    temporary = f"{path}.{uuid.uuid4().hex}.part"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file, completely or not at all."""
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="\n") as writer:
            writer.write(text)


def write_tsv(path: str, table: Iterable[Iterable[Any]]) -> None:
    """Writes rows of cells separated by tabs, completely or not at all."""
    write_text(path, "".join("\t".join(str(cell) for cell in row) + "\n" for row in table))


def as_cell(value: Any) -> str:
    """Returns a value for a TSV file: its text, or a JSON string of a text that needs one.

    Tabs and line ends would break the table, UTF-8 has no lone surrogates, and a text that begins
    with a quotation mark would pass for such a string.
    """
    text = str(value)
    is_plain = text.isprintable() and not text.startswith('"')
    return text if is_plain else json.dumps(text)


def read_lines(path: str) -> Iterator[Tuple[int, str]]:
    """Yields (number from 1, text without its end) for each line of a UTF-8 file.

    Only a line feed ends a line. A byte order mark and empty lines are skipped.

    Raises:
        OSError: the file cannot be read.
        UsageError: it has another encoding, or carriage returns in place of line feeds.
    """
    position = 0  # of the line in the file, in bytes
    with open(path, "rb") as reader:
        for number, line in enumerate(reader, 1):
            try:
                text = _decoded(line)
            except UnicodeDecodeError as error:
                raise UsageError(
                    f"{path}:{number}: byte {position + error.start} of the file "
                    f"(0x{line[error.start]:02x}) is not UTF-8 text: it looks like "
                    f"{_likely_encoding(line)}. Save the file as UTF-8."
                ) from error
            if number == 1:
                text = text[1:] if text.startswith("\ufeff") else text
                if "\r" in text and not reader.peek(1):
                    raise UsageError(
                        f"{path}:1: the file has carriage returns, the first at byte "
                        f"{line.index(13)}, in place of line feeds. Save it with line feeds."
                    )
            if text:
                yield number, text
            position += len(line)


def _decoded(line: bytes) -> str:
    """Returns the text of a line without its end; raises UnicodeDecodeError."""
    text = line.decode("utf-8")
    if _is_utf_16(line):  # without a mark, the bytes of Latin letters pass for UTF-8
        raise UnicodeDecodeError("utf-8", line, line.index(0), len(line), "a null character")
    return text.rstrip("\r\n")


def _is_utf_16(line):
    has_mark = line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return has_mark or line.count(0) > len(line) // 4


def _likely_encoding(line):
    """Returns what a line that is not UTF-8 may be encoded in."""
    if _is_utf_16(line):
        return "UTF-16"
    # Accented letters stand alone among plain ones; Chinese characters follow each other.
    longest = max(len(run) for run in re.findall(rb"[\x80-\xff]+", line))
    return "Latin-1" if longest < 4 else "GB18030 or the like"


def sha256(path: str) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as reader:
        for block in iter(lambda: reader.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
