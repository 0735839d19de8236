"""Feeds damaged files to readers of users' files, which must accept or refuse them in one line.

Anything but success or a UsageError of one line is a finding: another exception, a crash, a hang or
memory that runs away. What fuzz_readers.py feeds is there.
"""

import collections
import contextlib
import io
import itertools
import logging
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import time
import traceback
from typing import Any, Callable, Dict, NamedTuple

import fuzz_mutators

from albert.common.errors import UsageError

SECONDS = 10  # of computing, or 12 times as long of waiting, after which an input counts as a hang
MAX_BYTES = 1 << 30  # by which an input may raise the peak of memory
MAX_MESSAGE = 1100  # characters of an error
KEPT_PER_PLACE = 3


class Reader(NamedTuple):
    """Start files, {path in the folder: content}, and what reads them, given the folder.

    A slow one is fed in every `period`-th round only.
    """

    files: Dict[str, bytes]
    read: Callable[[pathlib.Path], Any]
    period: int = 1


def of_content(content, read, period=1):
    """Returns the Reader of what comes as bytes, not as a file: `read(bytes)` reads it."""

    def read_content(folder):
        path = folder / "content"
        return read(path.read_bytes() if path.is_file() else b"")

    return Reader({"content": content}, read_content, period)


class Hang(BaseException):
    """Not an Exception, so that no reader catches it."""


class Crash(Exception):
    """The reader ended its process, or failed in a process of its own."""


def in_child(read):
    """Returns `read` for a process of its own, whose crash is an exception here."""

    def read_in_child(folder):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                read(folder)
            except UsageError as error:
                os.write(writing, b"U" + str(error).encode())
            except BaseException:
                os.write(writing, b"C" + traceback.format_exc()[-4000:].encode())
            finally:
                os._exit(0)
        os.close(writing)
        try:
            with open(reading, "rb") as answer:
                text = answer.read().decode()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
        if text or status not in (0, signal.SIGKILL):
            raise UsageError(text[1:]) if text[:1] == "U" else Crash(text or f"signal {status}")

    return read_in_child


class Tally:
    """What became of the inputs of one reader."""

    def __init__(self):
        self.inputs = self.accepted = self.refused = self.findings = self.seconds = 0


def fuzz(readers, count, seed, work, kept):
    """Returns ({reader: Tally}, {(reader, place of the failure): path of its first input}).

    Args:
        readers: {name: Reader}.
        work: a folder for one input at a time.
        kept: the folder for inputs of findings.
    """
    tallies = {name: Tally() for name in readers}
    places = collections.Counter()
    findings = {}
    for index, name in enumerate(itertools.islice(_in_turn(readers), count)):
        reader, tally = readers[name], tallies[name]
        rng = random.Random(f"{seed}-{index}")
        path = rng.choice(sorted(reader.files))
        content = fuzz_mutators.mutated(reader.files[path], rng)
        _write_input(work, dict(reader.files, **{path: content}))
        started = time.monotonic()
        failure = _failure_of(reader, work, tally)
        tally.seconds += time.monotonic() - started
        tally.inputs += 1
        if failure:
            tally.findings += 1
            place = name, _place_of(failure)
            places[place] += 1
            if places[place] <= KEPT_PER_PLACE:
                target = kept / f"{name.replace(' ', '_')}-{seed}-{index}"
                findings.setdefault(place, target)
                _write_input(target, dict(reader.files, **{path: content}))
                (target / "traceback.txt").write_text(f"{path}\n{failure}", errors="replace")
    return tallies, findings


def _in_turn(readers):
    """Yields names of readers for ever."""
    for number in itertools.count():
        for position, (name, reader) in enumerate(readers.items()):
            if (number + position) % reader.period == 0:
                yield name


def _write_input(folder, files):
    shutil.rmtree(str(folder), ignore_errors=True)
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if content is fuzz_mutators.FOLDER:
            target.mkdir()
        elif content is not fuzz_mutators.MISSING:
            target.write_bytes(content)


def _failure_of(reader, folder, tally):
    """Feeds a reader; returns the traceback if it neither accepts nor refuses the input."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 12 * SECONDS)
    before = _peak_of_memory()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            reader.read(folder)
        if _peak_of_memory() > before + MAX_BYTES:
            return f"{_peak_of_memory() - before} bytes more than before\nMemory"
        tally.accepted += 1
        return None
    except UsageError as error:
        text = error.text("--{}".format)
        if "\n" in text or len(text) > MAX_MESSAGE:
            return f"{traceback.format_exc()}\nis not one line of {MAX_MESSAGE} characters"
        tally.refused += 1
        return None
    except (Exception, SystemExit, Hang):
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _peak_of_memory():
    """Returns the most bytes that this process or one of its children has had so far."""
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(1024 * resource.getrusage(user).ru_maxrss for user in users)


def _place_of(failure):
    """Returns the last line of a traceback that is ours, and its error: what to mend."""
    places = re.findall(r'albert/([\w/]+\.py)", line (\d+)', failure)
    error = failure.strip().splitlines()[-1].split(":")[0][:60]
    return " ".join([":".join(places[-1]) if places else "?", error])


def _interrupt(*_):
    raise Hang


@contextlib.contextmanager
def quiet_watchdog():
    """Silences the log, turns hangs into findings, and ends the process if one cannot be ended."""
    before = {each: signal.signal(each, _interrupt) for each in (signal.SIGALRM, signal.SIGPROF)}
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for each, handler in before.items():
            signal.signal(each, handler)
