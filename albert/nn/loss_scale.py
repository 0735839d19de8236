"""Loss scaling keeps small gradients of float16 from becoming 0 (arXiv 1710.03740, 3.2)."""

from typing import Any, List, NamedTuple, Optional

import tensorflow.compat.v1 as tf

INITIAL_SCALE = 2.0**15
LARGEST_SCALE = 2.0**24
GOOD_UPDATES_TO_DOUBLE = 2000


class LossScale(NamedTuple):
    """The factor by which a loss is multiplied, and its gradient divided again.

    Attributes:
        scale: scalar float32, a variable if it adapts. It doubles after GOOD_UPDATES_TO_DOUBLE
            updates without an overflow and halves at each overflow, between 1 and LARGEST_SCALE.
        good_updates: int64 variable, their number since the scale last changed; None if the scale
            is fixed.
    """

    scale: Any
    good_updates: Any = None

    @classmethod
    def create(cls, fixed: Optional[float] = None) -> "LossScale":
        """Returns a fixed LossScale, or else one that adapts.

        Its variables are made, and so are in the checkpoint, in both cases: a run may be resumed
        with the other.
        """
        adaptive = cls(
            _variable("loss_scale", tf.float32, INITIAL_SCALE),
            _variable("loss_scale_good_updates", tf.int64, 0),
        )
        return adaptive if fixed is None else cls(tf.constant(fixed, tf.float32))

    def update(self, is_finite: Any) -> List[Any]:
        """Returns the ops that adapt the scale after an update.

        Args:
            is_finite: scalar bool, whether the gradient of the update was finite.
        """
        if self.good_updates is None:
            return []
        scale, count = self.scale.read_value(), self.good_updates.read_value() + 1
        is_doubled = tf.logical_and(is_finite, count >= GOOD_UPDATES_TO_DOUBLE)
        halved = tf.maximum(0.5 * scale, 1.0)
        doubled = tf.minimum(2.0 * scale, LARGEST_SCALE)
        next_scale = tf.where(is_finite, tf.where(is_doubled, doubled, scale), halved)
        is_counted = tf.logical_and(is_finite, tf.logical_not(is_doubled))
        next_count = tf.where(is_counted, count, tf.zeros_like(count))
        return [self.scale.assign(next_scale), self.good_updates.assign(next_count)]


def _variable(name: str, dtype: Any, value: float) -> Any:
    return tf.get_variable(
        name,
        shape=[],
        dtype=dtype,
        initializer=tf.constant_initializer(value),
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
