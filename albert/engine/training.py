"""The engine: fine-tunes a task, evaluates its checkpoints and predicts, on any devices."""

import contextlib
import logging
import os
from typing import Any, Dict, Optional

import tensorflow.compat.v1 as tf

from albert.cluster import control, strategy
from albert.cluster.control import Member
from albert.common import locks
from albert.common.console import format_metrics
from albert.common.errors import UsageError
from albert.engine import checkpoints, curve, devices, pretrained, results, run_identity
from albert.engine.config import FinetuneConfig
from albert.engine.evaluation import Evaluator, shown_metrics
from albert.engine.hooks import StopOnSignal, reason_to_stop
from albert.engine.input_pipeline import FeatureFile, Features, cached_features
from albert.engine.model_fn import BATCHES_CONSUMED
from albert.engine.predictor import Predictor
from albert.engine.progress import Progress, summary
from albert.engine.results import EvaluationRecord
from albert.engine.task import Task
from albert.engine.training_loop import Start, TrainingLoop

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
    """Returns the features of a split, made now unless they are cached.

    Raises:
        UsageError: the model cannot tell the segments of a pair apart, or the data are wrong.
    """
    fingerprint = task.fingerprint(split)  # reads the examples of a task that must look at them
    _check_segments(task, config)
    if split in task.max_samples:
        fingerprint = dict(fingerprint, max_samples=task.max_samples[split])
    required_names = [
        name
        for name, feature in task.feature_spec().items()
        if feature.is_input or split != task.train_split
    ]
    return cached_features(
        config.feature_dir,
        f"{task.name}_{split}",
        fingerprint,
        lambda: task.features(split),
        required_names,
    )


def _check_segments(task, config):
    if task.num_segments > config.albert_config.type_vocab_size:
        raise UsageError(
            f"<albert_config_file>: type_vocab_size {config.albert_config.type_vocab_size} is for "
            f"single texts, but {task.name} has pairs: it must be {task.num_segments} or more.",
            albert_config_file=None,
        )


def features_to_train_on(task: Task, config: FinetuneConfig) -> Features:
    """Returns the features of the training split, made now unless they are prepared or cached.

    Raises:
        UsageError: as for `feature_file`.
    """
    prepared = task.prepared(task.train_split)
    if prepared is None:
        return feature_file(task, config, task.train_split)
    _check_segments(task, config)
    return prepared


class Engine:
    """Runs one task with one configuration; call `train`, `evaluate` and `predict` in any order.

    Args:
        options: those of the command, to be recorded in output_dir.
        model_files: {name: path} of files that the model needs, to be copied there when it trains.

    Raises:
        UsageError: there are fewer devices than requested, the initial checkpoint is damaged or
            from another program, or output_dir cannot be created.
    """

    def __init__(
        self,
        task: Task,
        config: FinetuneConfig,
        options: Optional[Dict[str, Any]] = None,
        model_files: Optional[Dict[str, str]] = None,
    ) -> None:
        task.max_samples = _max_samples(task, config)
        if task.max_samples:
            parts = [f"{limit} of {split}" for split, limit in task.max_samples.items()]
            _log.info("Only the first examples are used: %s.", ", ".join(parts))
        self._task = task
        self._config = config
        self._run = run_identity.Run(task, config, options, model_files)
        self._options, self._model_files = options, model_files
        self._is_training = False
        self._has_trained = False
        self._is_checked = False
        devices.prepare(config.num_local_replicas)
        self._devices = devices.choose(config.device_type, config.num_local_replicas)
        # Checked again when the strategy is made, but that is after features have been made.
        devices.check_all_reduce(self._devices, config.all_reduce)
        for setting in ("init_checkpoint", "eval_checkpoint"):
            if getattr(config, setting):
                pretrained.check(getattr(config, setting), setting)
        if config.num_local_replicas < config.num_devices:
            _log.info(
                "Strategy one trains on a single device, not on the %d requested.",
                config.num_devices,
            )
        devices.check_precision(self._devices, config.precision)
        if config.deterministic:
            devices.make_deterministic(self._devices)
        self._predictor = Predictor(
            task,
            config.albert_config,
            self._devices,
            config.packed_tokens,
            config.precision,
            use_xla=devices.uses_xla(
                self._devices, config.precision, config.albert_config, config.xla
            ),
        )
        self._evaluator: Optional[Evaluator] = None
        self._progress: Optional[Progress] = None
        self._member: Optional[Member] = None
        try:
            os.makedirs(config.output_dir, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"<output_dir>: {error.strerror}.", output_dir=config.output_dir
            ) from error

    def train(
        self,
        evaluate: bool = False,
        predict: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Trains up to train_steps, resuming from the latest checkpoint in output_dir if any.

        In a cluster all workers call it. The chief alone writes and evaluates. If a worker dies,
        the process ends, see cluster.control.

        Args:
            evaluate: also evaluate each checkpoint as it is saved.
            predict: `predict` comes next, so the features of the test splits are made first: what
                is wrong with their files must not come to light after hours of training.
            overwrite: first delete what runs have left in output_dir, and start anew.

        Raises:
            Interrupted: Ctrl-C or SIGTERM stopped training; a checkpoint has been saved.
            UsageError: another process trains or evaluates in output_dir, no checkpoint in it is
                whole, the best one is damaged and evaluations would need it, early stopping lacks
                evaluations, the initial checkpoint is among what is to be overwritten, or a worker
                of the cluster differs from the chief.
        """
        if self._config.early_stopping_patience and not evaluate:
            raise UsageError(
                "<early_stopping_patience> needs evaluations: <do_eval>, or <do_predict> where a "
                "file has answers.",
                early_stopping_patience=self._config.early_stopping_patience,
                do_eval=None,
                do_predict=None,
            )
        cluster = self._config.cluster
        if not cluster or len(cluster.hosts) == 1:
            self._train_as_chief(evaluate, predict, overwrite)
            return
        _log.info("This is %s, of %d workers.", cluster.name(cluster.rank), len(cluster.hosts))
        with control.joined(cluster) as member:
            self._member = member
            if cluster.is_chief:
                self._train_as_chief(evaluate, predict, overwrite)
            else:
                self._train_as_worker(member)

    def _train_as_chief(self, evaluate, predict, overwrite):
        self._is_training = True
        if not overwrite:
            self._run.check(is_training=True)
        with locks.held(self._config.output_dir):
            self._is_checked = True
            if overwrite:
                self._erase(evaluate, predict)
            checkpoint, damages = checkpoints.newest_whole(self._config.output_dir)
            start = Start(checkpoint, *self._read_counters(checkpoint))
            checkpoints.prepare_training(self._config.output_dir, checkpoint, damages)
            examples = self._prepare_data(evaluate, predict)
            self._plan(examples)
            self._agree(examples)
            if self._is_complete(start, evaluate):
                self._tell()
                return
            self._has_trained = True
            self._run.claim(kinds=["dev"] * evaluate + ["test"] * predict)
            evaluator = self._make_evaluator() if evaluate else None
            self._train(examples, start, evaluator)

    def _train_as_worker(self, member):
        """Takes part in what the chief does, as it says."""
        examples = features_to_train_on(self._task, self._config)
        self._plan(examples)
        self._agree(examples)
        with StopOnSignal(member.forward) as stop:
            told = member.exchange("start")[0]
            if told["signal"] is not None:
                member.leave()
                raise _interrupted("Stopped, as all workers.", told["signal"])
            if told["start"] is None:
                _log.info("The chief has nothing to train.")
                return
            start = Start(*told["start"]).seen_in(self._config.output_dir, told["holder"])
            TrainingLoop(
                self._task, self._config, self._devices, examples, start, stop, member=member
            ).run()
            self._end(stop, "Stopped, as all workers.")

    def _agree(self, examples):
        """Checks that all workers of a cluster would train the same model on the same features.

        Raises:
            UsageError: one would not; the chief and that worker say what differs.
        """
        if self._member:
            settings = {**self._run.shared_settings(), **examples.content()}
            self._member.agree("settings", {**strategy.versions(), **settings})

    def _tell(self, start=None, signal=None):
        """Tells the workers of a cluster where training goes on, or which signal has ended it.

        With neither it is complete.
        """
        if self._member:
            holder = locks.holder_of(self._config.output_dir)
            self._member.exchange("start", {"start": start, "signal": signal, "holder": holder})
            if start is None:  # what this process does or raises now does not concern the others
                self._member.leave()

    def _is_complete(self, start, evaluate):
        """Returns whether there is nothing to train, which is then logged."""
        if start.step >= self._config.train_steps:
            _log.info(
                "%s has all %d steps: nothing to train.",
                start.checkpoint,
                self._config.train_steps,
            )
            return True
        return evaluate and self._has_stopped_early(start.step)

    def _has_stopped_early(self, step):
        """Returns whether training ended early at a step, which is then logged."""
        reason = reason_to_stop(self._make_evaluator().record, step, self._config)
        if reason:
            _log.info("Training stopped early at step %d, %s: nothing to train.", step, reason)
        return bool(reason)

    def _erase(self, evaluate, predict):
        """Deletes what runs have left, after all that is read from the data has been read."""
        config, task = self._config, self._task
        folder = os.path.dirname(config.init_checkpoint or "")
        if config.init_checkpoint and os.path.realpath(folder) == os.path.realpath(
            config.output_dir
        ):
            raise UsageError(
                "<init_checkpoint> is in <output_dir>, so <overwrite_output_dir> would delete it.",
                init_checkpoint=config.init_checkpoint,
                output_dir=config.output_dir,
                overwrite_output_dir=None,
            )
        dev_splits = task.dev_splits if evaluate else ()
        features_to_train_on(task, config)
        for split in (*dev_splits, *(task.test_splits if predict else ())):
            feature_file(task, config, split)
        num_files = run_identity.erase(config.output_dir, (self._model_files or {}).values())
        self._evaluator = None  # it holds the old record
        _log.info("Deleted %d file(s) of earlier runs in %s.", num_files, config.output_dir)

    def _prepare_data(self, evaluate, predict):
        """Makes all features that the run will need; returns those to train on."""
        if evaluate:
            self._check_best()
            self._make_evaluator()
        for split in self._task.test_splits if predict else ():
            feature_file(self._task, self._config, split)
        return features_to_train_on(self._task, self._config)

    def _plan(self, examples):
        """Sets the numbers of updates to what the epochs and the share of warm-up come to."""
        given = self._config
        self._config = config = given.with_updates(examples.num_features)
        if config == given:
            return
        self._run = run_identity.Run(self._task, config, self._options, self._model_files)
        if given.num_train_epochs is None:
            _log.info("%d updates, %d of them warm-up.", config.train_steps, config.warmup_steps)
            return
        _log.info(
            "%g epoch(s) of %d features are %d updates, %d of them warm-up.",
            given.num_train_epochs,
            examples.num_features,
            config.train_steps,
            config.warmup_steps,
        )

    def _train(self, examples, start, evaluator):
        config = self._config
        if evaluator:
            evaluator.record.add_settings(results.settings_of(self._task, config))
        self._announce_training(examples, start.checkpoint)
        checkpoints.warn_if_disk_is_short(config)
        with StopOnSignal(self._member.forward if self._member else None) as stop:
            if evaluator:
                with stop.breaking_off():
                    evaluator.evaluate_all(config.train_steps)  # what a killed run has left
            if stop.signal is not None:
                self._tell(signal=stop.signal)
                raise _interrupted("Stopped before the first step.", stop.signal)
            if evaluator and self._has_stopped_early(start.step):
                self._tell()
                return
            self._tell(start)
            loop = TrainingLoop(
                self._task, config, self._devices, examples, start, stop, evaluator, self._member
            )
            self._progress = loop.progress
            loop.run()
            if evaluator:
                results.add_speed(evaluator.record, loop.progress)
        self._end(stop, f"Stopped; saved as {checkpoints.latest(config.output_dir)}.")

    def _end(self, stop, message):
        """Ends training, on all workers at once, since none can take part in more.

        Raises:
            Interrupted: a signal has ended it, here or elsewhere.
        """
        signals = [stop.signal]
        if self._member:
            signals = self._member.exchange("trained", stop.signal)
            self._member.leave()
        received = [number for number in signals if number is not None]
        if received:
            raise _interrupted(message, received[0])

    def evaluate(self) -> None:
        """Evaluates every checkpoint in output_dir that has not been evaluated.

        Without training, dev splits other than the run's own do not change which checkpoint is the
        best: that one alone is scored on them, and the results are written beside their
        predictions. The same holds for eval_checkpoint, and for an initial checkpoint where
        output_dir has none.

        Raises:
            UsageError: there is no checkpoint, and none has ever been evaluated; one is damaged; or
                another process trains or evaluates in output_dir.
        """
        output_dir = self._config.output_dir
        self._check_identity()
        given = self._config.eval_checkpoint
        is_trained = bool(checkpoints.best(output_dir) or checkpoints.saved_steps(output_dir))
        if not given and is_trained and (self._has_trained or self._run.owns_data("dev")):
            with locks.held(output_dir):
                self._check_best()
                evaluator = self._make_evaluator()
                evaluator.record.add_settings(results.settings_of(self._task, self._config))
                evaluator.evaluate_all()
        elif given or is_trained or not self._record(output_dir).best():
            checkpoint = self._checkpoint_to_use("evaluate")
            evaluator = self._make_evaluator()
            folder = self._run.folder_of_results("dev")
            record = evaluator.score_elsewhere(checkpoint, folder, self._metrics_of(checkpoint))
            record.add_settings(results.settings_of(self._task, self._config))
            _log.info("Wrote %s.", record.path)

    def predict(self) -> None:
        """Writes the task's prediction files, using the best checkpoint or else the latest.

        If output_dir holds none, the initial checkpoint predicts; eval_checkpoint comes before all.

        Raises:
            UsageError: there is no checkpoint, or a damaged one.
        """
        config = self._config
        self._check_identity()
        checkpoint = self._checkpoint_to_use("predict with")
        _log.info("Predicting with %s.", checkpoint)
        predictions = {
            split: self._predictor.predict(
                checkpoint, feature_file(self._task, config, split), config.predict_batch_size
            )
            for split in self._task.test_splits
        }
        folder = self._run.folder_of_results("test")
        metrics = self._metrics_of(checkpoint)
        paths = self._task.write_predictions(predictions, folder, metrics)
        self._run.note_results(paths)
        for path in paths:
            _log.info("Wrote %s.", path)

    def _checkpoint_to_use(self, purpose):
        """Returns the prefix of the checkpoint to evaluate or to predict with."""
        config = self._config
        if config.eval_checkpoint:
            return self._checked("eval_checkpoint")
        if checkpoints.is_keeping(config.output_dir):
            with contextlib.suppress(UsageError):  # a process that trains there finishes it itself
                with locks.held(config.output_dir):
                    checkpoints.finish_keeping(config.output_dir)
        trained = checkpoints.best(config.output_dir) or checkpoints.latest(config.output_dir)
        if trained:
            checkpoints.check(trained)
            return trained
        if not config.init_checkpoint:
            raise UsageError(
                f"<output_dir> holds no checkpoint to {purpose}: train with <do_train> first.",
                output_dir=config.output_dir,
                do_train=None,
            )
        return self._checked("init_checkpoint")

    def _checked(self, setting):
        """Returns the checkpoint of a setting, which fits the task and the model."""
        path = getattr(self._config, setting)
        self._run.check_checkpoint(setting)
        self._predictor.check(path, setting)
        return path

    def _metrics_of(self, checkpoint):
        """Returns the recorded metrics of a checkpoint, or None if it was never evaluated."""
        record = self._record(os.path.dirname(checkpoint))
        return record.metrics_by_step().get(checkpoints.read_step(checkpoint))

    def _record(self, folder):
        """Returns the evaluations recorded in a folder, on any data."""
        return EvaluationRecord(
            folder, self._task.best_metric, greater_is_better=self._task.greater_is_better
        )

    def summarize(self) -> None:
        """Logs the training time and the best step, and draws the learning curve.

        It is the chief's, of a cluster.
        """
        if not self._config.is_chief:
            return
        output_dir = self._config.output_dir
        record = self._evaluator.record if self._evaluator else self._record(output_dir)
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
            self._task,
            self._predictor,
            config.output_dir,
            feature_files,
            config.eval_batch_size,
            # Where a run was stopped must not count: it ends as if it had not been.
            config.evaluation_interval if self._is_training else config.eval_steps,
        )
        return self._evaluator

    def _check_best(self):
        """Raises UsageError if the best checkpoint, which others must be compared with, is damaged.

        Only the holder of the lock may call it, since it completes an interrupted copy.
        """
        checkpoints.finish_keeping(self._config.output_dir)
        best = checkpoints.best(self._config.output_dir)
        if best:
            checkpoints.check(best)

    def _check_identity(self):
        """Checks, once, that this is the run in output_dir; training has checked that already."""
        if not self._is_checked:
            self._run.check(is_training=False)
            self._run.warn_of_changes()
        self._is_checked = True

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
            "Training on %s%s in %s: %d examples, batch %s on each of %d replica(s), %d in all.",
            ", ".join(self._devices),
            f" of each of {config.num_workers} workers" if self._member else "",
            config.precision,
            examples.num_features,
            f"{config.train_batch_size} x {config.gradient_accumulation_steps}"
            if config.gradient_accumulation_steps > 1
            else config.train_batch_size,
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
        elif not config.init_checkpoint and not self._task.starts_from_scratch:
            _log.warning(
                "No initial checkpoint: training from random weights, which is far worse than "
                "fine-tuning a pre-trained model."
            )


def _interrupted(message: str, signal: int) -> Interrupted:
    return Interrupted(f"{message} The same command resumes from there.", signal)


def _max_samples(task: Task, config: FinetuneConfig) -> Dict[str, int]:
    """Returns Task.max_samples; of a split that is evaluated and predicted, prediction decides."""
    limits = (
        ([task.train_split], config.max_train_samples),
        (task.dev_splits, config.max_eval_samples),
        (task.test_splits, config.max_predict_samples),
    )
    return {split: limit for splits, limit in limits for split in splits if limit is not None}
