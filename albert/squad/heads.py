"""Heads of SQuAD 1.1 and 2.0, with the variable names of the original."""

from typing import Any, Dict

import tensorflow.compat.v1 as tf

from albert.engine.task import ModelOutput
from albert.modeling import AlbertModel
from albert.nn.layers import ClassLogits, Dense, LayerNorm, mask_logits


def head_of_version_1(
    model: AlbertModel, features: Dict[str, Any], is_training: bool
) -> ModelOutput:
    """Returns the loss, half the sum of the cross-entropies of start and end, and the predictions.

    Predictions: `start_logits` and `end_logits`, float [batch, seq].
    """
    del is_training
    sequence = model.get_sequence_output()  # [batch, seq, hidden]
    with tf.variable_scope("cls/squad"):
        logits = ClassLogits(_width(sequence), 2)(sequence)  # [batch, seq, 2]
    # Padding is masked, so that the loss does not depend on how much of it the batch has.
    is_padding = 1.0 - tf.cast(features["input_mask"], tf.float32)
    start_logits, end_logits = (
        mask_logits(part, is_padding) for part in tf.unstack(logits, num=2, axis=-1)
    )
    loss = 0.5 * (
        _position_loss(start_logits, features["start_positions"])
        + _position_loss(end_logits, features["end_positions"])
    )
    return ModelOutput([loss], {"start_logits": start_logits, "end_logits": end_logits})


def head_of_version_2(
    model: AlbertModel,
    features: Dict[str, Any],
    is_training: bool,
    start_n_top: int,
    end_n_top: int,
    dropout_prob: float,
) -> ModelOutput:
    """Returns the loss in training, else the predictions.

    The end depends on the start: on the true one in training, else on each of the best ones. So
    each mode computes only what it returns.

    The loss is half the sum of the cross-entropies of start and end, plus half the sigmoid
    cross-entropy of `is_impossible`.

    Predictions, with starts = start_n_top and ends = end_n_top, or seq if that is less:
    - `start_index`, `start_log_probs`: the best starts, [batch, starts].
    - `end_index`, `end_log_probs`: the best ends for each of them, [batch, starts, ends].
    - `null_logits`: [batch], high if there is no answer.
    """
    sequence = model.get_sequence_output()
    p_mask = tf.cast(features["p_mask"], tf.float32)  # [batch, seq]
    start_logits = _start_logits(sequence, p_mask)
    null_logits = _null_logits(model, sequence, start_logits, dropout_prob)
    if is_training:
        starts = features["start_positions"][:, None]  # [batch, 1]
        end_logits = _end_logits(sequence, starts, p_mask)[:, 0]
        spans = _position_loss(start_logits, features["start_positions"]) + _position_loss(
            end_logits, features["end_positions"]
        )
        return ModelOutput([0.5 * spans + 0.5 * _null_loss(null_logits, features)], {})
    start_log_probs, starts = _best(start_logits, start_n_top, p_mask)
    end_log_probs, ends = _best(_end_logits(sequence, starts, p_mask), end_n_top, p_mask)
    predictions = {"start_index": starts, "start_log_probs": start_log_probs}
    predictions.update(end_index=ends, end_log_probs=end_log_probs, null_logits=null_logits)
    return ModelOutput([], predictions)


def _start_logits(sequence, p_mask):
    """Returns the logits of the start: [batch, seq, hidden] -> [batch, seq]."""
    with tf.variable_scope("start_logits"):
        logits = Dense("dense", _width(sequence), 1)(sequence)[:, :, 0]
        return mask_logits(logits, p_mask)


def _end_logits(sequence, starts, p_mask):
    """Returns the logits of the end for each start: int [batch, starts] -> [batch, starts, seq].

    The input of the first layer is a token's vector concatenated with a start's. The two halves of
    its kernel are applied separately, once per token and once per start instead of once per pair.
    """
    hidden = _width(sequence)
    start_vectors = tf.gather(sequence, starts, batch_dims=1)  # [batch, starts, hidden]
    with tf.variable_scope("end_logits"):
        dense = Dense("dense_0", 2 * hidden, hidden)
        of_token = tf.tensordot(sequence, dense.kernel[:hidden], 1)[:, None]
        of_start = tf.tensordot(start_vectors, dense.kernel[hidden:], 1)[:, :, None]
        inner = tf.tanh(of_token + of_start + dense.bias)  # [batch, starts, seq, hidden]
        inner = LayerNorm(hidden, "LayerNorm")(inner)
        logits = Dense("dense_1", hidden, 1)(inner)[..., 0]  # [batch, starts, seq]
    return mask_logits(logits, p_mask[:, None])


def _null_logits(model, sequence, start_logits, dropout_prob):
    """Returns the logits of there being no answer: [batch]."""
    hidden = _width(sequence)
    weights = tf.nn.softmax(start_logits)[:, None]  # [batch, 1, seq]
    summary = tf.matmul(weights, sequence)  # [batch, 1, hidden]
    with tf.variable_scope("answer_class"):
        pair = tf.concat([summary, sequence[:, :1]], axis=-1)  # [batch, 1, 2 * hidden]
        inner = model.dropout(Dense("dense_0", 2 * hidden, hidden, tf.tanh)(pair), dropout_prob)
        return Dense("dense_1", hidden, 1, has_bias=False)(inner)[:, 0, 0]


def _best(logits, count, p_mask):
    """Returns the highest log-probabilities of the last axis, and their indices.

    How many there can be is asked of p_mask: asking the logits makes TensorFlow 1.15 round them
    differently, and old models would no longer predict exactly what they did.
    """
    return tf.nn.top_k(tf.nn.log_softmax(logits), tf.minimum(count, tf.shape(p_mask)[1]))


def _null_loss(null_logits, features):
    """Returns the sum of the cross-entropies of whether there is no answer."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.cast(features["is_impossible"], tf.float32), logits=null_logits
    )
    return tf.reduce_sum(losses)


def _position_loss(logits, positions):
    """Returns the sum of the cross-entropies: [batch, seq], int [batch] -> scalar."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=positions, logits=logits)
    return tf.reduce_sum(losses)


def _width(tensor):
    """Returns the size of the last axis."""
    return tensor.shape.as_list()[-1]
