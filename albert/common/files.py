"""Writes files completely or not at all, reads lines of text, and hashes files."""

import codecs
import contextlib
import glob
import hashlib
import json
import os
import re
import shutil
import uuid
from typing import Any, Dict, Iterable, Iterator, List, Tuple

from albert.common.errors import UsageError

_CONTROL_BYTES = bytes({*range(32)} - {*b"\t\n\f\r"})


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


def check_new_folder(setting: str, path: str) -> None:
    """Raises UsageError if a path, named by a setting, is a file, or a folder that holds files."""
    if os.path.isdir(path) and os.listdir(path):
        raise UsageError(
            f"<{setting}> is a folder that holds files; it must be new or empty.", **{setting: path}
        )
    if os.path.exists(path) and not os.path.isdir(path):
        raise UsageError(f"<{setting}> is a file; it must be a new folder.", **{setting: path})


def matching(patterns: str, setting: str) -> List[str]:
    """Returns the paths that patterns, separated by commas, match: each once, sorted by pattern.

    Args:
        patterns: paths, with `*`, `?` and `[...]` as in a shell.
        setting: the one that names them, for errors.

    Raises:
        UsageError: there is no pattern, one matches nothing, or one matches a folder.
    """
    found: Dict[str, None] = {}
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        # A path is itself, whatever its characters would match.
        paths = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
        if not paths:
            raise UsageError(f"<{setting}>: no file matches {pattern}.", **{setting: None})
        for path in paths:
            if os.path.isdir(path):
                raise UsageError(f"<{setting}>: {path} is a folder.", **{setting: None})
        found.update(dict.fromkeys(paths))
    if not found:
        raise UsageError(f"<{setting}> names no file.", **{setting: patterns})
    return list(found)


@contextlib.contextmanager
def making_folder(setting: str, path: str) -> Iterator[str]:
    """Yields a temporary folder, which becomes the new or empty folder `path` at the end.

    If the block fails, nothing is left of it.

    Args:
        setting: the one that names the folder.

    Raises:
        UsageError: another process has written there meanwhile.
    """
    target = os.path.abspath(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = f"{target}.{uuid.uuid4().hex}.part"
    os.mkdir(temporary)
    try:
        yield temporary
        try:
            os.rename(temporary, target)  # which replaces an empty folder
        except OSError:
            check_new_folder(setting, path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def copy(source: str, target: str) -> None:
    """Copies the content of a file to another path, completely or not at all."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def write_text(path: str, text: str) -> None:
    """Writes a UTF-8 file, completely or not at all.

    Half of a surrogate pair, which JSON allows and UTF-8 does not, is written as `\\ud800`.
    """
    with replacing(path) as temporary:
        with open(temporary, "wb") as writer:
            writer.write(text.encode("utf-8", "backslashreplace"))


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


def utf8_text(content: bytes, name: str, **settings: Any) -> str:
    """Returns the text of a file's content, without a byte order mark.

    Args:
        name: of the file, for errors; `settings` are those it refers to, as in UsageError.

    Raises:
        UsageError: the content is not UTF-8 text. The message says where, and what it looks like.
    """
    try:
        text = content.decode("utf-8-sig")
        if not _is_utf_16(content):  # whose Latin letters are UTF-8, too, with null characters
            return text
        start = content.index(0)
    except UnicodeDecodeError as error:
        start = error.start + len(content) - len(error.object)  # the mark is not counted
    number = content.count(b"\n", 0, start) + 1
    raise UsageError(
        f"{name} is not UTF-8 text: byte {start} (line {number}) is 0x{content[start]:02x}. "
        f"It looks like {_likely_encoding(content, start)}; save it as UTF-8.",
        **settings,
    )


def _is_utf_16(content: bytes) -> bool:
    has_mark = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return has_mark or content.count(0) > len(content) // 4


def _likely_encoding(content: bytes, start: int) -> str:
    """Returns what text may be encoded in whose byte at `start` is not UTF-8."""
    if _is_utf_16(content):
        return "UTF-16"
    if len(content.translate(None, _CONTROL_BYTES)) < len(content):
        return "a binary file"
    # Accented letters stand alone among plain ones; Chinese characters follow each other.
    line = content[start : start + 1000].split(b"\n")[0]
    longest = max(len(run) for run in re.findall(rb"[\x80-\xff]+", line))
    return "Latin-1" if longest < 4 else "GB18030 or the like"


def read_lines(path: str) -> Iterator[Tuple[int, str]]:
    """Yields (number from 1, text without its end) for each line of a UTF-8 file.

    Only a line feed ends a line. A byte order mark and empty lines are skipped.

    Raises:
        OSError: the file cannot be read.
        UsageError: it has another encoding, or carriage returns in place of line feeds.
    """
    with open(path, "rb") as reader:
        content = reader.read()
    lines = utf8_text(content, path).split("\n")
    if not any(lines[1:]) and "\r" in lines[0].rstrip("\r"):
        raise UsageError(
            f"{path}:1: the file has carriage returns, the first at byte {content.index(13)}, in "
            "place of line feeds. Save it with line feeds."
        )
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\r")
        if text:
            yield number, text


def sha256(path: str) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as reader:
        for block in iter(lambda: reader.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
