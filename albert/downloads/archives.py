"""Unpacks zip and tar archives that may be damaged or malicious."""

import contextlib
import errno
import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from typing import IO, Iterable, Iterator, Tuple

from albert.common.errors import UsageError

# What a damaged archive makes zipfile, tarfile and the decompressors raise.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    ArithmeticError,
    EOFError,
    LookupError,
    RuntimeError,
    ValueError,
)
# Numbers of the OSErrors that are due to the archive: a place before its beginning, or a name that
# is too long or the same as another one's. Without a number: gzip and bz2 report damage.
_DAMAGE_NUMBERS = (
    None,
    errno.EEXIST,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
)


def unpack(archive: str, folder: str) -> None:
    """Unpacks a .zip or .tar.gz into a folder, replacing what the folder held.

    Raises:
        UsageError: the archive is damaged, or holds something other than files and folders, or
            paths that lead out of it. The folder is then removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for name, reader in _files_in(archive):
            path = os.path.join(folder, *name.split("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with reader, open(path, "wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        is_damage = isinstance(error, _DAMAGE)
        if is_damage or (isinstance(error, OSError) and error.errno in _DAMAGE_NUMBERS):
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UsageError(f"{archive} is damaged or not an archive: {reason}.") from error
        raise


def folder_with(names: Iterable[str], folder: str, archive: str) -> str:
    """Returns the folder, at any depth below `folder`, that holds all the named files.

    Args:
        archive: where `folder` was unpacked from, for errors.

    Raises:
        UsageError: there is none.
    """
    for parent, _, found in os.walk(folder):
        if {*names} <= {*found}:
            return parent
    raise UsageError(f"{archive} has no folder with {', '.join(names)}.")


def _files_in(archive: str) -> Iterator[Tuple[str, IO[bytes]]]:
    """Yields (name, open binary file) of each file of an archive."""
    with contextlib.ExitStack() as stack:
        if archive.endswith(".zip"):
            zipped = stack.enter_context(zipfile.ZipFile(archive))
            for info in zipped.infolist():
                mode = info.external_attr >> 16
                is_plain = stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)
                _check(archive, info.filename, is_plain)
                if not info.is_dir():
                    yield info.filename, zipped.open(info)
        else:
            unzipped = stack.enter_context(gzip.open(archive))
            tar = stack.enter_context(tarfile.open(fileobj=unzipped, mode="r:"))
            for member in tar:
                # The holes of a sparse file may be larger than any disk.
                is_file = member.isfile() and not member.issparse()
                _check(archive, member.name, is_file or member.isdir())
                reader = tar.extractfile(member)
                if reader is not None:  # not a folder
                    yield member.name, reader
            while unzipped.read(1 << 20):  # the checksum comes after the end of the tar file
                pass


def _check(archive: str, name: str, is_plain: bool) -> None:
    if name.startswith("/") or ".." in name.split("/"):
        raise UsageError(f"{archive} is refused: {name!r} lies outside of it.")
    if not is_plain:
        raise UsageError(f"{archive} is refused: {name!r} is neither a file nor a folder.")
