"""Fetches files over HTTP, completely or not at all, and resumes transfers that broke off."""

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
from typing import IO, Any, Callable, Iterable, Iterator, List, Mapping, Optional, Sequence

import pooch
import requests
import tqdm

from albert.common import files
from albert.common.errors import UsageError

_log = logging.getLogger(__name__)

# HTTP statuses, besides the server's own errors (5xx), that a retry may not get again.
_TEMPORARY_STATUSES = (408, 416, 429)

# Bytes read at once. A chunk that does not arrive completely is lost.
_CHUNK_SIZE = 1 << 13


@dataclasses.dataclass(frozen=True)
class DownloadConfig:
    """Where files come from, and when a transfer is given up.

    Attributes:
        base_url: a mirror that serves all files by their base names; None for the official URLs.
        timeout: seconds to wait for a connection, and for the next bytes.
        retries: how often to try again without receiving anything new.
        wait: seconds before the first retry, doubled for each further one.
    """

    base_url: Optional[str] = None
    timeout: float = 30
    retries: int = 5
    wait: float = 1

    def __post_init__(self) -> None:
        if self.base_url and not re.match(r"https?://[^/]", self.base_url):
            message = "<base_url> must begin with http:// or https://."
            raise UsageError(message, base_url=self.base_url)
        if self.timeout <= 0:
            raise UsageError("<timeout> must be above 0.", timeout=f"{self.timeout:g}")
        for name in ("retries", "wait"):
            value = getattr(self, name)
            if value < 0:
                raise UsageError(f"<{name}> must be at least 0.", **{name: f"{value:g}"})

    def source_of(self, url: str) -> str:
        """Returns the URL to fetch the file of an official URL from."""
        if not self.base_url:
            return url
        return f"{self.base_url.rstrip('/')}/{posixpath.basename(url)}"


@contextlib.contextmanager
def locked_work_folder(folder: str) -> Iterator[str]:
    """Yields a folder inside `folder` for unfinished files, to one process at a time."""
    path = os.path.join(folder, ".downloads")
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("Waiting for another process that is downloading into %s.", folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


def fetch(url: str, folder: str, config: DownloadConfig) -> str:
    """Fetches the file of an official URL into a folder and returns its path.

    If the transfer breaks off, what has arrived is kept under another name, and the next call
    resumes it, provided that the server still has the same version of the file. A file that is
    there already is not fetched again.

    Raises:
        UsageError: the transfer fails.
    """
    url = config.source_of(url)
    path = os.path.join(folder, posixpath.basename(url))
    pooch.get_logger().setLevel(logging.WARNING)
    _log.info("Fetching %s", url)
    return pooch.retrieve(
        url,
        None,
        fname=os.path.basename(path),
        path=folder,
        downloader=_ResumingDownloader(path + ".part", config),
    )


def fetch_and_use(
    urls: Sequence[str], folder: str, config: DownloadConfig, use: Callable[[List[str]], None]
) -> None:
    """Fetches the files of official URLs, calls `use(paths)`, and removes them.

    They are also removed if `use` raises UsageError, since a download that was refused must not be
    used again: it may be damaged. They are then fetched again, once. If anything else ends `use`,
    such as Ctrl-C, the next call can use them.

    Raises:
        UsageError: a transfer fails, or the files are refused twice.
    """
    for is_last in (not urls, True):
        paths = [fetch(url, folder, config) for url in urls]
        try:
            with removed_after_use(*paths):
                use(paths)
            return
        except UsageError as error:
            if is_last:
                raise
            _log.warning("%s Trying again.", error)


@contextlib.contextmanager
def removed_after_use(*paths: str) -> Iterator[None]:
    """Removes files and folders at the end of a block, also if it raises UsageError."""
    try:
        yield
    except UsageError:
        _remove(paths)
        raise
    _remove(paths)


def _remove(paths: Iterable[str]) -> None:
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)


class _ResumingDownloader:
    """A downloader for pooch that retries its HTTPDownloader, resuming where that one stopped.

    Attributes:
        part: the file that receives the transfer.
        version_file: holds the ETag or date of the version that `part` is the beginning of; does
            not exist if the server sends neither.
    """

    def __init__(self, part: str, config: DownloadConfig) -> None:
        self.part = part
        self.version_file = part + ".version"
        self.config = config
        self._expected_size: Optional[int] = None

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        largest, failures = 0, 0  # failures: since anything new arrived
        while True:
            try:
                self._transfer(url)
                break
            except requests.RequestException as error:
                failure = f"{url}: {self._reason(error)}"
                if _is_permanent(error):
                    raise self._error(f"{failure}.") from error
            size = os.path.getsize(self.part)
            failures = 1 if size > largest else failures + 1
            largest = max(size, largest)
            if failures > self.config.retries:
                raise self._error(f"{failure}, also after <retries>.")
            seconds = self.config.wait * 2 ** (failures - 1)
            reason = self._error(failure).text(lambda _: "")
            _log.warning("%s; trying again in %g s.", reason, seconds)
            time.sleep(seconds)
        self._forget_version()
        os.replace(self.part, output_file)

    def _transfer(self, url: str) -> None:
        """Appends what is missing to `part`; raises RequestException if the transfer breaks off."""
        self._expected_size = None
        # A range counts bytes as they are sent, so they must not be compressed.
        headers = {"Accept-Encoding": "identity"}
        with open(self.part, "ab") as writer, _progress_bar(self.part) as bar:
            version = self._version()
            if version is None:
                writer.truncate(0)
            elif writer.tell():
                headers.update({"Range": f"bytes={writer.tell()}-", "If-Range": version})
            pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=_CHUNK_SIZE,
                timeout=self.config.timeout,
                headers=headers,
                hooks={"response": functools.partial(self._prepare_part, writer)},
            )(url, writer, None)
            if self._expected_size not in (None, writer.tell()):
                raise requests.ConnectionError("cut short")

    def _prepare_part(self, writer: IO[bytes], response: requests.Response, **_: Any) -> None:
        """Prepares `part` for the body of a response, before any of it is read."""
        start: Optional[int] = 0
        if response.status_code == 206:
            content_range = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            start = int(content_range.group(1)) if content_range else None
        if response.status_code not in (200, 206, 416):
            return
        if start != writer.tell() or response.status_code == 416:
            writer.seek(0)
            writer.truncate()
            self._forget_version()
            if start != 0:
                raise requests.ConnectionError("the server sent another range than requested")
        if response.status_code == 200:
            self._keep_version(response.headers)
        if "Content-Length" in response.headers and "Content-Encoding" not in response.headers:
            self._expected_size = writer.tell() + int(response.headers["Content-Length"])

    def _version(self) -> Optional[str]:
        if not os.path.exists(self.version_file):
            return None
        with open(self.version_file, encoding="latin-1") as reader:
            return reader.read()

    def _keep_version(self, headers: Mapping[str, str]) -> None:
        version = headers.get("ETag", "")
        if not version.startswith('"'):  # a weak one does not promise the same bytes
            version = headers.get("Last-Modified", "")
        if version:
            files.write_text(self.version_file, version)

    def _forget_version(self) -> None:
        _remove([self.version_file])

    def _error(self, message: str) -> UsageError:
        timeout = f"{self.config.timeout:g}"
        return UsageError(message, retries=self.config.retries, timeout=timeout)

    def _reason(self, error: requests.RequestException) -> str:
        """Returns why a transfer failed, as the end of a sentence."""
        if isinstance(error, requests.HTTPError) and error.response is not None:
            return f"the server answers {error.response.status_code} {error.response.reason}"
        if self._expected_size is not None:
            return f"broke off after {os.path.getsize(self.part)} of {self._expected_size} bytes"
        if isinstance(error, requests.Timeout):
            return "no answer within <timeout> seconds"
        text = " ".join(str(error).split())
        cause = re.search(r"\[Errno -?\d+\] [^'\")]+|CERTIFICATE_VERIFY_FAILED", text)
        return f"no connection ({cause.group() if cause else text})"


def _is_permanent(error: requests.RequestException) -> bool:
    """Whether a failure would occur again the next time."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        return status < 500 and status not in _TEMPORARY_STATUSES
    # requests raises a ValueError for a URL that is not valid.
    return isinstance(error, (ValueError, requests.TooManyRedirects))


def _progress_bar(part: str) -> tqdm.tqdm:
    """Returns a progress bar for pooch to advance; it is shown on a terminal only."""
    name = os.path.basename(part)[: -len(".part")]
    # pooch sets the real total; without one the bar would be false, and pooch would not use it.
    return tqdm.tqdm(desc=name, total=1, unit="B", unit_scale=True, disable=None, leave=False)
