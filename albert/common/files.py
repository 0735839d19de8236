"""Files that are written whole or not at all, and hashes of files."""

import contextlib
import hashlib
import os
import uuid


@contextlib.contextmanager
def replacing(path):
    """Yields a new name beside `path`; the file written there replaces `path` at the end.

    If the block fails, `path` stays as it was and nothing is left beside it.
    """
    temporary = f"{path}.{uuid.uuid4().hex}.part"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def write_text(path, text):
    """Writes a UTF-8 file whole or not at all."""
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="\n") as writer:
            writer.write(text)


def write_tsv(path, table):
    """Writes rows of cells, whole or not at all, separated by tabs."""
    write_text(path, "".join("\t".join(str(cell) for cell in row) + "\n" for row in table))


def sha256(path):
    """Returns the SHA-256 of a file's bytes in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as reader:
        for block in iter(lambda: reader.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
