"""Keeps TensorFlow's chatter off the user's screen; to be called before TensorFlow is imported."""

import os
import warnings


def quiet_tensorflow():
    """Silences TensorFlow's start-up messages, unless TF_CPP_MIN_LOG_LEVEL says otherwise."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # NumPy's, about code inside TensorFlow 1.15.
    warnings.filterwarnings("ignore", category=FutureWarning, module="tensor(flow|board)")
