"""Keeps the start of a program quiet; to be called before TensorFlow is imported."""

import contextlib
import logging
import os
import re
import signal
import sys
import warnings
from typing import Any, Dict, Iterator, List

from albert.common import console

_DEFAULTS: Dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
_handlers = dict(_DEFAULTS)


def quiet_start() -> None:
    """Silences TensorFlow's messages at start-up, and the traceback that Ctrl-C would print.

    Importing TensorFlow takes seconds, in which nothing has been started yet: until `has_started`
    is called, Ctrl-C and SIGTERM end the program with one line and status 130 or 143. A signal
    that is ignored, as SIGINT under nohup, stays ignored.
    """
    ready_tensorflow()
    for number, handler in _DEFAULTS.items():
        if signal.getsignal(number) is handler:
            signal.signal(number, _end)


def has_started() -> None:
    """Ends what `quiet_start` does with signals: they have the handler of `handling_signals`."""
    for number, handler in _handlers.items():
        if signal.getsignal(number) is _end:
            signal.signal(number, handler)


@contextlib.contextmanager
def handling_signals(handler: Any) -> Iterator[None]:
    """Lets a handler take both signals in a block, once the program has started.

    A signal that is ignored stays ignored.
    """
    _handlers.update(dict.fromkeys(_DEFAULTS, handler))
    for number, default in _DEFAULTS.items():
        if signal.getsignal(number) is default:
            signal.signal(number, handler)
    try:
        yield
    finally:
        _handlers.update(_DEFAULTS)
        for number, default in _DEFAULTS.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, default)


def _end(number: int, frame: Any) -> None:
    del frame
    how = "interrupted" if number == signal.SIGINT else "terminated"
    line = f"{os.path.basename(sys.argv[0])}: {how} before anything was started.\n"
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(2, line.encode())  # not print, which the signal may have interrupted
    os._exit(128 + number)  # an exception may get lost in imports that C code does


def show_log(verbosity: int) -> None:
    """Shows our log: warnings below 0, progress too at 0, TensorFlow's messages too above."""
    console.show_log(logging.WARNING if verbosity < 0 else logging.INFO)
    # Set before TensorFlow is imported, the level stays. TensorFlow also raises its errors as
    # exceptions, which end the run in words of ours.
    tensorflow = logging.getLogger("tensorflow")
    tensorflow.setLevel(logging.INFO if verbosity > 0 else logging.FATAL)
    if tensorflow.handlers:  # the root logger has absl's, which would show each line again
        tensorflow.propagate = False


def ready_tensorflow() -> None:
    """Lets TensorFlow use oneDNN, and silences its messages at start-up unless they are wanted.

    It must be called before TensorFlow is imported. TensorFlow prints before any flag is parsed, so
    this function looks for --verbosity itself. Values that the user has given the environment
    variables are kept.
    """
    # By default TensorFlow 2.15 uses it only with AVX512; with AVX2 a training step of base took
    # 0.8 of the time with it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if _verbosity(sys.argv[1:]) > 0:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow's own code causes them: 1.15 NumPy's, 2.15 those about graphs.
    for category in (FutureWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module="tensor(flow|board)")


def _verbosity(arguments: List[str]) -> int:
    """Returns the last --verbosity (or -v) of a command line, as absl reads it; 0 without one."""
    found = re.findall(r"(?m)^--?(?:verbosity|v)[=\n](-?\d+)$", "\n".join(arguments))
    return int(found[-1]) if found else 0
