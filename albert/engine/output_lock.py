"""Keeps two processes from writing checkpoints and results into one output_dir.

The lock is a POSIX record lock on the file `.lock`, which stays in the folder. What it guarantees:

- It ends with its process, however that ends, so a restart right after SIGKILL succeeds.
- Processes that the holder starts or forks do not inherit it.
- On NFS it holds between machines: over NFSv4, and over NFSv3 with its lock service. Mounted with
  `nolock` or `local_lock`, it holds only between processes of one machine. If the holder's machine
  is switched off, NFSv4 frees the lock after its lease (90 s by default), NFSv3 once that machine
  is back. A holder that is cut off from the server for longer than the lease loses the lock without
  notice.
- A file system that has no locks is reported, and used without one.

A process may not hold the lock of one folder twice: the end of the first would end both.
"""

import contextlib
import errno
import fcntl
import logging
import os
import socket
from typing import Iterator

from albert.common.errors import UsageError

NAME = ".lock"

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


def _holder(descriptor):
    """Returns who has written their name into the file, such as "process 7 on gpu-1"."""
    return os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
