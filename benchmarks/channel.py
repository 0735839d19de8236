"""The worker's end of the connection to the program that measures; see benchmarks.workers.

Standard library only, because the peer's environment has nothing of ours.
"""

import contextlib
import json
import os
import sys
import time


class Channel:
    """Reads requests from stdin and answers on stdout, one JSON object a line.

    What anything else prints to stdout goes to stderr, which is the worker's log.
    """

    def __init__(self):
        self._replies = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def next_request(self):
        """Returns the next request, a dict; ends the process when there are no more."""
        line = sys.stdin.readline()
        if not line:
            os._exit(0)  # at once: an orderly end would save a checkpoint
        return json.loads(line)

    def reply(self, **values):
        """Answers a request."""
        self._replies.write(json.dumps(values) + "\n")
        self._replies.flush()

    def skip(self, reason):
        """Says why the worker cannot do what is asked, and ends it."""
        self.reply(skipped=reason)
        os._exit(0)


def read_pool(path):
    """Returns the examples in a pool, {name: value or list of values}."""
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def fastest(function, num_calls=5):
    """Returns the seconds of the fastest of some calls."""
    seconds = []
    for _ in range(num_calls):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


class ResidentMemory:
    """The resident memory of this process, in bytes, from when this object is made."""

    def __init__(self):
        with contextlib.suppress(
            OSError
        ):  # without permission, the peak is the one since the start
            with open("/proc/self/clear_refs", "w") as resets:
                resets.write("5")  # sets the peak to the present size
        self._before = _status("VmRSS")

    def peak_growth(self):
        """Returns by how much the peak exceeds the size at the start."""
        return _status("VmHWM") - self._before


def _status(key):
    with open("/proc/self/status") as lines:
        values = dict(line.split(":", 1) for line in lines)
    return int(values[key].split()[0]) * 1024
