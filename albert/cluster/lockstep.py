"""Session hooks that keep the workers of a cluster together, from the first step to the last."""

from typing import Any

import tensorflow.compat.v1 as tf

from albert.cluster.control import Member
from albert.common.errors import UsageError


class BeginTogether(tf.train.SessionRunHook):
    """Lets the workers of a cluster begin once all have their values, and only with the same ones.

    It comes before the CheckpointSaver: what the others restore must not change meanwhile.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self._has_begun = False

    def begin(self) -> None:
        self._global_step = tf.train.get_global_step()

    def after_create_session(self, session: Any, coord: Any) -> None:
        """Raises UsageError if the workers cannot go on, or do not begin at one step."""
        del coord
        if self._has_begun:  # TensorFlow tries again after an error that it takes for a passing one
            self._member.wait_for_loss()
            raise UsageError("The connections among TensorFlow's servers broke.")
        self._has_begun = True
        own = int(session.run(self._global_step))
        of_chief = self._member.exchange("begin", own)[0]
        if own != of_chief:
            raise UsageError(
                f"This worker begins at step {own}, and the chief at {of_chief}: <output_dir> must "
                "be on storage that all share.",
                output_dir=None,
            )


class Lockstep(tf.train.SessionRunHook):
    """Lets the workers of a cluster stop at the same step, and wait while the chief evaluates.

    It comes after the CheckpointSaver, which the chief alone has.

    Args:
        stop: an object whose `signal`, once it is there in the chief, stops all.
        step_values: the tensors of a step: `fetches()` has `num_skipped`, how many updates in a
            row changed nothing, and `stop`, above 0 on all workers if it was fed to the chief's
            placeholder `step_values.stop`.
        save_steps: updates between two checkpoints.
    """

    def __init__(self, member: Member, stop: Any, step_values: Any, save_steps: int) -> None:
        self._member = member
        self._stop = stop
        self._step_values = step_values
        self._save_steps = save_steps

    def begin(self) -> None:
        self._fetches = self._step_values.fetches()
        self._global_step = tf.train.get_global_step()

    def after_create_session(self, session: Any, coord: Any) -> None:
        del coord
        self._step = int(session.run(self._global_step))

    def before_run(self, run_context: Any) -> Any:
        del run_context
        is_to_stop = self._member.cluster.is_chief and self._stop.signal is not None
        fetches = {name: self._fetches[name] for name in ("num_skipped", "stop")}
        return tf.train.SessionRunArgs(fetches, {self._step_values.stop: float(is_to_stop)})

    def after_run(self, run_context: Any, run_values: Any) -> None:
        values = run_values.results
        is_over = values["stop"] > 0
        if not values["num_skipped"]:
            self._step += 1
            if self._step % self._save_steps == 0:  # the chief has evaluated
                point = f"step {self._step}"
                is_over |= self._member.exchange(point, run_context.stop_requested)[0]
        if is_over:
            run_context.request_stop()
