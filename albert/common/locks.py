"""Keeps two processes from writing into one output_dir, or from making one cached file both.

The locks are POSIX record locks on the files `.lock` and `.turns`, which stay in the folder. What
they guarantee:

- A lock ends with its process, however that ends, so a restart right after SIGKILL succeeds.
- Processes that the holder starts or forks do not inherit it.
- On NFS it holds between machines: over NFSv4, and over NFSv3 with its lock service. Mounted with
  `nolock` or `local_lock`, it holds only between processes of one machine. If the holder's machine
  is switched off, NFSv4 frees the lock after its lease (90 s by default), NFSv3 once that machine
  is back. A holder that is cut off from the server for longer than the lease loses the lock without
  notice.
- A file system that has no locks is reported, and used without one.

A process may not hold two locks on one of these files: the end of the first would end both.
"""

import contextlib
import errno
import fcntl
import logging
import os
import socket
import zlib
from typing import Iterator, Optional

from albert.common.errors import UsageError

NAME = ".lock"
_TURNS = ".turns"

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(output_dir: str) -> Iterator[None]:
    """Holds the lock of a folder for the duration of a block.

    Raises:
        UsageError: another process holds it, or its file cannot be written.
    """
    try:
        descriptor = os.open(os.path.join(output_dir, NAME), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UsageError(f"<output_dir>: {error.strerror}.", output_dir=output_dir) from error
    try:
        _lock(descriptor, output_dir)
        yield
    finally:
        os.close(descriptor)  # which frees the lock


@contextlib.contextmanager
def turn(path: str, lock: Optional[str] = None) -> Iterator[None]:
    """Lets processes run a block that makes a file one after the other, where locks are to be had.

    The folder of the file exists. Every file has its own byte of the lock, so different ones can be
    made at once. In a folder that cannot be written to, nobody makes one.

    Args:
        lock: path of the lock; None for one that all files of the folder share.
    """
    folder, name = os.path.split(path)
    byte = zlib.crc32(name.encode())
    try:
        descriptor = os.open(lock or os.path.join(folder, _TURNS), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield
        return
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                _log.info("Waiting for the process that makes %s.", path)
                fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, byte)
        yield
    finally:
        os.close(descriptor)


def holder_of(output_dir: str) -> str:
    """Returns who holds, or held last, the lock of a folder: "process 7 on gpu-1", or ""."""
    with contextlib.suppress(OSError):
        with open(os.path.join(output_dir, NAME), encoding="utf-8", errors="replace") as reader:
            return reader.read(200)
    return ""


def _lock(descriptor, output_dir):
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise UsageError(
                f"<output_dir> is in use by {_holder(descriptor)}, which trains or evaluates "
                "there: wait until it ends, or use another folder.",
                output_dir=output_dir,
            ) from error
        _log.warning(
            "%s cannot be locked (%s): make sure that no other process trains there.",
            output_dir,
            error.strerror,
        )
        return
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    os.fsync(descriptor)  # so that other machines can read it


def _holder(descriptor):
    """Returns who has written their name into the file, such as "process 7 on gpu-1"."""
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
