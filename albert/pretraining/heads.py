"""The heads of pre-training, with the variable names of the original, and their losses."""

from typing import Any

import tensorflow.compat.v1 as tf

from albert.modeling import AlbertModel
from albert.nn.layers import ClassLogits, Dense, LayerNorm, get_activation


def masked_lm_logits(model: AlbertModel, is_masked: Any) -> Any:
    """Returns the logits of the tokens to be predicted, and of no others.

    The output weights are the word embeddings.

    Args:
        is_masked: bool [batch, seq].

    Returns:
        float [num_masked, vocab], row by row of the batch.
    """
    config = model.config
    tokens = model.get_outputs_where(is_masked)  # [num_masked, hidden]
    with tf.variable_scope("cls/predictions"):
        with tf.variable_scope("transform"):
            transform = Dense(
                "dense",
                config.hidden_size,
                config.embedding_size,
                get_activation(config.hidden_act),
                initializer_range=config.initializer_range,
            )
            tokens = LayerNorm(config.embedding_size, "LayerNorm")(transform(tokens))
        bias = tf.get_variable(
            "output_bias", [config.vocab_size], initializer=tf.zeros_initializer()
        )
    products = tf.matmul(tokens, model.get_embedding_table(), transpose_b=True)
    return tf.nn.bias_add(products, bias)


def sentence_order_logits(model: AlbertModel) -> Any:
    """Returns the logits of in order (0) and swapped (1): float [batch, 2]."""
    with tf.variable_scope("cls/seq_relationship"):
        return ClassLogits(model.config.hidden_size, 2)(model.get_pooled_output())
