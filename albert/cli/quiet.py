"""Keeps the start of a program quiet; to be called before TensorFlow is imported."""

import os
import re
import signal
import sys
import warnings


def quiet_start():
    """Silences what a runner's start may say: TensorFlow's messages, and a traceback of Ctrl-C.

    TensorFlow takes seconds to import, and nothing is begun meanwhile: Ctrl-C ends in one line and
    status 130, until `has_started` is called. Where SIGINT is ignored, as under nohup, it stays so.
    """
    quiet_tensorflow()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def has_started():
    """Lets Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number, frame):
    del number, frame
    line = f"{os.path.basename(sys.argv[0])}: interrupted before anything was begun.\n"
    os.write(2, line.encode())  # print might be what was interrupted
    os._exit(130)  # an exception may be lost in imports that C code does


def quiet_tensorflow():
    """Silences TensorFlow's start-up messages, unless they are asked for.

    They come before any flag is read, so --verbosity is looked for here already; a value of
    TF_CPP_MIN_LOG_LEVEL stands.
    """
    if _verbosity(sys.argv[1:]) > 0:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # About TensorFlow's own code: NumPy's of 1.15's, and those of 2.15's about graphs.
    for category in (FutureWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module="tensor(flow|board)")


def _verbosity(arguments):
    """Returns the last --verbosity (or -v) of a command line, as absl takes it; 0 without one."""
    found = re.findall(r"(?m)^--?(?:verbosity|v)[=\n](-?\d+)$", "\n".join(arguments))
    return int(found[-1]) if found else 0
