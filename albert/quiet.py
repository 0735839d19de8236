"""Keeps TensorFlow's chatter off the user's screen; to be called before TensorFlow is imported."""

import os
import re
import sys
import warnings


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
