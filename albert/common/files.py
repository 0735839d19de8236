"""Writes files completely or not at all, and hashes files."""

import contextlib
import hashlib
import os
import uuid
from typing import Any, Iterable, Iterator


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


def sha256(path: str) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as reader:
        for block in iter(lambda: reader.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
