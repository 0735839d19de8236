"""Runs jobs, as many at a time as there are slots; one slot is one run after the other.

| | one slot | several |
|---|---|---|
| output of a run | goes to this process's | goes to run.log in the run's folder |
| Ctrl-C | the terminal signals the run, too | is passed on to every run |
| after a failure | nothing more starts, unless told to | the others go on |

A run gets SIGTERM, and so saves a checkpoint, when this process ends in whatever way (on Linux).
"""

import contextlib
import ctypes
import logging
import os
import pathlib
import signal
import subprocess
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

from albert.common.console import duration
from albert.common.errors import UsageError
from albert.engine import results
from albert.jobs.devices import Slot
from albert.jobs.job import Job

LOG = "run.log"

_POLL_SECONDS = 0.05
_LINES_OF_LOG = 10  # shown of a run that has failed
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl

_log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How jobs have ended.

    Attributes:
        failed: {name: how, such as "status 1"}.
        not_started: names of those that wait for one that has failed.
        stopped: names of those that a signal has stopped, in the order of their start.
        received: the signal, or None.
    """

    failed: Dict[str, str]
    not_started: List[str]
    stopped: List[str]
    received: Optional[int]

    def check(self, prog: str, advice: str) -> None:
        """Raises what tells the user that not all jobs have ended well.

        Args:
            prog: the command's name.
            advice: what to do about a failure, besides correcting its cause.

        Raises:
            SystemExit: a signal stopped runs.
            UsageError: a run failed.
        """
        if self.received is not None:
            where = f"in {' and '.join(self.stopped)}" if self.stopped else "between two runs"
            _log.info("%s: stopped %s; the same command resumes from there.", prog, where)
            raise SystemExit(128 + self.received)
        if self.failed:
            said = [f"{name} failed ({how})" for name, how in self.failed.items()]
            said += [
                f"{name} was not started: it needs one that failed" for name in self.not_started
            ]
            raise UsageError(
                f"{'; '.join(said)}, see above. Finished runs are kept: correct the cause and "
                f"repeat the command, or {advice}."
            )


class _Child(NamedTuple):
    """A job at work."""

    job: Job
    slot: Slot
    process: "subprocess.Popen[bytes]"
    started: float


def run(jobs: Sequence[Job], slots: Sequence[Slot], goes_on: bool = False) -> Outcome:
    """Runs the jobs that have not finished, and returns how they ended.

    Args:
        jobs: in the order in which one slot runs them; see `in_order`.
        goes_on: whether a failure on the only slot lets the later jobs start.
    """
    return _Crew(jobs, slots, goes_on or len(slots) > 1).run()


def in_order(jobs: Sequence[Job], num_slots: int) -> List[Job]:
    """Returns jobs as they start: on several slots, those that others wait for come first."""
    awaited = {name for job in jobs for name in job.waits_for} if num_slots > 1 else set()
    return sorted(jobs, key=lambda job: job.name not in awaited)


class _Crew:
    """The jobs of one call of `run`, and where each of them is."""

    def __init__(self, jobs: Sequence[Job], slots: Sequence[Slot], goes_on: bool) -> None:
        self._numbers = {job.name: f"{number} of {len(jobs)}" for number, job in enumerate(jobs, 1)}
        self._goes_on = goes_on
        self._is_alone = len(slots) == 1
        self._free = list(slots)
        self._waiting = in_order(jobs, len(slots))
        self._at_work: List[_Child] = []
        self._num_done = 0
        self._has_told = self._is_alone  # of a signal; a single run does so by itself
        self._outcome = Outcome({}, [], [], None)

    def run(self) -> Outcome:
        with self._passing_on_signals(), self._leaving_none_behind():
            while self._at_work or (self._waiting and self._may_start()):
                self._start_what_can()
                for child in list(self._at_work):
                    if child.process.poll() is not None:
                        self._note_end(child)
                if self._at_work:
                    time.sleep(_POLL_SECONDS)
                    self._tell_of_signal()
        return self._outcome

    def _may_start(self):
        has_failed = self._outcome.failed and not self._goes_on
        return self._outcome.received is None and not has_failed

    def _start_what_can(self):
        for job in list(self._waiting):
            if not self._may_start() or not self._free:
                return
            waits_for = set(job.waits_for)
            if waits_for & {*self._outcome.failed, *self._outcome.not_started}:
                self._waiting.remove(job)
                self._outcome.not_started.append(job.name)
            elif not waits_for & {
                *(other.name for other in self._waiting),
                *(child.job.name for child in self._at_work),
            }:
                self._waiting.remove(job)
                self._start(job)

    def _start(self, job):
        heading = f"==> {job.name} ({self._numbers[job.name]})"
        if job.has_finished():
            self._num_done += 1
            # So that a short trial shows.
            steps = results.read(job.output_dir).settings.get("train_steps")
            trained = "" if steps is None else f" with {steps} steps"
            _log.info("%s: finished before%s.", heading, trained)
            return
        slot = self._free.pop(0)
        log = os.path.join(job.output_dir, LOG)
        _log.info("%s%s", heading, "" if self._is_alone else f" on {slot.where}, log in {log}")
        with contextlib.ExitStack() as stack:
            output: Dict[str, Any] = {}
            if not self._is_alone:
                os.makedirs(job.output_dir, exist_ok=True)
                output = {"stdout": stack.enter_context(open(log, "ab"))}
                output["stderr"] = subprocess.STDOUT
            process = subprocess.Popen(
                [*job.command(), *slot.arguments],
                stdin=subprocess.DEVNULL,
                env=dict(os.environ, **slot.environment),
                preexec_fn=_preparation(has_own_group=not self._is_alone),
                **output,
            )
        self._at_work.append(_Child(job, slot, process, time.monotonic()))
        if self._outcome.received is not None:  # it came before the process was there
            self._pass_on(self._outcome.received)

    def _note_end(self, child):
        self._at_work.remove(child)
        self._free.append(child.slot)
        job, status = child.job, child.process.returncode
        own_signal = _signal_of(status) if self._is_alone else None  # sent to the run alone
        if status == 0:
            self._num_done += 1
            if job.marker:
                pathlib.Path(job.marker).touch()
            if not self._is_alone:
                _log.info("==> %s", self._summary(child))
        if self._outcome.received is not None or own_signal:
            received = self._outcome.received or own_signal
            self._outcome = self._outcome._replace(received=received)
            if status:
                self._outcome.stopped.append(job.name)
        elif status:
            self._outcome.failed[job.name] = _how(status)
            if not self._is_alone:
                _log.info("==> %s failed (%s); its log ends with", job.name, _how(status))
                _log.info("%s", _last_lines(os.path.join(job.output_dir, LOG)))

    def _summary(self, child):
        took = duration(time.monotonic() - child.started)
        record = results.read(child.job.output_dir)
        score = ""
        if record.best:
            score = f", {record.best_metric} {record.best[1][record.best_metric]:.4f}"
        done = f"{self._num_done} of {len(self._numbers)} done"
        return f"{child.job.name} finished in {took}{score}; {done}."

    @contextlib.contextmanager
    def _passing_on_signals(self) -> Iterator[None]:
        def on_signal(number: int, frame: Any) -> None:
            del frame
            if self._outcome.received is None:
                self._outcome = self._outcome._replace(received=number)
            self._pass_on(number)

        noticed = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        previous = {number: signal.signal(number, on_signal) for number in noticed}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def _leaving_none_behind(self) -> Iterator[None]:
        """Ends the runs at work if the block fails, for instance at a damaged record."""
        try:
            yield
        finally:
            for child in self._at_work:
                child.process.terminate()
            for child in self._at_work:
                child.process.wait()

    def _tell_of_signal(self):
        if self._outcome.received is not None and not self._has_told:
            self._has_told = True
            _log.info("Stopping all runs; a second signal stops them at once.")

    def _pass_on(self, number):
        """Sends a signal to the runs, unless the terminal has done so."""
        if self._is_alone and number == signal.SIGINT:
            return
        for child in self._at_work:
            child.process.send_signal(number)


def _preparation(has_own_group: bool) -> Callable[[], None]:
    """Returns what a child does before it becomes the run.

    Args:
        has_own_group: whether to leave the process group, which a terminal signals at Ctrl-C.
    """
    prctl = None
    with contextlib.suppress(AttributeError, OSError):  # it is Linux's alone
        prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        if has_own_group:
            os.setpgrp()
        if prctl:
            prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)

    return prepare


def _how(status: int) -> str:
    return f"status {status}" if status > 0 else signal.Signals(-status).name


def _signal_of(status: int) -> Optional[int]:
    """Returns the signal of an exit status that tells that one has stopped a run, or None."""
    number = status - 128 if status > 0 else -status
    return number if number in _SIGNALS else None


def _last_lines(path: str) -> str:
    with open(path, "rb") as reader:
        lines = reader.read().decode(errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-_LINES_OF_LOG:])
