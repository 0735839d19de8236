"""Shares work among processes and returns the results in order."""

import collections
import concurrent.futures
import itertools
import multiprocessing
import os
import signal
import threading
import time
from typing import Any, Callable, Iterator, List, Sequence

_CHUNK_SIZE = 16
# With fewer items, this process is done before the others would have started.
_MIN_ITEMS = 8 * _CHUNK_SIZE
_SECONDS_BETWEEN_LOOKS = 1.0


# What a worker process computes, and of what; set when it starts.
_function: Callable[[Any], Any]
_items: Sequence[Any]


def ordered_map(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """Yields function(item) for each item, in order, computed by one process per core.

    The processes are forked, so only results are copied between them. They run a bounded number
    of chunks ahead of the caller, so few results are in memory at any time. An exception in the
    function is raised here. However this process ends, they end within seconds. With one core, few
    items or on a platform that does not fork, this process does everything itself.

    Args:
        function: must not use TensorFlow, whose threads do not survive a fork.
    """
    num_processes = num_cores()
    forks = multiprocessing.get_start_method() == "fork"
    if num_processes < 2 or len(items) < _MIN_ITEMS or not forks:
        yield from map(function, items)
        return
    starts = iter(range(0, len(items), _CHUNK_SIZE))
    with concurrent.futures.ProcessPoolExecutor(
        num_processes, initializer=_start_worker, initargs=(function, items, os.getpid())
    ) as executor:
        pending = collections.deque(
            executor.submit(_chunk_results, start)
            for start in itertools.islice(starts, 2 * num_processes)
        )
        while pending:
            results = pending.popleft().result()
            for start in itertools.islice(starts, 1):
                pending.append(executor.submit(_chunk_results, start))
            yield from results


def num_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_worker(function: Callable[[Any], Any], items: Sequence[Any], parent: int) -> None:
    """Sets what a worker process works on, and when it ends.

    Ctrl-C is left to the process that started it; SIGTERM ends it without a handler of that one.

    Args:
        parent: id of the process that started it.
    """
    global _function, _items
    _function, _items = function, items
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    """Ends this process once its parent is gone.

    It would wait for work for ever: the workers hold both ends of the pipe that it comes from.
    """
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


def _chunk_results(start: int) -> List[Any]:
    return [_function(item) for item in _items[start : start + _CHUNK_SIZE]]
