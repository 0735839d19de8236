"""Shares work among processes and returns the results in order."""

import collections
import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from typing import Any, Callable, Generator, Iterable, Iterator, List, Sequence

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
    starts = range(0, len(items), _CHUNK_SIZE)
    with _pool(num_processes, function, items) as executor:
        for results in _in_order(executor, _chunk_results, starts, 2 * num_processes):
            yield from results


def ordered_stream(
    function: Callable[[Any], Any], items: Iterable[Any], num_processes: int
) -> Generator[Any, None, None]:
    """Yields function(item) for each item, in order, computed by so many processes.

    It differs from `ordered_map` in what it is for: large items, each the work of seconds, which
    are copied to the processes. If this process fails or stops reading, as after Ctrl-C, it ends
    the others in the middle of their work.

    Args:
        function: as of `ordered_map`; its results must be smaller than 4096 bytes, which a process
            that is ended writes whole or not at all. Half of one would be waited for for ever.
        items: may be endless: this process takes only one more than it has processes for.
        num_processes: with 1, this process does everything itself.
    """
    if num_processes < 2 or multiprocessing.get_start_method() != "fork":
        yield from map(function, items)
        return
    with _pool(num_processes, function, ()) as executor, _ending_new_processes():
        yield from _in_order(executor, _result, items, num_processes + 1)


def _pool(
    num_processes: int, function: Callable[[Any], Any], items: Sequence[Any]
) -> concurrent.futures.Executor:
    return concurrent.futures.ProcessPoolExecutor(
        num_processes, initializer=_start_worker, initargs=(function, items, os.getpid())
    )


def _in_order(
    executor: concurrent.futures.Executor,
    call: Callable[[Any], Any],
    arguments: Iterable[Any],
    num_ahead: int,
) -> Iterator[Any]:
    """Yields call(argument) for each argument, of which it takes so many ahead."""
    left = iter(arguments)
    pending = collections.deque(
        executor.submit(call, argument) for argument in itertools.islice(left, num_ahead)
    )
    while pending:
        result = pending.popleft().result()
        for argument in itertools.islice(left, 1):
            pending.append(executor.submit(call, argument))
        yield result


@contextlib.contextmanager
def _ending_new_processes() -> Iterator[None]:
    """Ends the processes that a block has started if it fails, or is left early.

    An executor would first wait for all that they have been given, as after Ctrl-C.
    """
    others = multiprocessing.active_children()
    try:
        yield
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in others:
                process.kill()  # SIGTERM could meet one that still has the handler of this one
        raise


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


def _result(item: Any) -> Any:
    return _function(item)


def _chunk_results(start: int) -> List[Any]:
    return [_function(item) for item in _items[start : start + _CHUNK_SIZE]]
