"""The engine: fine-tunes a task, evaluates its checkpoints and predicts, on any number of devices.

Only this module and model_fn know Estimator.
"""

import logging
import os
from typing import Any, Dict, Optional

import tensorflow.compat.v1 as tf

from albert.common.console import format_metrics
from albert.common.errors import UsageError
from albert.engine import checkpoints, curve, devices, disk, pretrained, run_identity
from albert.engine.config import FinetuneConfig
from albert.engine.evaluation import Evaluator, shown_metrics
from albert.engine.hooks import ProgressHook, StopOnSignal
from albert.engine.input_pipeline import (
    FeatureFile,
    cached_features,
    next_batch_of,
    train_dataset,
)
from albert.engine.model_fn import BATCHES_CONSUMED, StepValues, model_fn
from albert.engine.predictor import Predictor
from albert.engine.progress import Progress, summary
from albert.engine.results import EvaluationRecord
from albert.engine.task import Task

_log = logging.getLogger(__name__)


class Interrupted(Exception):
    """A signal stopped the run early; a checkpoint has been saved.

    Attributes:
        exit_status: the status that shells expect of a process ended by this signal.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal


def feature_file(task: Task, config: FinetuneConfig, split: str) -> FeatureFile:
    """Returns the features of a split, made now unless they are cached."""
    required_names = [
        name
        for name, feature in task.feature_spec().items()
        if feature.is_input or split != task.train_split
    ]
    return cached_features(
        config.feature_dir,
        f"{task.name}_{split}",
        task.fingerprint(split),
        lambda: task.features(split),
        required_names,
    )


class Engine:
    """Runs one task with one configuration; call `train`, `evaluate` and `predict` in any order.

    Raises:
        UsageError: there are fewer devices than requested, the initial checkpoint is damaged or
            from another program, or output_dir cannot be created.
    """

    def __init__(self, task: Task, config: FinetuneConfig) -> None:
        self._task = task
        self._config = config
        devices.prepare(config.num_replicas)
        self._devices = devices.choose(config.device_type, config.num_replicas)
        # Checked again when the strategy is made, but that is after features have been made.
        devices.check_all_reduce(self._devices, config.all_reduce)
        if config.init_checkpoint:
            pretrained.check(config.init_checkpoint)
        if config.num_replicas < config.num_devices:
            _log.info(
                "Strategy one trains on a single device, not on the %d requested.",
                config.num_devices,
            )
        self._predictor = Predictor(task, config.albert_config, self._devices, config.packed_tokens)
        self._evaluator: Optional[Evaluator] = None
        self._progress: Optional[Progress] = None
        try:
            os.makedirs(config.output_dir, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"<output_dir>: {error.strerror}.", output_dir=config.output_dir
            ) from error

    def plan_epochs(self, epochs: float, warmup_proportion: float) -> None:
        """Sets the number of updates to what the epochs take: see FinetuneConfig.with_epochs.

        The training features are made now, unless they are cached, to be counted.
        """
        self._check_identity()
        count = feature_file(self._task, self._config, self._task.train_split).num_features
        self._config = self._config.with_epochs(count, epochs, warmup_proportion)
        _log.info(
            "%g epoch(s) of %d features are %d updates, %d of them warm-up.",
            epochs,
            count,
            self._config.train_steps,
            self._config.warmup_steps,
        )

    def train(self, evaluate: bool = False) -> None:
        """Trains up to train_steps, resuming from the latest checkpoint in output_dir if any.

        Args:
            evaluate: also evaluate each checkpoint as it is saved.

        Raises:
            Interrupted: Ctrl-C or SIGTERM stopped training; a checkpoint has been saved.
        """
        config = self._config
        identity = dict(self._identity(), seed=config.seed, optimizer=config.optimizer)
        sizes = config.albert_config.sizes()
        run_identity.check(config.output_dir, identity, sizes)  # before features are made
        evaluator = self._make_evaluator() if evaluate else None
        examples = feature_file(self._task, config, self._task.train_split)
        run_identity.claim(config.output_dir, identity, sizes)
        start = checkpoints.latest(config.output_dir)
        step, batches_consumed = self._read_counters(start)
        if step >= config.train_steps:
            _log.info("%s has all %d steps: nothing to train.", start, config.train_steps)
            return
        self._announce_training(examples, start)
        disk.warn_if_short(config)
        with StopOnSignal() as stop:
            self._run_estimator(examples, start, batches_consumed, evaluator, stop)
        if stop.signal is not None:
            saved = checkpoints.latest(config.output_dir)
            raise Interrupted(
                f"Stopped; saved as {saved}. The same command resumes from there.", stop.signal
            )

    def _run_estimator(self, examples, start, batches_consumed, evaluator, stop):
        config = self._config
        step_values = StepValues()
        progress_hook = ProgressHook(
            step_values, config.train_steps, config.global_batch_size, config.output_dir
        )
        # The saver also evaluates. It comes after the progress hook, whose times exclude that, and
        # before the stop hook, which must notice signals that arrive meanwhile.
        saver = tf.train.CheckpointSaverHook(
            config.output_dir,
            save_steps=config.save_checkpoints_steps,
            listeners=[_EvaluateAfterSave(evaluator, stop)] if evaluator else [],
        )
        estimator = self._estimator(None if start else config.init_checkpoint, step_values)
        # The model function has nothing for AutoGraph to convert, and AutoGraph would replace the
        # message of a UsageError raised there with a paragraph of its own.
        train = tf.autograph.experimental.do_not_convert(estimator.train)
        self._progress = progress_hook.progress
        try:
            train(
                lambda: next_batch_of(
                    train_dataset(
                        examples,
                        self._task.feature_spec(),
                        config.train_batch_size,
                        config.seed,
                        num_consumed=batches_consumed * config.global_batch_size,
                    )
                ),
                hooks=[progress_hook, saver, stop],
                max_steps=config.train_steps,
            )
        finally:
            progress_hook.close()
        if evaluator:
            _record_speed(evaluator.record, progress_hook.progress)

    def _estimator(self, init_checkpoint, step_values):
        config = self._config
        run_config = tf.estimator.RunConfig(
            model_dir=config.output_dir,
            tf_random_seed=config.seed,
            session_config=devices.session_config(self._devices),
            save_checkpoints_secs=None,  # a CheckpointSaverHook does that
            save_summary_steps=0,  # ProgressHook does that
            keep_checkpoint_max=config.keep_checkpoint_max,
            log_step_count_steps=None,  # ProgressHook does that
            train_distribute=devices.make_strategy(self._devices, config.all_reduce),
        )
        return tf.estimator.Estimator(
            model_fn(self._task, config, init_checkpoint, step_values), config=run_config
        )

    def evaluate(self) -> None:
        """Evaluates every checkpoint in output_dir that has not been evaluated.

        Raises:
            UsageError: there is no checkpoint, and none has ever been evaluated.
        """
        evaluator = self._make_evaluator()
        evaluator.evaluate_all()
        output_dir = self._config.output_dir
        if not (evaluator.record.best() or checkpoints.saved_steps(output_dir)):
            raise UsageError(
                "<output_dir> holds no checkpoint to evaluate: train with <do_train> first.",
                output_dir=output_dir,
                do_train=None,
            )

    def predict(self) -> None:
        """Writes the task's prediction files, using the best checkpoint or else the latest.

        Raises:
            UsageError: output_dir holds no checkpoint.
        """
        config = self._config
        self._check_identity()
        checkpoints.finish_keeping(config.output_dir)
        checkpoint = checkpoints.best(config.output_dir) or checkpoints.latest(config.output_dir)
        if not checkpoint:
            raise UsageError(
                "<output_dir> holds no checkpoint to predict with: train with <do_train> first.",
                output_dir=config.output_dir,
                do_train=None,
            )
        _log.info("Predicting with %s.", checkpoint)
        predictions = {
            split: self._predictor.predict(
                checkpoint, feature_file(self._task, config, split), config.predict_batch_size
            )
            for split in self._task.test_splits
        }
        for path in self._task.write_predictions(predictions, config.output_dir):
            _log.info("Wrote %s.", path)

    def summarize(self) -> None:
        """Logs the training time and the best step, and draws the learning curve."""
        output_dir = self._config.output_dir
        record = (
            self._evaluator.record
            if self._evaluator
            else EvaluationRecord(output_dir, self._task.best_metric)
        )
        shown = {
            step: shown_metrics(self._task, metrics)
            for step, metrics in record.metrics_by_step().items()
        }
        best = record.best()
        best_step: Optional[int] = best["step"] if best else None
        if self._progress:
            _log.info("%s", summary(self._progress))
        if best_step is not None:
            _log.info("Best step %d: %s.", best_step, format_metrics(shown[best_step]))
        try:
            picture = curve.draw(output_dir, shown, best_step)
        except (OSError, tf.errors.OpError) as error:  # a missing picture must not fail the run
            _log.warning("%s could not be drawn: %s", curve.FILE_NAME, error)
        else:
            if picture:
                _log.info("Wrote %s.", picture)

    def _make_evaluator(self):
        """Returns the Evaluator of the dev splits, made at the first call."""
        if self._evaluator:
            return self._evaluator
        config = self._config
        self._check_identity()
        feature_files = {
            split: feature_file(self._task, config, split) for split in self._task.dev_splits
        }
        self._evaluator = Evaluator(
            self._task, self._predictor, config.output_dir, feature_files, config.eval_batch_size
        )
        self._evaluator.record.add_settings(_settings(self._task, config))
        return self._evaluator

    def _identity(self):
        """Returns the settings that training, evaluation and prediction in one output_dir share."""
        return {"task_name": self._task.model_name}

    def _check_identity(self):
        sizes = self._config.albert_config.sizes()
        run_identity.check(self._config.output_dir, self._identity(), sizes)

    def _read_counters(self, checkpoint):
        """Returns (global_step, batches consumed) of a checkpoint; (0, 0) for None."""
        if not checkpoint:
            return 0, 0
        try:
            return tuple(
                checkpoints.read_scalar(checkpoint, name)
                for name in ("global_step", BATCHES_CONSUMED)
            )
        except tf.errors.NotFoundError as error:
            raise UsageError(
                f"<output_dir> holds {os.path.basename(checkpoint)}, written by another program, "
                "so training cannot resume from it; use another folder, and that checkpoint as "
                "<init_checkpoint>.",
                output_dir=self._config.output_dir,
                init_checkpoint=None,
            ) from error

    def _announce_training(self, examples, start):
        config = self._config
        _log.info(
            "Training on %s: %d examples, batch %d on each of %d replica(s), %d in all.",
            ", ".join(self._devices),
            examples.num_features,
            config.train_batch_size,
            config.num_replicas,
            config.global_batch_size,
        )
        if config.global_batch_size > examples.num_features:
            _log.warning(
                "A batch of %d is more than all %d examples: every update sees some of them twice.",
                config.global_batch_size,
                examples.num_features,
            )
        if start:
            _log.info("Resuming from %s, up to step %d.", start, config.train_steps)
        elif not config.init_checkpoint:
            _log.warning(
                "No initial checkpoint: training from random weights, which is far worse than "
                "fine-tuning a pre-trained model."
            )


class _EvaluateAfterSave(tf.train.CheckpointSaverListener):
    """Evaluates each checkpoint once it is saved, unless the run is being stopped."""

    def __init__(self, evaluator, stop):
        self._evaluator = evaluator
        self._stop = stop

    def begin(self):
        self._evaluator.evaluate_all()

    def after_save(self, session, global_step_value):
        if self._stop.signal is None:
            self._evaluator.evaluate_all()


def _settings(task: Task, config: FinetuneConfig) -> Dict[str, Any]:
    """Returns the settings to record in eval_results.json."""
    return {
        "train_batch_size": config.train_batch_size,
        "global_batch_size": config.global_batch_size,
        **task.settings(),
        "learning_rate": config.learning_rate,
        "num_replicas": config.num_replicas,
        "train_steps": config.train_steps,
        "warmup_steps": config.warmup_steps,
        "optimizer": config.optimizer,
        "seed": config.seed,
    }


def _record_speed(record: EvaluationRecord, progress: Progress) -> None:
    speeds = {
        "examples_per_second": progress.examples_per_second,
        "tokens_per_second": progress.tokens_per_second,
    }
    known = {name: speed for name, speed in speeds.items() if speed is not None}
    total_seconds = record.setting("total_seconds", 0.0) + progress.seconds
    record.add_settings({"total_seconds": total_seconds, **known})
