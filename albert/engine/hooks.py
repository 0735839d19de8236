"""Session hooks of a training run: progress, skipped updates, signals, checkpoints."""

import contextlib
import logging
import os
import signal
import threading
import time
from typing import Any, Callable, Dict, Iterator, Optional, Sequence

import tensorflow.compat.v1 as tf
import tqdm

from albert.common import console
from albert.common.console import duration
from albert.common.errors import UsageError
from albert.engine import checkpoints
from albert.engine.config import FinetuneConfig
from albert.engine.progress import Progress, speed
from albert.engine.results import EvaluationRecord

SECONDS_BETWEEN_LINES = 10.0
SECONDS_OF_ONE_SIGNAL = 1.0  # a signal repeated within this time counts once
MAX_SKIPPED_IN_A_ROW = 50
MIN_POINTS_PER_CURVE = 1000  # unless there are fewer steps

_log = logging.getLogger(__name__)


class ProgressHook(tf.train.SessionRunHook):
    """Reports progress: a bar on a terminal, else a line now and then; and events for TensorBoard.

    Attributes:
        progress: steps and speed so far.

    Args:
        step_values: the model_fn.StepValues of the training graph.
        train_steps: number of the last step.
        examples_per_step: the global batch.
        output_dir: folder for the TensorBoard events.
    """

    def __init__(
        self, step_values: Any, train_steps: int, examples_per_step: int, output_dir: str
    ) -> None:
        self.progress = Progress(train_steps, examples_per_step)
        self._step_values = step_values
        self._examples_per_step = examples_per_step
        self._output_dir = output_dir
        self._steps_per_point = max(1, train_steps // MIN_POINTS_PER_CURVE)
        self._bar = None

    def begin(self) -> None:
        self._fetches = self._step_values.fetches()
        self._global_step = tf.train.get_global_step()

    def after_create_session(self, session: Any, coord: Any) -> None:
        del coord
        self._last_line = time.monotonic()
        # Counted here: a global_step fetched with the update may be from before or after it.
        step = int(session.run(self._global_step))
        self.progress.step = step
        self._point = _Point()
        self._writer = tf.summary.FileWriterCache.get(self._output_dir)
        # It makes readers ignore what a killed run wrote after its last checkpoint.
        self._writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), step + 1)
        if console.columns() and _log.isEnabledFor(logging.INFO):
            self._bar = tqdm.tqdm(
                total=self.progress.last_step,
                initial=step,
                dynamic_ncols=True,
                bar_format="{n_fmt}/{total_fmt} {bar} {desc}",
            )

    def before_run(self, run_context: Any) -> Any:
        del run_context
        self._started = time.monotonic()
        return tf.train.SessionRunArgs(self._fetches)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        del run_context
        values = run_values.results
        if values["num_skipped"]:
            return
        seconds = time.monotonic() - self._started
        self.progress.add(seconds, values["num_tokens"])
        self._point.add(seconds, values)
        step, last_step = self.progress.step, self.progress.last_step
        if step % self._steps_per_point == 0 or step == last_step:
            self._write_point()
        if self._bar:
            self._bar.set_description_str(bar_text(values, self.progress), refresh=False)
            self._bar.update(1)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            _log.info("Step %d of %d: %s.", step, last_step, line_text(values, self.progress))

    def end(self, session: Any) -> None:
        del session
        self.close()

    def close(self) -> None:
        """Closes the bar if it is open."""
        if self._bar:
            self._bar.close()

    def _write_point(self):
        scalars = self._point.scalars(self._examples_per_step)
        self._point = _Point()
        values = [tf.Summary.Value(tag=tag, simple_value=scalars[tag]) for tag in scalars]
        self._writer.add_summary(tf.Summary(value=values), self.progress.step)
        self._writer.flush()  # otherwise a killed run would lose the points of its last two minutes


class _Point:
    """One point of the TensorBoard curves: sums over its steps, and the last learning rate."""

    def __init__(self):
        self._num_steps = 0
        self._seconds = 0.0
        self._num_tokens = 0
        self._loss = 0.0

    def add(self, seconds, values):
        self._num_steps += 1
        self._seconds += seconds
        self._num_tokens += values["num_tokens"]
        self._loss += values["loss"]
        self._learning_rate = values["learning_rate"]

    def scalars(self, examples_per_step):
        """Returns {tag: value}: means over the steps, and the learning rate."""
        seconds = max(self._seconds, 1e-9)
        return {
            "loss": self._loss / self._num_steps,
            "learning_rate": self._learning_rate,
            "examples_per_second": self._num_steps * examples_per_step / seconds,
            "tokens_per_second": self._num_tokens / seconds,
        }


def line_text(values: Dict[str, float], progress: Progress) -> str:
    """Returns the text of a progress line, without the step."""
    parts = [f"loss {values['loss']:.4f}", f"learning rate {values['learning_rate']:.2e}"]
    if progress.seconds_left is not None:
        parts += [speed(progress), f"{duration(progress.seconds_left)} left"]
    return ", ".join(parts)


def bar_text(values: Dict[str, float], progress: Progress) -> str:
    """Returns the text after the bar, short enough to fit into 80 columns with the steps."""
    text = f"loss {values['loss']:.4f} lr {values['learning_rate']:.1e}"
    if progress.seconds_left is not None:
        text += f" {speed(progress)} {duration(progress.seconds_left)} left".replace(",", "")
    return text


class NotFinite(UsageError):
    """The gradient of an update was NaN or infinite, and the run is not to go on."""


class SkippedUpdates(tf.train.SessionRunHook):
    """Reports updates that changed nothing because their gradient was not finite.

    Args:
        step_values: the model_fn.StepValues of the training graph.
        config: its on_nan decides what to do in fp32 and bf16. In fp16 such updates are a part of
            loss scaling.
    """

    def __init__(self, step_values: Any, config: FinetuneConfig) -> None:
        self._step_values = step_values
        self._config = config

    def begin(self) -> None:
        self._fetches = self._step_values.fetches()
        self._global_step = tf.train.get_global_step()

    def before_run(self, run_context: Any) -> Any:
        del run_context
        return tf.train.SessionRunArgs(self._fetches["num_skipped"])

    def after_run(self, run_context: Any, run_values: Any) -> None:
        """Raises NotFinite at the first such update, or after MAX_SKIPPED_IN_A_ROW, by on_nan."""
        num_skipped = run_values.results
        if num_skipped == 0:
            return
        step = int(run_context.session.run(self._global_step)) + 1
        if self._config.precision == "fp16":
            _log.info(
                "Skipped a batch at step %d: its gradient is not finite; the loss scale adapts.",
                step,
            )
        elif self._config.on_nan == "stop":
            raise self._error(
                f"Step {step}, at <learning_rate>, was not applied: its gradient is not finite. "
                f"The last good checkpoint is {self._saved()}. Use a lower rate or a longer "
                "warm-up, and another <output_dir>, or <on_nan>, which leaves out such batches."
            )
        else:
            _log.warning("Skipped a batch at step %d: its gradient is not finite.", step)
        if num_skipped == MAX_SKIPPED_IN_A_ROW:
            raise self._error(
                f"Step {step}, at <learning_rate>, was given up after {num_skipped} batches: "
                "none of their gradients is finite. "
                f"The last good checkpoint is {self._saved()}. Use a lower rate or a longer "
                "warm-up, and another <output_dir>."
            )

    def _saved(self):
        return checkpoints.latest(self._config.output_dir)

    def _error(self, message):
        rate = self._config.learning_rate
        return NotFinite(message, learning_rate=rate, output_dir=None, on_nan="skip")


class StopOnSignal(tf.train.SessionRunHook):
    """Stops training after the current step on Ctrl-C or SIGTERM, so that a checkpoint is saved.

    A second signal has its usual effect. One that follows within a second is taken as a repetition
    of the first: `timeout`, schedulers and scripts signal both a process and its group.

    Attributes:
        signal: number of the signal received, or None.

    Args:
        on_signal: called with it.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, on_signal: Optional[Callable[[int], Any]] = None) -> None:
        self.signal: Optional[int] = None
        self._on_signal = on_signal
        self._breaks_off = False
        self._previous: Dict[int, Any] = {}

    def __enter__(self) -> "StopOnSignal":
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._receive) for number in self._SIGNALS
            }
        return self

    def __exit__(self, *exception: Any) -> None:
        self._restore()

    def _receive(self, number, frame):
        if self.signal is None:
            self.signal = number
            self._received = time.monotonic()
            if self._on_signal:
                self._on_signal(number)
            _log.warning("Stopping after this step; a second signal stops at once.")
            if self._breaks_off:
                raise KeyboardInterrupt
        elif time.monotonic() - self._received > SECONDS_OF_ONE_SIGNAL:
            previous = self._previous[number]
            self._restore()
            if callable(previous):
                previous(number, frame)
            else:
                os.kill(os.getpid(), number)

    @contextlib.contextmanager
    def breaking_off(self) -> Iterator[None]:
        """Lets the signal end a block in which all that is lost can be done again: evaluation."""
        self._breaks_off = self.signal is None
        try:
            yield
        except KeyboardInterrupt:
            if self.signal is None:
                raise
        finally:
            self._breaks_off = False

    def _restore(self):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def after_run(self, run_context: Any, run_values: Any) -> None:
        del run_values
        if self.signal is not None:
            run_context.request_stop()


class CheckpointSaver(tf.train.CheckpointSaverHook):
    """TensorFlow's own, with two differences.

    - At the start, it does not write the graph, as text: that takes seconds.
    - It saves at multiples of `save_steps`, whatever step a run resumes from.
    """

    def __init__(self, output_dir: str, save_steps: int, listeners: Sequence[Any]) -> None:
        super().__init__(output_dir, save_steps=save_steps, listeners=listeners)
        self._save_steps = save_steps

    def after_create_session(self, session: Any, coord: Any) -> None:
        del coord
        step = session.run(self._global_step_tensor)
        self._save(session, step)
        self._timer.update_last_triggered_step(step - step % self._save_steps)


class EvaluateAfterSave(tf.train.CheckpointSaverListener):
    """Evaluates each checkpoint once it is saved, unless the run is being stopped.

    A signal breaks the evaluation off: the next start of the run makes up for it.

    Args:
        evaluator: the evaluation.Evaluator.
    """

    def __init__(self, evaluator: Any, stop: "StopOnSignal", config: FinetuneConfig) -> None:
        self._evaluator = evaluator
        self._stop = stop
        self._config = config

    def after_save(self, session: Any, global_step_value: int) -> bool:
        """Returns whether training is to stop."""
        del session
        if self._stop.signal is None:
            with self._stop.breaking_off():
                self._evaluator.evaluate_all(self._config.train_steps)
        if self._stop.signal is not None:
            return True
        reason = reason_to_stop(self._evaluator.record, global_step_value, self._config)
        if reason and global_step_value < self._config.train_steps:
            _log.info("Stopping early at step %d: %s.", global_step_value, reason)
        return bool(reason)


def reason_to_stop(record: EvaluationRecord, step: int, config: FinetuneConfig) -> Optional[str]:
    """Returns why training stops early at a step, or None if it goes on."""
    patience = config.early_stopping_patience
    count = record.num_without_improvement(step, config.evaluation_interval)
    if patience is None or count < patience:
        return None
    return f"with {count} evaluation(s) since the best one"
