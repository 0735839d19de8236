"""Keeps the start of a program quiet; to be called before TensorFlow is imported."""

import os
import re
import signal
import sys
import warnings
from typing import Any, List


def quiet_start() -> None:
    """Silences TensorFlow's messages at start-up, and the traceback that Ctrl-C would print.

    Importing TensorFlow takes seconds, in which nothing has been started yet: until `has_started`
    is called, Ctrl-C ends the program with one line and status 130. Where SIGINT is ignored, as
    under nohup, it stays ignored.
    """
    quiet_tensorflow()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def has_started() -> None:
    """Lets Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: Any) -> None:
    del number, frame
    line = f"{os.path.basename(sys.argv[0])}: interrupted before anything was started.\n"
    os.write(2, line.encode())  # Ctrl-C may have interrupted a print
    os._exit(130)  # an exception may get lost in imports that C code does


def quiet_tensorflow() -> None:
    """Silences TensorFlow's messages at start-up, unless the user asks for them.

    TensorFlow prints them before any flag is parsed, so this function looks for --verbosity itself.
    A value that the user has given TF_CPP_MIN_LOG_LEVEL is kept.
    """
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
