"""Keeps TensorFlow's chatter off the user's screen; to be called before TensorFlow is imported."""

import os
import warnings


def quiet_tensorflow():
    """Silences TensorFlow's start-up messages, unless TF_CPP_MIN_LOG_LEVEL says otherwise."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # About TensorFlow's own code: NumPy's of 1.15's, and those of 2.15's about graphs.
    for category in (FutureWarning, UserWarning):
        warnings.filterwarnings("ignore", category=category, module="tensor(flow|board)")
