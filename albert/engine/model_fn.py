"""The graph of a task: the model with the task's head, and the training step."""

import logging
import zlib
from typing import Any, Callable, Dict, Optional

import tensorflow.compat.v1 as tf

from albert.custom_optimization import learning_rate_schedule, minimize
from albert.engine import pretrained
from albert.engine.config import FinetuneConfig
from albert.engine.task import INPUT_IDS, INPUT_MASK, ModelOutput, Task
from albert.modeling import AlbertConfig, AlbertModel

# A variable that counts attempted updates. Data order and dropout depend on it, so that a killed
# run resumes in exactly the state in which its checkpoint was written.
BATCHES_CONSUMED = "batches_consumed"
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
) -> ModelOutput:
    """Returns the output of the task's head on a new AlbertModel in the current graph.

    Args:
        features: {name: tensor}, a batch from the input pipeline.
        dropout_seed: int64 tensor [2], used if `is_training`.
        packed_tokens: compute only real tokens, not padding.
    """
    model = AlbertModel(
        albert_config,
        is_training,
        input_ids=_flatten_sequences(features[INPUT_IDS]),
        input_mask=_flatten_sequences(features[INPUT_MASK]),
        token_type_ids=_flatten_sequences(features["segment_ids"]),
        dropout_seed=dropout_seed,
        packed_tokens=packed_tokens,
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
        self._losses: list = []
        self._learning_rates: list = []
        self._num_tokens: list = []

    def add(self, loss: Any, learning_rate: Any, num_tokens: Any) -> None:
        """Adds a replica's mean loss, learning rate and number of real tokens, all scalars."""
        self._losses.append(loss)
        self._learning_rates.append(learning_rate)
        self._num_tokens.append(num_tokens)

    def fetches(self) -> Dict[str, Any]:
        """Returns {name: scalar tensor}: mean loss, learning rate and total number of tokens."""
        return {
            "loss": tf.add_n(self._losses) / len(self._losses),
            "learning_rate": self._learning_rates[0],
            "num_tokens": tf.add_n(self._num_tokens),
        }


def model_fn(
    task: Task,
    config: FinetuneConfig,
    init_checkpoint: Optional[str],
    step_values: StepValues,
) -> Callable[..., Any]:
    """Returns Estimator's model function, which builds one replica's training step.

    Args:
        init_checkpoint: source of the initial values; None if the run resumes.
        step_values: receives the tensors of every replica's step.
    """

    def training_step(features, mode):
        batches_consumed = _batches_consumed()
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        with tf.variable_scope("", custom_getter=_seeded_getter(config.seed)):
            output = build(
                task,
                config.albert_config,
                features,
                is_training=True,
                dropout_seed=_dropout_seed(config.seed, replica, batches_consumed),
                packed_tokens=config.packed_tokens,
            )
        if init_checkpoint:
            is_first_replica = tf.get_static_value(replica) in (0, None)
            _load_pretrained(init_checkpoint, config.discard_classifier_weights, is_first_replica)
        learning_rate = _learning_rate(config)
        update = minimize(output.loss, learning_rate, config.optimizer)
        with tf.control_dependencies([update]):
            train_op = tf.group(batches_consumed.assign_add(1))
        step_values.add(output.loss, learning_rate, tf.reduce_sum(features[INPUT_MASK]))
        # Estimator sums this loss over the replicas, and stops if it is NaN.
        mean_loss = output.loss / config.num_replicas
        return tf.estimator.EstimatorSpec(mode, loss=mean_loss, train_op=train_op)

    return training_step


def _learning_rate(config):
    step = tf.train.get_global_step()
    return learning_rate_schedule(
        step, config.learning_rate, config.train_steps, config.warmup_steps
    )


def _batches_consumed():
    return tf.get_variable(
        BATCHES_CONSUMED,
        shape=[],
        dtype=tf.int64,
        initializer=tf.zeros_initializer(),
        trainable=False,
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


def _load_pretrained(init_checkpoint, discard_classifier_weights, is_first_replica):
    missing = pretrained.load(init_checkpoint, discard_classifier_weights)
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
