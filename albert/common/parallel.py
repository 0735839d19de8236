"""Work shared among processes, its results streamed in order."""

import collections
import concurrent.futures
import itertools
import multiprocessing
import os
import signal

_ITEMS_AT_ONCE = 16
# Fewer items are done before the processes would have started.
_LEAST_ITEMS = 8 * _ITEMS_AT_ONCE


def ordered_map(function, items):
    """Yields function(item) for each item, in their order, computed by one process a core.

    The processes are forked, so function and items are not copied to them; results are. Few
    results wait at a time, whatever the number of items. An exception of the function is raised
    here. One core, few items or a platform that does not fork: all is done in this process.

    Args:
        function: must not use TensorFlow, whose threads a fork leaves behind.
        items: a list.
    """
    num_processes = _num_cores()
    forks = multiprocessing.get_start_method() == "fork"
    if num_processes < 2 or len(items) < _LEAST_ITEMS or not forks:
        yield from map(function, items)
        return
    starts = iter(range(0, len(items), _ITEMS_AT_ONCE))
    with concurrent.futures.ProcessPoolExecutor(
        num_processes, initializer=_prepare, initargs=(function, items)
    ) as executor:
        pending = collections.deque(
            executor.submit(_results, start)
            for start in itertools.islice(starts, 2 * num_processes)
        )
        while pending:
            results = pending.popleft().result()
            for start in itertools.islice(starts, 1):
                pending.append(executor.submit(_results, start))
            yield from results


def _num_cores():
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _prepare(function, items):
    """Readies a process: what it works on, and that Ctrl-C is left to the one that started it."""
    global _function, _items
    _function, _items = function, items
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _results(start):
    return [_function(item) for item in _items[start : start + _ITEMS_AT_ONCE]]
