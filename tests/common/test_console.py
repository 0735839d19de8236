"""Tests of albert.common.console: no failure to write a log line ends a run."""

import logging
import os
import signal
import sys
import threading

import pytest

from albert.common import console


@pytest.fixture
def log():
    """Returns a logger that writes the way a runner does."""
    logger = logging.Logger("tested", logging.INFO)
    logger.addHandler(console.LineHandler())
    return logger


def test_a_line_is_written_to_the_file_at_once(log, tmp_path, monkeypatch):
    path = tmp_path / "log"
    with open(str(path), "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        log.info("Step 1.")
        assert path.read_text() == "Step 1.\n"


def test_a_line_into_a_closed_pipe_is_dropped_without_an_error(log, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stderr", os.fdopen(writer, "w", 1))
    log.info("Step 1.")
    log.info("Step 2.")
    sys.stderr.flush()  # as at the end of the process, whose exit status would become 120


def test_a_signal_handler_may_log_while_a_line_is_being_written(log, monkeypatch):
    reader, writer = os.pipe()
    stderr = os.fdopen(writer, "w", 1)
    monkeypatch.setattr(sys, "stderr", stderr)
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    previous = signal.signal(signal.SIGALRM, lambda *_: log.warning("Stopping."))
    rest = threading.Timer(0.4, lambda: os.read(reader, 1 << 20))
    rest.start()
    signal.setitimer(signal.ITIMER_REAL, 0.1)  # while the next line waits for room in the pipe
    try:
        log.info("Step 1.")
    finally:
        signal.signal(signal.SIGALRM, previous)
        rest.join()
        os.close(reader)


@pytest.mark.parametrize("seconds, text", [(0.4, "00:00"), (75.0, "01:15"), (9000.0, "2:30:00")])
def test_duration(seconds, text):
    assert console.duration(seconds) == text
