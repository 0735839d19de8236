"""AdamW and LAMB whose updates do not depend on how many replicas share the batch.

On N replicas with local batch b an update equals that of one device with batch N * b. The gradients
of a replica are made dense, concatenated into one float32 vector, averaged over the replicas in one
all-reduce, clipped once, and then applied. The same code runs without a strategy.

A gradient that is not finite changes nothing on any replica, since all see the same reduced vector.
The update is then computed with factors of 0. That costs nothing, and a tf.cond beside the
all-reduce could block the replicas.
"""

import re
from typing import Any, Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert.common.errors import UsageError
from albert.nn.loss_scale import LossScale

CLIP_NORM = 1.0  # of the mean gradient of the global batch, as in BERT's and ALBERT's pre-training
NOT_DECAYED = ("LayerNorm", "layer_norm", "bias")


class Update(NamedTuple):
    """One update of all variables.

    Attributes:
        op: applies it on every replica and adds 1 to the global step; or changes neither weights,
            moments nor step, if the gradient is not finite.
        is_finite: scalar bool, whether the gradient of the global batch is finite.
    """

    op: Any
    is_finite: Any


class _Scalars(NamedTuple):
    """The scalars of an update, the same for all variables.

    Attributes:
        rate: the learning rate.
        beta_1, beta_2: share of the old value in a moment.
        m_factor, v_factor: correct the bias of the moments.
        adam_rate, adam_epsilon: rate and epsilon with these factors moved into them.
        zero: 0.0.
    """

    rate: Any
    beta_1: Any
    beta_2: Any
    m_factor: Any
    v_factor: Any
    adam_rate: Any
    adam_epsilon: Any
    zero: Any

    def with_rate_times(self, factor: float) -> "_Scalars":
        """Returns the scalars for a variable whose learning rate is `factor` times the rate."""
        if factor == 1.0:
            return self
        return self._replace(rate=self.rate * factor, adam_rate=self.adam_rate * factor)


def create_optimizer(
    loss: Any,
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int,
    optimizer: str = "adamw",
    clip_norm: Optional[float] = CLIP_NORM,
    bias_correction: bool = False,
    poly_power: float = 1.0,
    start_warmup_step: int = 0,
) -> Any:
    """Returns the op that applies one update with the scheduled rate and increments the step.

    Args:
        loss: scalar, the mean over this replica's batch.
        init_lr: the peak of the schedule.
        num_train_steps: the step at which the rate reaches 0.
        num_warmup_steps: steps of linear warm-up.
        optimizer, clip_norm, bias_correction: see `minimize`.
        poly_power, start_warmup_step: see `learning_rate_schedule`.
    """
    learning_rate = learning_rate_schedule(
        tf.train.get_or_create_global_step(),
        init_lr,
        num_train_steps,
        num_warmup_steps,
        poly_power,
        start_warmup_step,
    )
    return minimize(loss, learning_rate, optimizer, clip_norm, bias_correction)


def minimize(
    loss: Any,
    learning_rate: Any,
    optimizer: str = "adamw",
    clip_norm: Optional[float] = CLIP_NORM,
    bias_correction: bool = False,
) -> Any:
    """Returns the op that updates all trainable variables and increments the global step.

    Args:
        loss: scalar, the mean over this replica's batch.
        learning_rate: scalar float32 tensor.
        optimizer: a key of OPTIMIZERS.
        clip_norm: largest global norm of the mean gradient; None disables clipping.
        bias_correction: divide the moments by 1 - beta^t (the released models were trained
            without it).

    Raises:
        UsageError: there is no such optimizer.
    """
    flat, variables = flat_gradient(loss)
    return update(flat, variables, learning_rate, optimizer, clip_norm, bias_correction).op


def flat_gradient(
    loss: Any, loss_scale: Any = 1.0, variables: Optional[Sequence[Any]] = None
) -> Tuple[Any, List[Any]]:
    """Returns the gradient as one float32 vector, and the variables whose gradients it holds.

    These are the given variables that the loss depends on, in their order.

    Args:
        loss: scalar float32.
        loss_scale: scalar factor on the gradient.
        variables: None for all trainable ones.

    Raises:
        ValueError: the loss depends on no variable.
    """
    variables = tf.trainable_variables() if variables is None else list(variables)
    # Not compute_gradients: inside Estimator.train, and only there, that divides the loss by the
    # number of replicas.
    scale = tf.broadcast_to(tf.cast(loss_scale, loss.dtype), tf.shape(loss))
    gradients = tf.gradients(loss, variables, grad_ys=[scale])
    return _flatten_all(zip(gradients, variables))


def update(
    flat: Any,
    variables: List[Any],
    learning_rate: Any,
    optimizer: str = "adamw",
    clip_norm: Optional[float] = CLIP_NORM,
    bias_correction: bool = False,
    loss_scale: Optional[LossScale] = None,
    rate_factor: Optional[Callable[[Any], float]] = None,
) -> Update:
    """Returns the Update by this replica's part of the gradient, and the increment of the step.

    Args:
        flat, variables: from `flat_gradient`; the gradient is the mean over the replicas.
        learning_rate, optimizer, clip_norm, bias_correction: see `minimize`.
        loss_scale: the gradient is that much too large; it adapts to whether that is finite.
        rate_factor: see AdamWeightDecayOptimizer.

    Raises:
        UsageError: there is no such optimizer.
    """
    if optimizer not in OPTIMIZERS:
        raise UsageError(
            f"<optimizer> must be one of {', '.join(sorted(OPTIMIZERS))}.", optimizer=optimizer
        )
    rule = OPTIMIZERS[optimizer](
        learning_rate,
        weight_decay_rate=0.01,
        exclude_from_weight_decay=NOT_DECAYED,
        clip_norm=clip_norm,
        bias_correction=bias_correction,
        rate_factor=rate_factor,
    )
    global_step = tf.train.get_or_create_global_step()
    return rule.apply_flat(flat, variables, global_step, loss_scale=loss_scale)


def learning_rate_schedule(
    global_step: Any,
    init_lr: float,
    num_train_steps: int,
    num_warmup_steps: int,
    poly_power: float = 1.0,
    start_warmup_step: int = 0,
) -> Any:
    """Returns the learning rate at a step, a scalar float32.

    It is init_lr * step / warmup while step < warmup, and init_lr * (1 - step / num_train_steps),
    but never below 0, from then on. So at the end of warm-up it drops from init_lr to
    init_lr * (1 - warmup / num_train_steps), as it did for the published results.

    Args:
        poly_power: of the second factor.
        start_warmup_step: the step that warm-up counts from; up to it the rate is 0.
    """
    step = tf.cast(global_step, tf.float32)
    remaining = tf.maximum(0.0, 1.0 - step / float(num_train_steps))
    decayed = init_lr * (remaining if poly_power == 1.0 else tf.pow(remaining, poly_power))
    if not num_warmup_steps:
        return decayed
    warm_step = step - float(start_warmup_step)
    warming = init_lr * tf.maximum(0.0, warm_step) / float(num_warmup_steps)
    return tf.where(warm_step < float(num_warmup_steps), warming, decayed)


class AdamWeightDecayOptimizer(tf.train.Optimizer):
    """Adam with decoupled weight decay (arXiv 1711.05101), by default without bias correction.

    m = beta_1 m + (1 - beta_1) g
    v = beta_2 v + (1 - beta_2) g^2
    p = p - learning_rate (m / (sqrt(v) + epsilon) + weight_decay_rate p)

    Args:
        learning_rate: float or scalar tensor.
        weight_decay_rate: float.
        exclude_from_weight_decay: regular expressions; variables that match one are not decayed.
        clip_norm: largest global norm of the gradient averaged over replicas; None disables
            clipping.
        bias_correction: divide m by 1 - beta_1^t and v by 1 - beta_2^t, where t counts updates
            from 1; needs `global_step` in apply_gradients.
        rate_factor: returns, for a variable, what to multiply the learning rate by; None for 1.
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay_rate: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        exclude_from_weight_decay: Optional[Sequence[str]] = None,
        name: str = "AdamWeightDecayOptimizer",
        clip_norm: Optional[float] = None,
        bias_correction: bool = False,
        rate_factor: Optional[Callable[[Any], float]] = None,
    ) -> None:
        super().__init__(use_locking=False, name=name)
        self.learning_rate = learning_rate
        self.weight_decay_rate = weight_decay_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.exclude_from_weight_decay = tuple(exclude_from_weight_decay or ())
        self.clip_norm = clip_norm
        self.bias_correction = bias_correction
        self.rate_factor = rate_factor or (lambda variable: 1.0)

    def apply_gradients(
        self,
        grads_and_vars: Iterable[Tuple[Any, Any]],
        global_step: Any = None,
        name: Optional[str] = None,
    ) -> Any:
        """Returns the op that applies one update on all replicas and adds 1 to `global_step`.

        Args:
            grads_and_vars: pairs of the mean gradient over this replica's batch (dense,
                IndexedSlices or None) and its variable. Variables without a gradient do not change.

        Raises:
            ValueError: no variable has a gradient, or bias_correction lacks `global_step`.
        """
        flat, variables = _flatten_all(grads_and_vars)
        return self.apply_flat(flat, variables, global_step, name).op

    def apply_flat(
        self,
        flat: Any,
        variables: List[Any],
        global_step: Any = None,
        name: Optional[str] = None,
        loss_scale: Optional[LossScale] = None,
    ) -> Update:
        """Returns the Update by one vector that holds the gradients of all variables.

        Args:
            flat: float32 [number of weights], this replica's mean gradient, or loss_scale times it.
            variables: in the order of their gradients in the vector.

        Raises:
            ValueError: bias_correction lacks `global_step`.
        """
        if self.bias_correction and global_step is None:
            raise ValueError("bias_correction needs global_step.")
        context = tf.distribute.get_replica_context()
        scale_parts = [part for part in loss_scale or () if part is not None]
        op, is_finite = context.merge_call(
            self._distributed_apply,
            args=(flat, variables, global_step, name or self._name, scale_parts),
        )
        return Update(op, is_finite)

    def _distributed_apply(self, distribution, flat, variables, global_step, name, loss_scale):
        """Averages the flat gradient over the replicas and updates every copy of each variable.

        Returns:
            (op, whether the gradient is finite).
        """
        with tf.name_scope(name):
            mean = distribution.extended.reduce_to(
                tf.distribute.ReduceOp.MEAN, flat, destinations=variables[0]
            )
            local = distribution.experimental_local_results
            slots = [self._slots_of(variable) for variable in variables]
            rate_factors = [self.rate_factor(variable) for variable in variables]
            copies_of_all = zip(*[local(variable) for variable in variables])
            moments_of_all = zip(*[zip(local(m), local(v)) for m, v in slots])
            steps = local(global_step) if global_step is not None else ()
            scales = [LossScale(*copies) for copies in zip(*map(local, loss_scale))]
            factors = self._moment_factors(global_step)
            updates: List[Any] = []
            verdicts: List[Any] = []
            for index, (flat_copy, copies, moments) in enumerate(
                zip(local(mean), copies_of_all, moments_of_all)
            ):
                with tf.device(copies[0].device):
                    scale = tf.identity(scales[index].scale) if scales else 1.0
                    gradients, is_finite = self._clip_and_split(flat_copy, copies, scale)
                    verdicts.append(is_finite)
                    scalars = self._scalars(is_finite, factors)
                    for gradient, copy, (m, v), factor in zip(
                        gradients, copies, moments, rate_factors
                    ):
                        own = scalars.with_rate_times(factor)
                        updates += self._apply(gradient, copy, m, v, own)
            # The schedule and the bias correction must read the step before it changes, and the
            # updates the scale.
            with tf.control_dependencies(updates):
                for step, is_finite in zip(steps, verdicts):
                    updates.append(step.assign_add(tf.cast(is_finite, step.dtype.base_dtype)))
                for scale, is_finite in zip(scales, verdicts):
                    updates += scale.update(is_finite)
            return tf.group(*updates), verdicts[0]

    def _slots_of(self, variable):
        """Returns the moments (m, v) of a variable, mirrored like the variable itself.

        Their names are those in google-research's checkpoints: `<variable>/adam_m` and `adam_v`.
        """
        with tf.init_scope():
            return tuple(self._zeros_slot(variable, name, name) for name in ("adam_m", "adam_v"))

    def _moment_factors(self, global_step):
        """Returns the factors that correct the bias of m and v."""
        if not self.bias_correction:
            return 1.0, 1.0
        count = tf.cast(global_step, tf.float32) + 1.0
        return 1.0 / (1.0 - self.beta_1**count), 1.0 / (1.0 - self.beta_2**count)

    def _clip_and_split(self, flat, variables, scale):
        """Returns one gradient per variable, in its shape, and whether the whole is finite.

        The norm is that of the whole vector, in which repeated rows of IndexedSlices are summed. A
        gradient that is not finite comes back as 0.

        Args:
            flat: `scale` times the gradients of all variables.
        """
        norm = tf.sqrt(tf.reduce_sum(flat * flat)) / scale
        is_finite = tf.math.is_finite(norm)
        factor = tf.ones_like(norm)
        if self.clip_norm is not None:
            factor = self.clip_norm / tf.maximum(norm, self.clip_norm)
        factor = tf.where(is_finite, factor / scale, tf.zeros_like(norm))
        flat = tf.math.multiply_no_nan(flat, factor)
        sizes = [variable.shape.num_elements() for variable in variables]
        parts = tf.split(flat, sizes)
        gradients = [tf.reshape(part, variable.shape) for part, variable in zip(parts, variables)]
        return gradients, is_finite

    def _scalars(self, is_finite, factors):
        """Returns the _Scalars of an update; without a finite gradient, those that change nothing.

        Args:
            factors: from `_moment_factors`.
        """
        is_applied = tf.cast(is_finite, tf.float32)
        rate = is_applied * self.learning_rate
        m_factor, v_factor = factors
        return _Scalars(
            rate=rate,
            beta_1=1.0 - is_applied * (1.0 - self.beta_1),
            beta_2=1.0 - is_applied * (1.0 - self.beta_2),
            m_factor=m_factor,
            v_factor=v_factor,
            adam_rate=rate * m_factor / tf.sqrt(v_factor),
            adam_epsilon=self.epsilon / tf.sqrt(v_factor),
            zero=tf.constant(0.0),
        )

    def _apply(self, gradient, variable, m, v, scalars):
        """Returns the ops that update one copy of one variable and its moments."""
        decayed = []
        if self._matches_none(variable, self.exclude_from_weight_decay):
            decay = scalars.rate * self.weight_decay_rate
            decayed = [variable.assign_sub(decay * variable.read_value())]
        # TensorFlow's kernel reads and writes everything once. Without corrections of its own, of
        # beta_power 0, it computes m / (sqrt(v) + epsilon): ours are moved into rate and epsilon.
        is_reference = variable.dtype != variable.dtype.base_dtype  # without a strategy
        apply_adam = tf.raw_ops.ApplyAdam if is_reference else tf.raw_ops.ResourceApplyAdam
        var, m, v = (x if is_reference else x.handle for x in (variable, m, v))
        with tf.control_dependencies(decayed):
            applied = apply_adam(
                var=var,
                m=m,
                v=v,
                beta1_power=scalars.zero,
                beta2_power=scalars.zero,
                lr=scalars.adam_rate,
                beta1=scalars.beta_1,
                beta2=scalars.beta_2,
                epsilon=scalars.adam_epsilon,
                grad=gradient,
            )
        return [*decayed, applied]

    @staticmethod
    def _matches_none(variable, patterns):
        return not any(re.search(pattern, variable.op.name) for pattern in patterns)


class LAMBOptimizer(AdamWeightDecayOptimizer):
    """LAMB (arXiv 1904.00962): AdamW with each variable's update scaled by |p| / |update|.

    The ratio is 1 if either norm is 0. It is also 1 for variables that match a regular expression
    of `exclude_from_layer_adaptation`, by default those of `exclude_from_weight_decay`.
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay_rate: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        exclude_from_weight_decay: Optional[Sequence[str]] = None,
        exclude_from_layer_adaptation: Optional[Sequence[str]] = None,
        name: str = "LAMBOptimizer",
        clip_norm: Optional[float] = None,
        bias_correction: bool = False,
        rate_factor: Optional[Callable[[Any], float]] = None,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay_rate,
            beta_1,
            beta_2,
            epsilon,
            exclude_from_weight_decay,
            name,
            clip_norm,
            bias_correction,
            rate_factor,
        )
        if exclude_from_layer_adaptation is None:
            exclude_from_layer_adaptation = self.exclude_from_weight_decay
        self.exclude_from_layer_adaptation = tuple(exclude_from_layer_adaptation)

    def _apply(self, gradient, variable, m, v, scalars):
        parameter = variable.read_value()
        next_m = _moved(m.read_value(), gradient, 1.0 - scalars.beta_1)
        next_v = _moved(v.read_value(), gradient * gradient, 1.0 - scalars.beta_2)
        deviation = tf.sqrt(next_v * scalars.v_factor) + self.epsilon
        update = next_m * scalars.m_factor / deviation
        if self._matches_none(variable, self.exclude_from_weight_decay):
            update += self.weight_decay_rate * parameter
        rate = scalars.rate
        if self._matches_none(variable, self.exclude_from_layer_adaptation):
            rate *= _quotient_of_norms(parameter, update)
        return [variable.assign(parameter - rate * update), m.assign(next_m), v.assign(next_v)]


def _quotient_of_norms(parameter, update):
    """Returns |parameter| / |update|, or 1 if either is 0."""
    parameter_norm = tf.norm(parameter)
    update_norm = tf.norm(update)
    both = tf.logical_and(parameter_norm > 0.0, update_norm > 0.0)
    # tf.where evaluates both branches: the quotient must not divide by 0 even if it is unused.
    quotient = parameter_norm / tf.where(both, update_norm, tf.ones_like(update_norm))
    return tf.where(both, quotient, tf.ones_like(quotient))


def _moved(average, value, share):
    """Returns a moving average after a step towards a value."""
    return average + share * (value - average)


def _flatten_all(grads_and_vars):
    """Returns (all gradients as one float32 vector, the variables that have one)."""
    pairs = [(grad, variable) for grad, variable in grads_and_vars if grad is not None]
    if not pairs:
        raise ValueError("No variable has a gradient.")
    flat = tf.concat([_flatten(grad, variable) for grad, variable in pairs], axis=0)
    return flat, [variable for _, variable in pairs]


def _flatten(gradient, variable):
    """Returns a gradient as a float32 vector; repeated rows of IndexedSlices are summed."""
    if isinstance(gradient, tf.IndexedSlices):
        gradient = tf.math.unsorted_segment_sum(
            gradient.values, gradient.indices, variable.shape.as_list()[0]
        )
    return tf.reshape(tf.cast(gradient, tf.float32), [-1])


# {name: class}; all take the same constructor arguments.
OPTIMIZERS = {"adamw": AdamWeightDecayOptimizer, "lamb": LAMBOptimizer}
