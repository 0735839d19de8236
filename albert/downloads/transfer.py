"""Fetches files over HTTP: whole or not at all, and on from where a broken transfer stopped."""

import contextlib
import dataclasses
import fcntl
import functools
import logging
import os
import posixpath
import re
import shutil
import time
from typing import Optional

import pooch
import requests
import tqdm

from albert.common import files
from albert.common.errors import UsageError

_log = logging.getLogger(__name__)

# Besides the server's own errors (5xx), the answers that may be other ones a little later.
_PASSING = (408, 416, 429)

# Bytes that are read at once; those of a chunk that does not arrive whole are lost.
_CHUNK = 1 << 13


@dataclasses.dataclass(frozen=True)
class DownloadConfig:
    """Where files come from and how long a transfer is tried.

    Attributes:
        base_url: a mirror that serves all files by their base names; None: the official addresses.
        timeout: seconds to wait for a connection, and for the next bytes.
        retries: how often to try again without getting any further.
        wait: seconds before the first retry, doubled for each further one.
    """

    base_url: Optional[str] = None
    timeout: float = 30
    retries: int = 5
    wait: float = 1

    def __post_init__(self):
        if self.base_url and not re.match(r"https?://[^/]", self.base_url):
            raise UsageError(f"--base_url={self.base_url} must begin with http:// or https://.")
        if self.timeout <= 0:
            raise UsageError(f"--timeout={self.timeout:g} must be above 0.")
        for name in ("retries", "wait"):
            if getattr(self, name) < 0:
                raise UsageError(f"--{name}={getattr(self, name):g} must be at least 0.")

    def address(self, url):
        """Returns where the file of an official address comes from."""
        if not self.base_url:
            return url
        return f"{self.base_url.rstrip('/')}/{posixpath.basename(url)}"


@contextlib.contextmanager
def workplace(folder):
    """Yields a folder inside `folder`, for what is not whole yet, to one process at a time."""
    path = os.path.join(folder, ".downloads")
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("Waiting for another process that downloads into %s.", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


def fetch(url, folder, config, sha256=None):
    """Fetches the file of an official address into a folder and returns its path.

    What has arrived of a broken transfer stays beside it under another name, and the next call
    goes on from there if the server still has the same file.

    Raises:
        UsageError: the file cannot be had, or its SHA-256 is not the one given.
    """
    url = config.address(url)
    path = os.path.join(folder, posixpath.basename(url))
    pooch.get_logger().setLevel(logging.WARNING)
    _log.info("Fetching %s", url)
    try:
        return pooch.retrieve(
            url,
            sha256,
            fname=os.path.basename(path),
            path=folder,
            downloader=_ResumingDownloader(path + ".part", config),
        )
    except ValueError as error:  # pooch's word for a wrong hash, after removing the file
        raise UsageError(f"{url} has not the SHA-256 {sha256}: it is another file.") from error


@contextlib.contextmanager
def using_up(*paths):
    """Removes files and folders when the block ends, well or with a UsageError.

    What came down but was refused must not be taken again. Whatever else ends the block, such as
    Ctrl-C, leaves it for the next call.
    """
    try:
        yield
    except UsageError:
        _remove(paths)
        raise
    _remove(paths)


def _remove(paths):
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)


class _ResumingDownloader:
    """For pooch: its HTTPDownloader, tried again where that helps, going on where it stopped.

    Attributes:
        part: the file that a transfer fills.
        validator_file: which version of the file on the server `part` is the beginning of, an
            ETag or a date; not there if the server names none.
    """

    def __init__(self, part, config):
        self.part = part
        self.validator_file = part + ".version"
        self.config = config
        self._expected_size = None

    def __call__(self, url, output_file, _):
        furthest, failures = 0, 0
        while True:
            try:
                self._transfer(url)
                break
            except requests.RequestException as error:
                reason = self._reason(error)
                if _is_final(error):
                    raise UsageError(f"{url}: {reason}.") from error
            size = os.path.getsize(self.part)
            failures = 1 if size > furthest else failures + 1
            furthest = max(size, furthest)
            if failures > self.config.retries:
                raise UsageError(f"{url}: {reason}, also after --retries={self.config.retries}.")
            seconds = self.config.wait * 2 ** (failures - 1)
            _log.warning("%s: %s; trying again in %g s.", url, reason, seconds)
            time.sleep(seconds)
        self._forget_version()
        os.replace(self.part, output_file)

    def _transfer(self, url):
        """Appends to the part what it lacks; raises RequestException where that is cut short."""
        self._expected_size = None
        # Ranges count the bytes that are sent: they must not be compressed.
        headers = {"Accept-Encoding": "identity"}
        with open(self.part, "ab") as writer, _progress_bar(self.part) as bar:
            version = self._version()
            if version is None:
                writer.truncate(0)
            elif writer.tell():
                headers.update({"Range": f"bytes={writer.tell()}-", "If-Range": version})
            pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=_CHUNK,
                timeout=self.config.timeout,
                headers=headers,
                hooks={"response": functools.partial(self._begin, writer)},
            )(url, writer, None)
            if self._expected_size not in (None, writer.tell()):
                raise requests.ConnectionError("cut short")

    def _begin(self, writer, response, **_):
        """Readies the part for the body of a response, before any of it is read."""
        begins_at = 0
        if response.status_code == 206:
            content_range = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            begins_at = int(content_range.group(1)) if content_range else None
        if response.status_code not in (200, 206, 416):
            return
        if begins_at != writer.tell() or response.status_code == 416:
            writer.seek(0)
            writer.truncate()
            self._forget_version()
            if begins_at != 0:
                raise requests.ConnectionError("the server sent another part than asked for")
        if response.status_code == 200:
            self._keep_version(response.headers)
        if "Content-Length" in response.headers and "Content-Encoding" not in response.headers:
            self._expected_size = begins_at + int(response.headers["Content-Length"])

    def _version(self):
        if not os.path.exists(self.validator_file):
            return None
        with open(self.validator_file, encoding="latin-1") as reader:
            return reader.read()

    def _keep_version(self, headers):
        version = headers.get("ETag", "")
        if not version.startswith('"'):  # a weak one does not promise the same bytes
            version = headers.get("Last-Modified")
        if version:
            files.write_text(self.validator_file, version)

    def _forget_version(self):
        _remove([self.validator_file])

    def _reason(self, error):
        """Returns in a few words why a transfer failed."""
        if isinstance(error, requests.HTTPError):
            return f"the server answers {error.response.status_code} {error.response.reason}"
        if self._expected_size is not None:
            return f"broke off after {os.path.getsize(self.part)} of {self._expected_size} bytes"
        if isinstance(error, requests.Timeout):
            return f"no answer within --timeout={self.config.timeout:g} seconds"
        text = " ".join(str(error).split())
        cause = re.search(r"\[Errno -?\d+\] [^'\")]+|CERTIFICATE_VERIFY_FAILED", text)
        return f"no connection ({cause.group() if cause else text})"


def _is_final(error):
    """Whether a failure will be the same the next time."""
    if isinstance(error, requests.HTTPError):
        status = error.response.status_code
        return status < 500 and status not in _PASSING
    # An address that is none is a ValueError too.
    return isinstance(error, (ValueError, requests.TooManyRedirects))


def _progress_bar(part):
    """Returns a bar for pooch to fill; it shows on a terminal only."""
    name = os.path.basename(part)[: -len(".part")]
    # pooch puts the real total in; without any, the bar would count as no bar.
    return tqdm.tqdm(desc=name, total=1, unit="B", unit_scale=True, disable=None, leave=False)
