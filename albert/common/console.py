"""What a program says on stderr: the lines of its log, above a progress bar if there is one."""

import logging
import os
import sys
import textwrap

import tqdm

_TIME = "%H:%M:%S"
_INDENT = " " * len("00:00:00 ")
_NARROWEST = 40  # columns; a narrower terminal breaks lines itself


class Lines(logging.StreamHandler):
    """Writes a record as a line, wrapped where stderr is a terminal. It never ends the program."""

    def emit(self, record):
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
            sys.stderr.flush()  # Python 3.7 would keep what goes to a file or a pipe
        except BrokenPipeError:  # as where Ctrl-C has ended `tee` too
            sys.stderr = open(os.devnull, "w")
        except (OSError, RuntimeError):
            pass  # a terminal that has gone, or a signal amid a line: no reason to end training


def columns():
    """Returns the width of the terminal that stderr is; 0 where it is none, or does not tell."""
    return os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0


def show_log(level):
    """Shows what the modules of this package log, with the time, from that level of logging on."""
    logger = logging.getLogger("albert")
    handler = Lines()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", _TIME))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def in_words(metrics):
    """Returns {name: value} as one line, such as "accuracy 0.9100, loss 0.2512"."""
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
