"""Token layouts: which positions of [batch, seq] the model computes.

Outside attention the model works on a matrix with one row per token, [num_tokens, width]. A layout
converts [batch, seq, ...] to such rows and back; nothing else knows which positions have a row.
"""

from typing import Any, Dict, Sequence, Union

import tensorflow.compat.v1 as tf


class PaddedTokens:
    """The layout in which every position is a token, padding included.

    Args:
        shape: [batch, seq], ints or scalar tensors.
        num_heads: number of attention heads.
    """

    def __init__(self, shape: Sequence[Any], num_heads: int) -> None:
        self._shape = list(shape)
        self._num_heads = num_heads
        self.positions = tf.tile(tf.range(shape[1]), [shape[0]])  # [num_tokens]

    def flatten(self, tensor: Any) -> Any:
        """Returns the values of the tokens: [batch, seq, ...] -> [num_tokens, ...]."""
        return tf.reshape(tensor, [-1] + tensor.shape.as_list()[2:])

    def unflatten(self, tokens: Any) -> Any:
        """Returns the padded form: [num_tokens, width] -> [batch, seq, width]."""
        return tf.reshape(tokens, self._shape + [tokens.shape.as_list()[-1]])

    def split_heads(self, tokens: Any) -> Any:
        """Splits rows into heads: [num_tokens, width] -> [batch, heads, seq, width / heads]."""
        size = tokens.shape.as_list()[-1] // self._num_heads
        split = tf.reshape(tokens, self._shape + [self._num_heads, size])
        return tf.transpose(split, [0, 2, 1, 3])

    def merge_heads(self, heads: Any) -> Any:
        """Concatenates the heads: [batch, heads, seq, size] -> [num_tokens, width]."""
        width = self._num_heads * heads.shape.as_list()[-1]
        return tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [-1, width])


class PackedTokens:
    """The layout in which only the positions marked in the mask are tokens: padding costs nothing.

    The methods are those of PaddedTokens. Each moves rows with a gather, and its gradient moves
    them back with another; TensorFlow's own gradient of a gather is a scatter-add, which is slower.
    The indices are computed once for all layers.

    Args:
        input_mask: int32 [batch, seq], 1 for tokens; there must be at least one.
        shape: [batch, seq], ints or scalar tensors.
        num_heads: number of attention heads.
    """

    def __init__(self, input_mask: Any, shape: Sequence[Any], num_heads: int) -> None:
        self._num_heads = num_heads
        # On the host, where the batch comes from: a GPU has no kernel for some of these operations,
        # and the host would wait in every step to be told the number of tokens.
        with tf.device("/cpu:0"):
            is_token = tf.reshape(input_mask, [-1]) > 0  # [batch * seq]
            self._token_indices = tf.cast(tf.where(is_token)[:, 0], tf.int32)  # [num_tokens]
            # Padding points to the row of some token, so that its value is finite.
            rows = tf.maximum(tf.cumsum(tf.cast(is_token, tf.int32)) - 1, 0)
        self.positions = self._token_indices % shape[1]  # [num_tokens]
        self._rows = tf.reshape(rows, shape)  # [batch, seq]
        self._is_token = tf.reshape(is_token, shape)
        self._real_in: Dict[Any, Any] = {}
        # The same for the rows of single heads: [num_tokens, heads] and [batch, heads, seq].
        head = tf.range(num_heads)
        sequence = (self._token_indices // shape[1])[:, None] * num_heads + head
        self._head_indices = sequence * shape[1] + self.positions[:, None]
        self._head_rows = self._rows[:, None] * num_heads + head[:, None]

    def flatten(self, tensor: Any) -> Any:
        """Returns the values of the tokens: [batch, seq, ...] -> [num_tokens, ...]."""
        return tf.gather(tf.reshape(tensor, [-1] + tensor.shape.as_list()[2:]), self._token_indices)

    def unflatten(self, tokens: Any) -> Any:
        """Returns the padded form, 0 at padding: [num_tokens, width] -> [batch, seq, width]."""

        @tf.custom_gradient
        def unflattened(tokens):
            is_real = self._real(tokens.dtype)[:, :, None]
            return tf.gather(tokens, self._rows) * is_real, self.flatten

        return unflattened(tokens)

    def split_heads(self, tokens: Any) -> Any:
        """Splits rows into heads: [num_tokens, width] -> [batch, heads, seq, width / heads].

        Values at padding are finite and have no meaning.
        """

        @tf.custom_gradient
        def split(tokens):
            return self._split(tokens), self._merge

        return split(tokens)

    def merge_heads(self, heads: Any) -> Any:
        """Concatenates the heads: [batch, heads, seq, size] -> [num_tokens, width]."""

        @tf.custom_gradient
        def merged(heads):
            def gradient(tokens):
                return self._split(tokens) * self._real(tokens.dtype)[:, None, :, None]

            return self._merge(heads), gradient

        return merged(heads)

    def _real(self, dtype):
        """Returns 1 for tokens and 0 for padding: [batch, seq]."""
        if dtype not in self._real_in:
            self._real_in[dtype] = tf.cast(self._is_token, dtype)
        return self._real_in[dtype]

    def _split(self, tokens):
        size = tokens.shape.as_list()[-1] // self._num_heads
        return tf.gather(tf.reshape(tokens, [-1, size]), self._head_rows)

    def _merge(self, heads):
        size = heads.shape.as_list()[-1]
        rows = tf.gather(tf.reshape(heads, [-1, size]), self._head_indices)
        return tf.reshape(rows, [-1, self._num_heads * size])


TokenLayout = Union[PaddedTokens, PackedTokens]


def rows_where(is_chosen: Any, rows: Any) -> Any:
    """Returns the chosen rows: bool [num_rows], [num_rows, width] -> [num_chosen, width]."""
    with tf.device("/cpu:0"):  # as in PackedTokens
        indices = tf.cast(tf.where(is_chosen), tf.int32)  # [num_chosen, 1]

    @tf.custom_gradient
    def gathered(rows):
        shape = tf.shape(rows)
        return tf.gather_nd(rows, indices), lambda chosen: tf.scatter_nd(indices, chosen, shape)

    return gathered(rows)


def token_layout(input_mask: Any, shape: Sequence[Any], num_heads: int) -> TokenLayout:
    """Returns PackedTokens for a mask, PaddedTokens if it is None."""
    if input_mask is None:
        return PaddedTokens(shape, num_heads)
    return PackedTokens(input_mask, shape, num_heads)
