"""The graph of a task on its model: what is trained and what predicts."""

import logging
import zlib

import tensorflow.compat.v1 as tf

from albert import custom_optimization, modeling
from albert.engine import pretrained
from albert.engine.hooks import NUM_TOKENS
from albert.engine.task import INPUT_IDS, INPUT_MASK

# Advances by one with every attempted update; data order and dropout follow it, so that a run
# that was killed goes on exactly where its checkpoint was written.
BATCHES_CONSUMED = "batches_consumed"
_PLACES_PER_BATCH = 1 << 16  # room for the places of dropout between two batches' seeds

_log = logging.getLogger(__name__)


def model_fn(task, config, init_checkpoint, features, mode):
    """Returns the EstimatorSpec of one replica's training step."""
    batches_consumed = tf.get_variable(
        BATCHES_CONSUMED,
        shape=[],
        dtype=tf.int64,
        initializer=tf.zeros_initializer(),
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    dropout_seed = tf.stack(
        [
            config.seed * _PLACES_PER_BATCH + tf.cast(replica, tf.int64),
            batches_consumed.read_value() * _PLACES_PER_BATCH,
        ]
    )
    with tf.variable_scope("", custom_getter=_seeded_getter(config.seed)):
        output = build(
            task,
            config.albert_config,
            features,
            is_training=True,
            dropout_seed=dropout_seed,
            packed_tokens=config.packed_tokens,
        )
    if init_checkpoint:
        missing = pretrained.load(init_checkpoint, config.discard_classifier_weights)
        if tf.get_static_value(replica) in (0, None):  # once, not on every replica
            num_found = len(tf.trainable_variables()) - len(missing)
            _log.info("%d variables come from %s.", num_found, init_checkpoint)
            if missing:
                _log.info("Not there, so new: %s.", ", ".join(missing))
    train_op = custom_optimization.create_optimizer(
        output.loss,
        config.learning_rate,
        config.train_steps,
        config.warmup_steps,
        optimizer=config.optimizer,
    )
    with tf.control_dependencies([train_op]):
        train_op = tf.group(batches_consumed.assign_add(1))
    tf.add_to_collection(NUM_TOKENS, tf.reduce_sum(features[INPUT_MASK]))
    # Estimator shows the sum over the replicas: make that the mean of the global batch.
    shown_loss = output.loss / config.num_replicas
    return tf.estimator.EstimatorSpec(mode, loss=shown_loss, train_op=train_op)


def _seeded_getter(seed):
    """Returns a custom getter that makes initial values a function of (seed, variable name).

    TensorFlow's own seeds count the operations of the graph, so the same variable would begin
    differently with another number of replicas.
    """

    def getter(next_getter, name, *args, initializer=None, **kwargs):
        if initializer is not None and "seed" in initializer.get_config():
            own_seed = zlib.crc32(f"{seed} {name}".encode()) & 0x7FFFFFFF
            initializer = initializer.from_config(dict(initializer.get_config(), seed=own_seed))
        return next_getter(name, *args, initializer=initializer, **kwargs)

    return getter


def build(task, albert_config, features, is_training, dropout_seed=None, packed_tokens=True):
    """Returns the task's ModelOutput on a new AlbertModel in the current graph.

    Args:
        features: {name: tensor}, a batch as `input_pipeline` makes it.
        dropout_seed: int64 tensor [2], used if `is_training`.
        packed_tokens: compute real tokens only, not padding.
    """
    if not is_training:
        dropout_seed = tf.zeros([2], tf.int64)
    model = modeling.AlbertModel(
        albert_config,
        is_training,
        *(_sequences(features[name]) for name in (INPUT_IDS, INPUT_MASK, "segment_ids")),
        dropout_seed=dropout_seed,
        packed_tokens=packed_tokens,
    )
    return task.head(model, features, is_training)


def _sequences(tensor):
    """Returns what the model sees: [batch, seq] as it is, [batch, n, seq] -> [batch * n, seq]."""
    if tensor.shape.ndims == 2:
        return tensor
    return tf.reshape(tensor, [-1, tf.shape(tensor)[-1]])
