"""Heads of SQuAD 1.1 and 2.0, with the variable names of the original."""

from typing import Any, Dict

import tensorflow.compat.v1 as tf

from albert import modeling
from albert.engine.task import ModelOutput

_MASKED_LOGIT = -1e30


def head_of_version_1(
    model: modeling.AlbertModel, features: Dict[str, Any], is_training: bool
) -> ModelOutput:
    """Returns the loss, the mean of the cross-entropies of start and end, and the predictions.

    Predictions: `start_logits` and `end_logits`, float [batch, seq].
    """
    del is_training
    sequence = model.get_sequence_output()  # [batch, seq, hidden]
    with tf.variable_scope("cls/squad"):
        logits = _dense(sequence, 2, "output", is_transposed=True)  # [batch, seq, 2]
    # Padding is masked, so that the loss does not depend on how much of it the batch has.
    is_padding = 1.0 - tf.cast(features["input_mask"], tf.float32)
    start_logits, end_logits = (
        _masked(part, is_padding) for part in tf.unstack(logits, num=2, axis=-1)
    )
    loss = 0.5 * (
        _position_loss(start_logits, features["start_positions"])
        + _position_loss(end_logits, features["end_positions"])
    )
    return ModelOutput(loss, {"start_logits": start_logits, "end_logits": end_logits})


def head_of_version_2(
    model: modeling.AlbertModel,
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
    with tf.variable_scope("start_logits"):
        start_logits = _masked(_dense(sequence, 1, "dense")[:, :, 0], p_mask)
    null_logits = _null_logits(model, sequence, start_logits, dropout_prob if is_training else 0.0)
    if is_training:
        starts = features["start_positions"][:, None]  # [batch, 1]
    else:
        num_starts = tf.minimum(start_n_top, tf.shape(p_mask)[1])
        start_log_probs, starts = tf.nn.top_k(tf.nn.log_softmax(start_logits), num_starts)
    end_logits = _end_logits(sequence, starts, p_mask)  # [batch, starts, seq]
    if not is_training:
        num_ends = tf.minimum(end_n_top, tf.shape(p_mask)[1])
        end_log_probs, ends = tf.nn.top_k(tf.nn.log_softmax(end_logits), num_ends)
        predictions = {
            "start_index": starts,
            "start_log_probs": start_log_probs,
            "end_index": ends,
            "end_log_probs": end_log_probs,
            "null_logits": null_logits,
        }
        return ModelOutput(None, predictions)
    spans = _position_loss(start_logits, features["start_positions"]) + _position_loss(
        end_logits[:, 0], features["end_positions"]
    )
    nulls = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.cast(features["is_impossible"], tf.float32), logits=null_logits
    )
    return ModelOutput(0.5 * spans + 0.5 * tf.reduce_mean(nulls), {})


def _end_logits(sequence: Any, starts: Any, p_mask: Any) -> Any:
    """Returns the logits of the end for each start: int [batch, starts] -> [batch, starts, seq].

    The input of the first layer is a token's vector concatenated with a start's. The two halves of
    its kernel are applied separately, once per token and once per start instead of once per pair.
    """
    hidden = sequence.shape.as_list()[-1]
    start_vectors = tf.gather(sequence, starts, batch_dims=1)  # [batch, starts, hidden]
    with tf.variable_scope("end_logits"):
        with tf.variable_scope("dense_0"):
            kernel, bias = _kernel([2 * hidden, hidden]), _bias(hidden)
        of_token = tf.tensordot(sequence, kernel[:hidden], 1)[:, None]  # [batch, 1, seq, hidden]
        of_start = tf.tensordot(start_vectors, kernel[hidden:], 1)[:, :, None]
        inner = tf.tanh(of_token + of_start + bias)  # [batch, starts, seq, hidden]
        inner = modeling.layer_norm(_keep_width(inner, hidden), "LayerNorm")
        logits = _dense(inner, 1, "dense_1")[..., 0]  # [batch, starts, seq]
    return _masked(logits, p_mask[:, None])


def _null_logits(
    model: modeling.AlbertModel, sequence: Any, start_logits: Any, dropout_rate: float
) -> Any:
    """Returns the logits of there being no answer: [batch]."""
    weights = tf.nn.softmax(start_logits)[:, None]  # [batch, 1, seq]
    summary = tf.matmul(weights, sequence)[:, 0]  # [batch, hidden]
    hidden = sequence.shape.as_list()[-1]
    with tf.variable_scope("answer_class"):
        pair = _keep_width(tf.concat([summary, sequence[:, 0]], axis=-1), 2 * hidden)
        inner = model.dropout(tf.tanh(_dense(pair, hidden, "dense_0")), dropout_rate)
        return _dense(inner, 1, "dense_1", has_bias=False)[:, 0]


def _dense(tensor, width, name, has_bias=True, is_transposed=False):
    """Returns a product over the last axis; `is_transposed`: variables as of a classifier."""
    num_inputs = tensor.shape.as_list()[-1]
    if is_transposed:
        weights = tf.get_variable(
            f"{name}_weights", [width, num_inputs], initializer=modeling.create_initializer()
        )
        bias = tf.get_variable(f"{name}_bias", [width], initializer=tf.zeros_initializer())
        return tf.tensordot(tensor, tf.transpose(weights), 1) + bias
    with tf.variable_scope(name):
        output = tf.tensordot(tensor, _kernel([num_inputs, width]), 1)
        return output + _bias(width) if has_bias else output


def _kernel(shape):
    return tf.get_variable("kernel", shape, initializer=modeling.create_initializer())


def _bias(width):
    return tf.get_variable("bias", [width], initializer=tf.zeros_initializer())


def _keep_width(tensor, width):
    """Returns the tensor with the static size of its last axis set."""
    tensor.set_shape(tensor.shape.as_list()[:-1] + [width])
    return tensor


def _masked(logits, mask):
    """Returns the logits, but a very low value where the mask is 1."""
    return logits * (1.0 - mask) + _MASKED_LOGIT * mask


def _position_loss(logits, positions):
    """Returns the mean cross-entropy: [batch, seq], int [batch] -> scalar."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=positions, logits=logits)
    return tf.reduce_mean(losses)
