"""The graph of a task: the model with the task's head, and the training step."""

import logging
import zlib
from typing import Any, Callable, Dict, List, Optional

import tensorflow.compat.v1 as tf

from albert.custom_optimization import flat_gradient, learning_rate_schedule, update
from albert.engine import checkpoints, pretrained
from albert.engine.config import FinetuneConfig
from albert.engine.task import INPUT_IDS, INPUT_MASK, ModelOutput, Task
from albert.modeling import ENCODER, AlbertConfig, AlbertModel, depth_of, name_of
from albert.nn.loss_scale import LossScale
from albert.nn.precision import COMPUTE_TYPES

# A variable that counts attempted updates. Data order and dropout depend on it, so that a killed
# run resumes in exactly the state in which its checkpoint was written.
BATCHES_CONSUMED = "batches_consumed"
# A variable that counts how many updates in a row, up to the last one, changed nothing.
SKIPPED_IN_A_ROW = "skipped_in_a_row"
# Each dropout call adds 1 to the seed; the seeds of successive steps are this far apart.
_DROPOUT_CALLS_PER_STEP = 1 << 16

_log = logging.getLogger(__name__)


def build(
    task: Task,
    albert_config: AlbertConfig,
    features: Dict[str, Any],
    is_training: bool,
    dropout_seed: Any = None,
    packed_tokens: bool = True,
    precision: str = "fp32",
    recompute_activations: bool = False,
    use_xla: bool = False,
) -> ModelOutput:
    """Returns the output of the task's head on a new AlbertModel in the current graph.

    Args:
        features: {name: tensor}, a batch from the input pipeline.
        dropout_seed: int64 tensor [2], used if `is_training`.
        packed_tokens: compute only real tokens, not padding.
        precision: a key of nn.precision.COMPUTE_TYPES.
        recompute_activations, use_xla: see AlbertModel.
    """
    model = AlbertModel(
        albert_config,
        is_training,
        input_ids=_flatten_sequences(features[INPUT_IDS]),
        input_mask=_flatten_sequences(features[INPUT_MASK]),
        token_type_ids=_flatten_sequences(features["segment_ids"]),
        dropout_seed=dropout_seed,
        packed_tokens=packed_tokens,
        compute_type=COMPUTE_TYPES[precision],
        recompute_activations=recompute_activations,
        use_xla=use_xla,
    )
    return task.head(model, features, is_training)


def _flatten_sequences(tensor):
    """Returns one row per sequence: [batch, seq] unchanged, [batch, n, seq] -> [batch * n, seq]."""
    if tensor.shape.ndims == 2:
        return tensor
    return tf.reshape(tensor, [-1, tf.shape(tensor)[-1]])


class StepValues:
    """Tensors of the training step that hooks report.

    The model function adds those of every replica; `fetches` combines them.
    """

    def __init__(self) -> None:
        self._of_replicas: List[Dict[str, Any]] = []
        self.stop: Any = None  # of a cluster: fed above 0 in the chief, it ends the run on all

    def add(self, **values: Any) -> None:
        """Adds a replica's scalars.

        Args:
            loss: its mean over the replicas is the loss of the global batch.
            num_tokens: real tokens.
            stop: above 0 on all workers, in the same step, if the chief is to stop.
            learning_rate: that of this update.
            num_skipped: how many updates in a row, up to this one, changed nothing, because their
                gradient was not finite; 0 if this one was applied.
        """
        self._of_replicas.append(values)

    def fetches(self) -> Dict[str, Any]:
        """Returns {name: scalar tensor}, as for `add`, of all replicas together."""
        losses, num_tokens = (
            tf.add_n([values[name] for values in self._of_replicas])
            for name in ("loss", "num_tokens")
        )
        loss = losses / len(self._of_replicas)
        return dict(self._of_replicas[0], loss=loss, num_tokens=num_tokens)

    def make_stop(self) -> Any:
        """Returns what hooks feed to stop a cluster: one placeholder, of the first replica."""
        if self.stop is None:
            self.stop = tf.placeholder_with_default(0.0, [])
            return self.stop
        return tf.constant(0.0)


def model_fn(
    task: Task,
    config: FinetuneConfig,
    start: Optional[str],
    step_values: StepValues,
    use_xla: bool = False,
) -> Callable[..., Any]:
    """Returns Estimator's model function, which builds one replica's training step.

    Args:
        start: the checkpoint from which the run resumes; None if it begins, from the initial one.
        step_values: receives the tensors of every replica's step.
        use_xla: see AlbertModel.
    """

    init_checkpoint = None if start else config.init_checkpoint
    # Runs of earlier releases did not save it: theirs counts from the start of each process.
    saves_skipped = not start or checkpoints.has_variable(start, SKIPPED_IN_A_ROW)

    def training_step(features, mode):
        batches_consumed = _counter(BATCHES_CONSUMED)
        skipped = _counter(SKIPPED_IN_A_ROW, is_saved=saves_skipped)
        replica = _replica_number(config)
        loss_scale = None
        if config.precision == "fp16":
            loss_scale = LossScale.create(config.loss_scale)
        loss, flat, variables = _gradient(
            task, config, features, replica, batches_consumed, loss_scale, use_xla
        )
        if init_checkpoint:
            is_first_replica = tf.get_static_value(replica) in (0, None)
            _load_pretrained(init_checkpoint, config, is_first_replica)
        learning_rate = _learning_rate(config)
        step = update(
            flat,
            variables,
            learning_rate,
            config.optimizer,
            bias_correction=config.bias_correction,
            loss_scale=loss_scale,
            rate_factor=_rate_factor(config),
        )
        num_skipped = tf.where(step.is_finite, tf.zeros([], tf.int64), skipped.read_value() + 1)
        with tf.control_dependencies([step.op]):
            train_op = tf.group(batches_consumed.assign_add(1), skipped.assign(num_skipped))
        num_tokens = tf.reduce_sum(features[INPUT_MASK])
        of_cluster = {}
        if config.num_workers > 1:
            with tf.control_dependencies([step.op]):  # NCCL must not see two reductions at once
                loss, num_tokens, stop = _of_all_workers(
                    config, loss, num_tokens, step_values.make_stop()
                )
            of_cluster = {"stop": stop}
        step_values.add(
            loss=loss,
            num_tokens=num_tokens,
            learning_rate=learning_rate,
            num_skipped=num_skipped,
            **of_cluster,
        )
        # Estimator sums this loss over the replicas, and would stop if it were NaN: on_nan decides.
        finite_loss = tf.where(step.is_finite, loss, tf.zeros_like(loss)) / config.num_replicas
        return tf.estimator.EstimatorSpec(mode, loss=finite_loss, train_op=train_op)

    return training_step


def _replica_number(config):
    """Returns the number of this replica among those of all workers."""
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    if config.num_workers == 1:
        return number
    # TensorFlow 1.15 counts those of each worker from 0.
    number = tf.get_static_value(number) % config.num_local_replicas
    return config.cluster.rank * config.num_local_replicas + number


def _of_all_workers(config, loss, num_tokens, stop):
    """Returns loss, tokens and the sum of `stop` such that the workers have the same ones.

    Over a worker's replicas the mean of the losses, and the sum of the tokens, are those of all.
    """
    context = tf.distribute.get_replica_context()
    values = tf.stack([loss, tf.cast(num_tokens, tf.float32), stop])
    loss, num_tokens, stop = tf.unstack(context.all_reduce(tf.distribute.ReduceOp.MEAN, values))
    return loss, num_tokens * config.num_workers, stop


def _gradient(task, config, features, replica, batches_consumed, loss_scale, use_xla):
    """Returns (loss, gradient as one vector, its variables) of a replica's micro-batches.

    The means over the replicas of loss and gradient are those of the global batch; the gradient is
    multiplied by the loss scale.

    Args:
        features: of all micro-batches, in order.
    """
    num_batches = config.gradient_accumulation_steps
    scale = 1.0 if loss_scale is None else tf.identity(loss_scale.scale)
    weights = _loss_weights(task, features)
    variables: List[Any] = []

    def of_batch(number, batch):
        # Micro-batches draw their dropout as if each were a replica's.
        share = tf.cast(replica, tf.int64) * num_batches + tf.cast(number, tf.int64)
        with tf.variable_scope("", custom_getter=_seeded_getter(config.seed)):
            output = build(
                task,
                config.albert_config,
                batch,
                is_training=True,
                dropout_seed=_dropout_seed(config.seed, share, batches_consumed),
                packed_tokens=config.packed_tokens,
                precision=config.precision,
                recompute_activations=config.recompute_activations,
                use_xla=use_xla,
            )
        terms = [
            term / (config.replica_batch_size if weights is None else weight)
            for term, weight in zip(output.loss_sums, weights or output.loss_sums)
        ]
        loss = tf.add_n(terms)
        flat, variables[:] = flat_gradient(loss, scale, _variables_to_train(config))
        return loss, flat

    if num_batches == 1:
        return (*of_batch(0, features), variables)

    def add_batch(number, loss, flat):
        more_loss, more = of_batch(number, _micro_batch(features, number, config.train_batch_size))
        return number + 1, loss + more_loss, flat + more

    # One batch at a time, in a loop and not unrolled, has the memory and the graph of one batch.
    _, loss, flat = tf.while_loop(
        lambda number, *_: number < num_batches,
        add_batch,
        [tf.constant(0), tf.constant(0.0), tf.zeros([1])],  # zeros broadcast to the gradient
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([]), tf.TensorShape([None])],
        parallel_iterations=1,
        back_prop=False,
    )
    flat.set_shape([sum(variable.shape.num_elements() for variable in variables)])
    return loss, flat, variables


def _loss_weights(task, features):
    """Returns the weight of each loss term, as a mean over the replicas; None counts examples."""
    weights = task.loss_weights(features)
    if weights is None:
        return None
    context = tf.distribute.get_replica_context()
    return [context.all_reduce(tf.distribute.ReduceOp.MEAN, weight) for weight in weights]


def _micro_batch(features, number, batch_size):
    """Returns one micro-batch of a replica's features, with padding up to its longest sequence."""
    batch = {
        name: value[number * batch_size : (number + 1) * batch_size]
        for name, value in features.items()
    }
    longest = tf.reduce_max(tf.reduce_sum(batch[INPUT_MASK], axis=-1))
    return {
        name: value[..., :longest] if value.shape.ndims > 1 else value
        for name, value in batch.items()
    }


def _learning_rate(config):
    return learning_rate_schedule(
        tf.train.get_global_step(),
        config.learning_rate,
        config.train_steps,
        config.warmup_steps,
        config.poly_power,
        config.start_warmup_step,
    )


def _rate_factor(config):
    """Returns a function from a variable to the factor on its learning rate."""
    model = config.albert_config
    top = depth_of(f"{ENCODER}pooler/dense/kernel", model)
    return lambda variable: config.layerwise_lr_decay ** (top - depth_of(name_of(variable), model))


def _variables_to_train(config):
    """Returns the trainable variables without those that are frozen."""

    def is_frozen(name):
        if config.freeze == "encoder":
            return name.startswith(ENCODER)
        return config.freeze == "embeddings" and depth_of(name, config.albert_config) == 0

    return [variable for variable in tf.trainable_variables() if not is_frozen(name_of(variable))]


def _counter(name, is_saved=True):
    """Returns an int64 variable that starts at 0 and is the same on all replicas."""
    keys = tf.GraphKeys
    return tf.get_variable(
        name,
        shape=[],
        dtype=tf.int64,
        initializer=tf.zeros_initializer(),
        trainable=False,
        collections=[keys.GLOBAL_VARIABLES if is_saved else keys.LOCAL_VARIABLES],
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def _dropout_seed(seed, replica, batches_consumed):
    """Returns the seed of the dropout in one replica's step: int64 tensor [2]."""
    return tf.stack(
        [
            seed * _DROPOUT_CALLS_PER_STEP + tf.cast(replica, tf.int64),
            batches_consumed.read_value() * _DROPOUT_CALLS_PER_STEP,
        ]
    )


def _load_pretrained(init_checkpoint, config, is_first_replica):
    num_groups = config.albert_config.num_hidden_groups if config.init_from_group0 else 0
    missing = pretrained.load(init_checkpoint, config.discard_classifier_weights, num_groups)
    if not is_first_replica:  # one log line, not one for every replica
        return
    num_found = len(tf.trainable_variables()) - len(missing)
    _log.info("Loaded %d variables from %s.", num_found, init_checkpoint)
    if missing:
        _log.info("Not in it, so newly initialized: %s.", ", ".join(missing))


def _seeded_getter(seed):
    """Returns a custom getter that makes initial values depend only on (seed, variable name).

    TensorFlow's own seeds depend on the number of operations in the graph, so a variable's initial
    value would change with the number of replicas.
    """

    def getter(next_getter, name, *args, initializer=None, **kwargs):
        if initializer is not None and "seed" in initializer.get_config():
            variable_seed = zlib.crc32(f"{seed} {name}".encode()) & 0x7FFFFFFF
            initializer = initializer.from_config(
                dict(initializer.get_config(), seed=variable_seed)
            )
        return next_getter(name, *args, initializer=initializer, **kwargs)

    return getter
