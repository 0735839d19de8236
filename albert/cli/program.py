"""How a command ends: one way from an exception to one line on stderr and an exit status."""

import argparse
import contextlib
import logging
import os
import signal
import sys
from typing import Any, Callable, List, NoReturn, Optional

from albert.cli import quiet
from albert.common.errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit status 1, as all mistakes of the user are."""

    def error(self, message: str) -> NoReturn:
        fail(self.prog, message)


def explain_os_error(error: Exception) -> Optional[str]:
    """Returns one line about a file or disk that fails the program; None for any other error."""
    if not isinstance(error, OSError) or (error.filename is None and error.errno is None):
        return None
    return f"{error.filename or 'the disk'}: {error.strerror}."


def run(
    prog: str,
    main: Callable[[], None],
    flag_of: Callable[[str], str] = "--{}".format,
    explain: Callable[[Exception], Optional[str]] = explain_os_error,
    interrupted: str = "interrupted.",
) -> None:
    """Calls `main()` and ends the process if that fails.

    | what `main` raises                 | line on stderr     | exit status        |
    |------------------------------------|--------------------|--------------------|
    | UsageError                         | its message        | 1                  |
    | what `explain` returns a line for  | that line          | 1                  |
    | KeyboardInterrupt                  | `interrupted`      | 130; SIGTERM: 143  |
    | SystemExit                         | none               | as it says         |
    | anything else, which is a bug      | its traceback      | 1                  |

    Args:
        prog: the command's name, which every line begins with.
        flag_of: the flag that sets a setting named by a UsageError.
    """
    if sys.stderr is None:  # closed, as by 2>&-
        sys.stderr = open(os.devnull, "w")
    received: List[int] = []

    def stop(number: int, frame: Any) -> None:
        del frame
        received.append(number)
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)  # `timeout` and schedulers repeat it
        raise KeyboardInterrupt

    try:
        with quiet.handling_signals(stop):
            main()
    except UsageError as error:
        fail(prog, error.text(flag_of))
    except KeyboardInterrupt:
        _end(prog, interrupted, (received or [signal.SIGINT])[0])
    except Exception as error:
        if received:  # a lock was just being taken or freed when `stop` raised, and that failed
            _end(prog, interrupted, received[0])
        line = explain(error)
        if line is None:
            raise
        fail(prog, line)


def run_resumable(prog: str, main: Callable[[], None]) -> None:
    """Runs a command that resumes; its log is on stderr, without the time."""
    logger = logging.getLogger("albert")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    run(prog, main, interrupted="interrupted; the same command resumes from there.")


def _end(prog: str, message: str, number: int) -> NoReturn:
    _print_line(prog, message)
    os._exit(128 + number)  # not sys.exit: threads of TensorFlow may still be at work


def fail(prog: str, message: str) -> NoReturn:
    """Ends the program with one line on stderr and exit status 1."""
    _print_line(prog, message)
    sys.exit(1)


def _print_line(prog: str, message: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it, as where Ctrl-C has ended `tee` too
        print(f"{prog}: {message}", file=sys.stderr, flush=True)
