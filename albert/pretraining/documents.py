"""Text files to documents, and documents to shards, without holding more than a shard or two.

A file has one sentence a line and blank lines between documents; each file begins a new document.
It is plain or compressed with gzip, which its first bytes tell, not its name.
"""

import codecs
import gzip
import hashlib
import io
import os
import zlib
from typing import Any, BinaryIO, Iterator, List, NamedTuple, Sequence

from albert.common import files
from albert.common.errors import UsageError

_GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_LINE = 1 << 24  # bytes; what is longer is no sentence, and memory is bounded
_BUFFER_SIZE = 1 << 18


class InputFile(NamedTuple):
    """A file that was read to its end; `num_bytes` and `sha256` are of the file as it is stored."""

    path: str
    num_bytes: int
    sha256: str


def input_file(path: str) -> InputFile:
    """Returns the InputFile of a path; UsageError if it cannot be read."""
    try:
        return InputFile(path, os.path.getsize(path), files.sha256(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from error


class Corpus:
    """The text of some files, to be read once from the first to the last.

    Attributes:
        files: the InputFiles read to their ends so far.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.files: List[InputFile] = []
        self._paths = paths

    def lines(self) -> Iterator[str]:
        """Yields each line without white space around it; a blank one, "", ends each file.

        Raises:
            UsageError: a file cannot be read, is damaged, is not UTF-8 text or has a line of more
                than 16 MiB. The message says in which line.
        """
        for path in self._paths:
            try:
                with open(path, "rb", buffering=0) as raw:
                    source = _HashingReader(raw)
                    yield from _lines_of(io.BufferedReader(source, _BUFFER_SIZE), path)
            except OSError as error:
                raise UsageError(f"{path}: {error.strerror or error}.") from error
            self.files.append(InputFile(path, source.num_bytes, source.digest.hexdigest()))
            yield ""

    def shards(self, size: int) -> Iterator[str]:
        """Yields texts of whole documents that have some `size` characters, or fewer.

        Sentences are lines, and a blank line is between documents. A document that is larger than
        `size` is cut into several, of one sentence or more.

        Raises:
            UsageError: as `lines`.
        """
        shard: List[str] = []
        num_characters = 0
        for document in self._documents(size):
            if shard and num_characters + len(document) > size:
                yield "\n\n".join(shard)
                shard, num_characters = [], 0
            shard.append(document)
            num_characters += len(document)
        if shard:
            yield "\n\n".join(shard)

    def _documents(self, size: int) -> Iterator[str]:
        document: List[str] = []
        num_characters = 0
        for line in self.lines():
            is_full = num_characters + len(line) > size
            if document and (is_full or not line):
                yield "\n".join(document)
                document, num_characters = [], 0
            if line:
                document.append(line)
                num_characters += len(line)


class _HashingReader(io.RawIOBase):
    """Reads a file, and computes its SHA-256 and size on the way."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.digest = hashlib.sha256()
        self.num_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._raw.readinto(buffer)
        self.digest.update(memoryview(buffer)[:count])
        self.num_bytes += count
        return count


def _lines_of(stored: io.BufferedReader, path: str) -> Iterator[str]:
    """Yields the lines of a file, plain or compressed."""
    if stored.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] != _GZIP_MAGIC:
        yield from _decoded_lines(stored, path)
        return
    number = 0
    try:
        with gzip.GzipFile(fileobj=stored) as unpacked:
            for line in _decoded_lines(io.BufferedReader(unpacked, _BUFFER_SIZE), path):
                number += 1
                yield line
    except (EOFError, OSError, zlib.error) as error:
        what = "ends too early" if isinstance(error, EOFError) else f"is damaged ({error})"
        raise UsageError(f"{path}: the gzip file {what}, after line {number}.") from error


def _decoded_lines(reader: BinaryIO, path: str) -> Iterator[str]:
    number = 0
    while True:
        line = reader.readline(_LONGEST_LINE + 1)
        if not line:
            return
        number += 1
        if len(line) > _LONGEST_LINE:
            raise UsageError(
                f"{path}:{number}: the line has more than {_LONGEST_LINE} bytes; give one sentence "
                "a line."
            )
        if number == 1 and line.startswith(codecs.BOM_UTF8):
            line = line[len(codecs.BOM_UTF8) :]
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_text(path, number, line, error.start) from error
        if "\0" in text:
            raise _not_text(path, number, line, line.index(0))
        text = text.strip()
        if "\r" in text and number == 1 and not line.endswith(b"\n"):
            raise UsageError(
                f"{path}:1: the file has carriage returns in place of line feeds. Save it with "
                "line feeds."
            )
        yield text


def _not_text(path: str, number: int, line: bytes, position: int) -> UsageError:
    hint = "a binary file or UTF-16" if 0 in line else "another encoding"
    return UsageError(
        f"{path}:{number}: byte {position} of the line is 0x{line[position]:02x}: this is not "
        f"UTF-8 text, but {hint}. Save it as UTF-8."
    )
