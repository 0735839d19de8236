"""Session hooks of a training run: what the user sees, and how a run is stopped."""

import logging
import signal
import sys
import threading
import time

import tensorflow.compat.v1 as tf
import tqdm

SECONDS_BETWEEN_LINES = 10.0

_log = logging.getLogger(__name__)


class ProgressHook(tf.train.SessionRunHook):
    """Shows step, loss and examples per second: a bar on a terminal, else a line now and then.

    Attributes:
        seconds: wall time spent in training steps so far.
        examples_per_second: over all steps but the first, which includes warming up; None before.

    Args:
        train_steps: int, the last step.
        examples_per_step: int, the global batch.
    """

    def __init__(self, train_steps, examples_per_step):
        self._train_steps = train_steps
        self._examples_per_step = examples_per_step
        self._bar = None
        self.seconds = 0.0
        self.examples_per_second = None

    def begin(self):
        # What Estimator reports: the mean over the replicas.
        self._loss = tf.get_collection(tf.GraphKeys.LOSSES)[-1]
        self._global_step = tf.train.get_global_step()

    def after_create_session(self, session, coord):
        del coord
        self._num_timed = 0
        self._timed_seconds = 0.0
        self._last_line = time.monotonic()
        # Counted here: fetched beside the update, global_step may be the one before or after it.
        self._step = int(session.run(self._global_step))
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=self._train_steps, initial=self._step, unit="step", dynamic_ncols=True
            )

    def before_run(self, run_context):
        del run_context
        self._started = time.monotonic()
        return tf.train.SessionRunArgs(self._loss)

    def after_run(self, run_context, run_values):
        del run_context
        self._step += 1
        seconds = time.monotonic() - self._started
        self.seconds += seconds
        if self._num_timed:
            self._timed_seconds += seconds
            self.examples_per_second = (
                self._num_timed * self._examples_per_step / max(self._timed_seconds, 1e-9)
            )
        self._num_timed += 1
        self._show(run_values.results)

    def end(self, session):
        del session
        if self._bar:
            self._bar.close()

    def _show(self, loss):
        speed = self.examples_per_second or 0.0
        if self._bar:
            self._bar.set_postfix_str(f"loss {loss:.4f}, {speed:.1f} examples/s", refresh=False)
            self._bar.update(1)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            _log.info(
                "Step %d of %d: loss %.4f, %.1f examples/s.",
                self._step,
                self._train_steps,
                loss,
                speed,
            )


class StopOnSignal(tf.train.SessionRunHook):
    """Ends training after the current step at the first Ctrl-C or SIGTERM, so that it is saved.

    A second signal acts as it would have without the hook.

    Attributes:
        signal: number of the signal that came, or None.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.signal = None
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._receive) for number in self._SIGNALS
            }
        return self

    def __exit__(self, *exception):
        self._restore()

    def _receive(self, number, frame):
        del frame
        self.signal = number
        self._restore()
        _log.warning("Stopping after this step; once more stops at once.")

    def _restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def after_run(self, run_context, run_values):
        del run_values
        if self.signal is not None:
            run_context.request_stop()
