"""The loop of updates: on one device, on several, or in step with the other workers of a cluster.

Only this module and model_fn know Estimator.
"""

import contextlib
import os
import time
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert.cluster import strategy
from albert.cluster.control import Member
from albert.cluster.lockstep import BeginTogether, Lockstep
from albert.common import locks
from albert.common.errors import UsageError
from albert.engine import devices as devices_lib
from albert.engine.config import FinetuneConfig
from albert.engine.evaluation import Evaluator
from albert.engine.hooks import (
    CheckpointSaver,
    EvaluateAfterSave,
    ProgressHook,
    SkippedUpdates,
    StopOnSignal,
)
from albert.engine.input_pipeline import (
    Features,
    Share,
    explaining_loss_of,
    next_batch_of,
    train_dataset,
)
from albert.engine.model_fn import StepValues, model_fn
from albert.engine.progress import Progress
from albert.engine.task import Task

SECONDS_TO_SHARE = 60.0  # NFS may show an old state for so long
_TF_CONFIG = "TF_CONFIG"


class Start(NamedTuple):
    """Where training goes on.

    Attributes:
        checkpoint: its prefix; None at the beginning of a run.
        step: updates behind it.
        batches_consumed: global batches that these updates, and those that were skipped, have seen.
    """

    checkpoint: Optional[str] = None
    step: int = 0
    batches_consumed: int = 0

    def seen_in(self, output_dir: str, holder: str) -> "Start":
        """Returns a chief's Start for a worker whose output_dir may have another path.

        Waits until the worker sees there what the chief sees, since storage may take its time.

        Args:
            holder: who holds the lock of output_dir, as the chief reads it.

        Raises:
            UsageError: it does not within SECONDS_TO_SHARE.
        """
        name = os.path.basename(self.checkpoint or "")
        ends = time.monotonic() + SECONDS_TO_SHARE
        while (
            os.path.basename(tf.train.latest_checkpoint(output_dir) or "") != name
            or locks.holder_of(output_dir) != holder
        ):
            if time.monotonic() >= ends:
                raise UsageError(
                    "<output_dir> is not the chief's: it must be on storage that all workers "
                    "share.",
                    output_dir=output_dir,
                )
            time.sleep(1.0)
        return self._replace(checkpoint=os.path.join(output_dir, name) if name else None)


class TrainingLoop:
    """Trains a task up to train_steps, and saves checkpoints.

    Args:
        devices: names of this worker's devices.
        examples: features to train on.
        start: where to go on; Estimator finds the same checkpoint in output_dir.
        stop: stops the loop after a step, on this worker or from the chief of a cluster.
        evaluator: evaluates each checkpoint.
        member: this worker's part in the cluster, if there are several.

    Attributes:
        progress: steps and speed so far.
    """

    def __init__(
        self,
        task: Task,
        config: FinetuneConfig,
        devices: Sequence[str],
        examples: Features,
        start: Start,
        stop: StopOnSignal,
        evaluator: Optional[Evaluator] = None,
        member: Optional[Member] = None,
    ) -> None:
        self._task = task
        self._config = config
        self._devices = devices
        self._examples = examples
        self._start = start
        self._member = member
        self._step_values = StepValues()
        self._begun = _Begun()
        self._progress_hook = ProgressHook(
            self._step_values, config.train_steps, config.global_batch_size, config.output_dir
        )
        self._hooks = self._make_hooks(evaluator, stop)

    @property
    def progress(self) -> Progress:
        return self._progress_hook.progress

    def _make_hooks(self, evaluator: Optional[Evaluator], stop: StopOnSignal) -> List[Any]:
        config, member = self._config, self._member
        skipped = SkippedUpdates(self._step_values, config)
        # The saver also evaluates. It comes after the progress hook, whose times exclude that, and
        # before those that stop the loop, which must notice signals that arrive meanwhile.
        saver = CheckpointSaver(
            config.output_dir,
            save_steps=config.save_checkpoints_steps,
            listeners=[EvaluateAfterSave(evaluator, stop, config)] if evaluator else [],
        )
        if not member:
            return [self._begun, self._progress_hook, skipped, saver, stop]
        lockstep = Lockstep(member, stop, self._step_values, config.save_checkpoints_steps)
        if not member.cluster.is_chief:
            return [self._begun, skipped, BeginTogether(member), lockstep]
        begin = BeginTogether(member)
        return [self._begun, self._progress_hook, skipped, begin, saver, lockstep]

    def run(self) -> None:
        """Trains until train_steps, or until it is stopped.

        Raises:
            UsageError: memory does not suffice, the features were changed meanwhile, a gradient is
                not finite, or the workers cannot go on together.
        """
        config = self._config
        session_config = devices_lib.session_config(self._devices)
        use_xla = devices_lib.uses_xla(
            self._devices, config.precision, config.albert_config, config.xla
        )
        estimator = tf.estimator.Estimator(
            model_fn(self._task, config, self._start.checkpoint, self._step_values, use_xla),
            config=self._run_config(session_config),
        )
        # The model function has nothing for AutoGraph to convert, and AutoGraph would replace the
        # message of a UsageError raised there with a paragraph of its own.
        train = tf.autograph.experimental.do_not_convert(estimator.train)
        try:
            with explaining_loss_of(self._examples), self._explaining_lack_of_memory():
                train(self._input_fn, hooks=self._hooks, max_steps=config.train_steps)
        except tf.errors.OpError:
            if self._member:
                self._member.wait_for_loss()
            raise
        finally:
            self._progress_hook.close()

    def _make_strategy(self, session_config):
        """Returns the strategy, and the target of its sessions.

        The strategy of a cluster adds what it needs to the ConfigProto of the sessions.
        """
        config = self._config
        if not self._member:
            return devices_lib.make_strategy(self._devices, config.all_reduce), ""
        cluster = self._member.cluster
        distributed = strategy.make_strategy(cluster, self._devices, config.all_reduce)
        distributed.configure(session_config)
        self._server = strategy.start_server(cluster, session_config)  # serves while it is there
        return distributed, self._server.target

    def _run_config(self, session_config):
        config = self._config
        distributed, master = self._make_strategy(session_config)
        with _without_tf_config():  # Estimator would take over, and refuse to train
            run_config = _RunConfig(
                model_dir=config.output_dir,
                tf_random_seed=config.seed,
                session_config=session_config,
                save_checkpoints_secs=None,  # a CheckpointSaverHook does that
                save_summary_steps=0,  # ProgressHook does that
                keep_checkpoint_max=config.keep_checkpoint_max,
                log_step_count_steps=None,  # ProgressHook does that
                train_distribute=distributed,
            )
        run_config.session_master = master
        return run_config

    def _input_fn(self):
        config = self._config
        rank = self._member.cluster.rank if self._member else 0
        share = Share(config.num_workers, rank, config.num_local_replicas)
        return next_batch_of(
            train_dataset(
                self._examples,
                self._task.feature_spec(),
                config.replica_batch_size,
                config.seed,
                num_consumed=self._start.batches_consumed * config.global_batch_size,
                share=share,
            )
        )

    @contextlib.contextmanager
    def _explaining_lack_of_memory(self) -> Iterator[None]:
        """Turns the error of a block that trains into one line if memory does not suffice."""
        try:
            yield
        except tf.errors.ResourceExhaustedError as error:
            if "No space left" in error.message:  # on a disk
                raise
            if not self._begun.has_begun:
                raise devices_lib.no_memory_for_weights(self._devices) from error
            config = self._config
            raise devices_lib.no_memory_to_train(
                config.train_batch_size,
                config.gradient_accumulation_steps,
                config.recompute_activations,
                config.precision,
            ) from error


class _RunConfig(tf.estimator.RunConfig):
    """A RunConfig with the target of the sessions, otherwise that of TF_CONFIG."""

    session_master = ""

    @property
    def master(self) -> str:
        return self.session_master


class _Begun(tf.train.SessionRunHook):
    """Knows whether all variables have had their values, so that steps can be run."""

    has_begun = False

    def after_create_session(self, session: Any, coord: Any) -> None:
        del session, coord
        self.has_begun = True


@contextlib.contextmanager
def _without_tf_config():
    value = os.environ.pop(_TF_CONFIG, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[_TF_CONFIG] = value
