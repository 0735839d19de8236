"""The engine: fine-tunes a task, evaluates its checkpoints and predicts, on any number of devices.

The only module that knows Estimator.
"""

import logging
import os

import tensorflow.compat.v1 as tf

from albert.common.console import format_metrics
from albert.common.errors import UsageError
from albert.engine import checkpoints, curve, devices, pretrained, run_identity
from albert.engine.evaluation import Evaluator, shown_metrics
from albert.engine.hooks import ProgressHook, StopOnSignal
from albert.engine.input_pipeline import cached_features, next_batch_of, train_dataset
from albert.engine.model_fn import BATCHES_CONSUMED, model_fn
from albert.engine.predictor import Predictor
from albert.engine.progress import summary
from albert.engine.results import EvaluationRecord

_log = logging.getLogger(__name__)


class Interrupted(Exception):
    """A run that ended early because of a signal, after it was saved.

    Attributes:
        signal: number of the signal.
    """

    def __init__(self, message, number):
        super().__init__(message)
        self.signal = number


def feature_file(task, config, split):
    """Returns the FeatureFile of a split, made now unless it is there."""
    return cached_features(
        config.feature_dir,
        f"{task.name}_{split}",
        task.fingerprint(split),
        lambda: task.features(split),
    )


class Engine:
    """Runs one task under one configuration; `train`, `evaluate` and `predict` in any order.

    Args:
        task: Task.
        config: FinetuneConfig.

    Raises:
        UsageError: the devices asked for are not there, the checkpoint to begin with is damaged
            or another program's, or output_dir cannot be made.
    """

    def __init__(self, task, config):
        self._task = task
        self._config = config
        devices.prepare(config.num_replicas)
        self._devices = devices.choose(config.device_type, config.num_replicas)
        # These would else show only when all features are made.
        devices.check_all_reduce(self._devices, config.all_reduce)
        if config.init_checkpoint:
            pretrained.check(config.init_checkpoint)
        if config.num_replicas < config.num_devices:
            _log.info(
                "--strategy_type=one uses one device; --num_gpu_cores=%d has no effect.",
                config.num_devices,
            )
        self._progress = None
        self._predictor = Predictor(task, config.albert_config, self._devices, config.packed_tokens)
        try:
            os.makedirs(config.output_dir, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--output_dir={config.output_dir}: {error.strerror}.") from error

    def train(self, evaluator=None):
        """Trains up to train_steps, from the latest checkpoint in output_dir if there is one.

        Args:
            evaluator: Evaluator that is shown each checkpoint as it is saved, or None.

        Raises:
            Interrupted: Ctrl-C or SIGTERM; a checkpoint has been saved.
        """
        config = self._config
        examples = self._cached(self._task.train_split)
        run_identity.claim(config.output_dir, self._identity(is_training=True))
        start = checkpoints.latest(config.output_dir)
        step, batches_consumed = self._progress_of(start)
        if step >= config.train_steps:
            _log.info("%s has all %d steps: nothing to train.", start, config.train_steps)
            return
        self._announce_training(examples, start)
        with StopOnSignal() as stop:
            self._train_on(examples, start, batches_consumed, evaluator, stop)
        if stop.signal is not None:
            saved = checkpoints.latest(config.output_dir)
            raise Interrupted(
                f"Stopped; saved as {saved}. The same command goes on from there.", stop.signal
            )

    def _train_on(self, examples, start, batches_consumed, evaluator, stop):
        config = self._config
        shown = ProgressHook(config.train_steps, config.global_batch_size, config.output_dir)
        # Named here to stand behind the progress, whose times would else include saving and
        # evaluating, and before the stop, which then sees a signal that came meanwhile.
        saver = tf.train.CheckpointSaverHook(
            config.output_dir,
            save_steps=config.save_checkpoints_steps,
            listeners=[_EvaluateAfterSave(evaluator, stop)] if evaluator else [],
        )
        estimator = self._estimator(None if start else config.init_checkpoint)
        # AutoGraph would convert model_fn (there is nothing to convert) and put its own paragraph
        # in place of the message of a UsageError raised there.
        train = tf.autograph.experimental.do_not_convert(estimator.train)
        self._progress = shown.progress
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
                hooks=[shown, saver, stop],
                max_steps=config.train_steps,
            )
        finally:
            shown.close()
        if evaluator:
            self._record_speed(evaluator.record)

    def evaluator(self):
        """Returns the Evaluator of the task's dev splits on the checkpoints in output_dir."""
        config = self._config
        run_identity.check(config.output_dir, self._identity())
        feature_files = {split: self._cached(split) for split in self._task.dev_splits}
        evaluator = Evaluator(
            self._task, self._predictor, config.output_dir, feature_files, config.eval_batch_size
        )
        evaluator.record.add_settings(
            {
                "Training batch size": config.train_batch_size,
                "Global batch size": config.global_batch_size,
                **self._task.settings(),
                "Learning rate": config.learning_rate,
                "Num of GPU cores": config.num_replicas,
                "Training steps": config.train_steps,
                "Warmup steps": config.warmup_steps,
                "Optimizer": config.optimizer,
                "Seed": config.seed,
            }
        )
        return evaluator

    def evaluate(self, evaluator):
        """Evaluates every checkpoint in output_dir that has not been.

        Raises:
            UsageError: there is none, and there never was.
        """
        evaluator.evaluate_all()
        if not (evaluator.record.best() or checkpoints.saved_steps(self._config.output_dir)):
            raise UsageError(
                f"--output_dir={self._config.output_dir} holds no checkpoint to evaluate: "
                "train with --do_train first."
            )

    def predict(self):
        """Writes the task's prediction files from the best checkpoint, or else the latest.

        Raises:
            UsageError: output_dir holds no checkpoint.
        """
        config = self._config
        run_identity.check(config.output_dir, self._identity())
        checkpoints.finish_keeping(config.output_dir)
        checkpoint = checkpoints.best(config.output_dir) or checkpoints.latest(config.output_dir)
        if not checkpoint:
            raise UsageError(
                f"--output_dir={config.output_dir} holds no checkpoint to predict with: "
                "train with --do_train first."
            )
        _log.info("Predicting with %s.", checkpoint)
        predictions = {
            split: self._predictor.predict(
                checkpoint, self._cached(split), config.predict_batch_size
            )
            for split in self._task.test_splits
        }
        for path in self._task.write_predictions(predictions, config.output_dir):
            _log.info("Wrote %s.", path)

    def summarize(self, evaluator=None):
        """Logs what the run has come to, and draws its learning curve.

        Args:
            evaluator: the Evaluator of the run, or None.
        """
        record = (
            evaluator.record
            if evaluator
            else EvaluationRecord(self._config.output_dir, self._task.best_metric)
        )
        shown = {
            step: shown_metrics(self._task, metrics)
            for step, metrics in record.metrics_by_step().items()
        }
        best = record.best()
        best_step = best and best["step"]
        if self._progress:
            _log.info("%s", summary(self._progress))
        if best:
            _log.info("Best step %d: %s.", best_step, format_metrics(shown[best_step]))
        try:
            picture = curve.draw(self._config.output_dir, shown, best_step)
        except (OSError, tf.errors.OpError) as error:  # a picture is not worth a run's failure
            _log.warning("%s could not be drawn: %s", curve.FILE_NAME, error)
        else:
            if picture:
                _log.info("Wrote %s.", picture)

    def _cached(self, split):
        return feature_file(self._task, self._config, split)

    def _identity(self, is_training=False):
        """Returns what a run in output_dir must have in common with this one."""
        sizes = self._config.albert_config.sizes()
        identity = {"--task_name": self._task.model_name}
        identity.update((f"{name} of --albert_config_file", size) for name, size in sizes.items())
        if is_training:
            identity.update({"--seed": self._config.seed, "--optimizer": self._config.optimizer})
        return identity

    def _progress_of(self, checkpoint):
        """Returns (global_step, batches consumed) of the checkpoint to go on from; None: zeros."""
        if not checkpoint:
            return 0, 0
        try:
            return tuple(
                checkpoints.read_scalar(checkpoint, name)
                for name in ("global_step", BATCHES_CONSUMED)
            )
        except tf.errors.NotFoundError as error:
            raise UsageError(
                f"--output_dir={self._config.output_dir} holds {os.path.basename(checkpoint)} of "
                "another program, which training cannot go on from; use another folder, and that "
                "checkpoint as --init_checkpoint."
            ) from error

    def _announce_training(self, feature_file, start):
        config = self._config
        _log.info(
            "Training on %s: %d examples, batch %d on each of %d replica(s), %d in all.",
            ", ".join(self._devices),
            feature_file.num_features,
            config.train_batch_size,
            config.num_replicas,
            config.global_batch_size,
        )
        if start:
            _log.info("Going on from %s, up to step %d.", start, config.train_steps)
        elif not config.init_checkpoint:
            _log.warning(
                "No --init_checkpoint: training from random weights, which is far worse than "
                "fine-tuning a pre-trained model."
            )

    def _record_speed(self, record):
        progress = self._progress
        seconds = record.setting("Total time", 0.0) + progress.seconds
        speeds = {
            "Speed": progress.examples_per_second,
            "Tokens per second": progress.tokens_per_second,
        }
        known = {name: speed for name, speed in speeds.items() if speed is not None}
        record.add_settings({"Total time": seconds, **known})

    def _estimator(self, init_checkpoint):
        config = self._config
        run_config = tf.estimator.RunConfig(
            model_dir=config.output_dir,
            tf_random_seed=config.seed,
            session_config=devices.session_config(self._devices),
            save_checkpoints_secs=None,  # `train` brings its own hook for that
            save_summary_steps=0,  # ProgressHook does that
            keep_checkpoint_max=config.keep_checkpoint_max,
            log_step_count_steps=None,  # ProgressHook does that
            train_distribute=devices.make_strategy(self._devices, config.all_reduce),
        )
        return tf.estimator.Estimator(
            lambda features, mode: model_fn(self._task, config, init_checkpoint, features, mode),
            config=run_config,
        )


class _EvaluateAfterSave(tf.train.CheckpointSaverListener):
    """Shows the evaluator each checkpoint, unless the run is being stopped."""

    def __init__(self, evaluator, stop):
        self._evaluator = evaluator
        self._stop = stop

    def begin(self):
        self._evaluator.evaluate_all()

    def after_save(self, session, global_step_value):
        if self._stop.signal is None:
            self._evaluator.evaluate_all()


def exit_status(interrupted):
    """Returns the exit status that shells expect of a process ended by that signal."""
    return 128 + interrupted.signal
