"""Log lines on stderr, written above a progress bar if there is one."""

import logging
import os
import sys
import textwrap
from typing import Mapping

_TIME = "%H:%M:%S"
_INDENT = " " * len("00:00:00 ")
_NARROWEST = 40  # columns; a narrower terminal breaks lines itself


class LineHandler(logging.StreamHandler):
    """Writes each record as one line, wrapped on a terminal; ignores failures to write."""

    def emit(self, record: logging.LogRecord) -> None:
        import tqdm  # not at the top, since errors in flags, which come before any log, need none

        text = self.format(record)
        width = columns()
        if width:
            text = textwrap.fill(
                text,
                width=max(width - 1, _NARROWEST),
                subsequent_indent=_INDENT,
                break_long_words=False,  # paths stay whole
                break_on_hyphens=False,
            )
        try:
            tqdm.tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()  # Python 3.7 buffers stderr where it is a file or a pipe
        except BrokenPipeError:  # for example when Ctrl-C has also ended the `tee` we write to
            sys.stderr = open(os.devnull, "w")
        except (OSError, RuntimeError):
            pass  # a closed terminal, or a signal in the middle of a line, must not end training


def columns() -> int:
    """Returns the width of the terminal on stderr; 0 if stderr is no terminal or has no width."""
    return os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0


def show_log(level: int) -> None:
    """Shows the log of this package from a level such as logging.INFO on, with the time."""
    logger = logging.getLogger("albert")
    handler = LineHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", _TIME))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Returns metrics for a log line, such as "accuracy 0.9100, loss 0.2512"."""
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


def duration(seconds: float) -> str:
    """Returns a time as mm:ss or h:mm:ss."""
    import tqdm

    return tqdm.tqdm.format_interval(seconds)
