"""The layers of the model and of every head: dense, layer norm, dropout, activations, masks.

A layer creates its variables once, at construction, in the current variable scope; all calls share
them.
"""

import math
from typing import Any, Callable, Optional, Union

import tensorflow.compat.v1 as tf

from albert.common.errors import UsageError

LAYER_NORM_EPSILON = 1e-12
INITIALIZER_RANGE = 0.02

Activation = Callable[[Any], Any]


def variable_scope(name: str) -> Any:
    """Returns a variable scope that does not open a name scope.

    If it did, creating the variables would use up the name, and the operations of a layer's calls
    would get another one. TensorFlow orders the terms of sums by operation name, so resuming an old
    run under other names would not give the same bits.
    """
    return tf.variable_scope(name, auxiliary_name_scope=False)


class Dense:
    """activation(x @ kernel + bias), over the last axis.

    Args:
        name: scope of the variables and of the operations.
        num_inputs: size of the last axis of x.
        num_outputs: size of the last axis of the result.
        activation: as for `get_activation`.
        has_bias: whether there is a bias.
        initializer_range: standard deviation of the kernel's initial values.
    """

    def __init__(
        self,
        name: str,
        num_inputs: int,
        num_outputs: int,
        activation: Union[str, Activation, None] = None,
        has_bias: bool = True,
        initializer_range: float = INITIALIZER_RANGE,
    ) -> None:
        self._name = name
        with variable_scope(name):
            self.kernel = tf.get_variable(
                "kernel",
                [num_inputs, num_outputs],
                initializer=create_initializer(initializer_range),
            )
            self.bias = None
            if has_bias:
                zeros = tf.zeros_initializer()
                self.bias = tf.get_variable("bias", [num_outputs], initializer=zeros)
        self._activation = get_activation(activation)
        self._transposed_kernel = None

    def __call__(self, inputs: Any) -> Any:
        """Returns the output: [..., num_inputs] -> [..., num_outputs]."""
        # The gradients of bias_add and + round differently: a resumed run must use the same one as
        # before, to give the same bits.
        with tf.name_scope(self._name):
            if inputs.shape.ndims == 2:
                outputs = self._product(inputs)
                outputs = outputs if self.bias is None else tf.nn.bias_add(outputs, self.bias)
            else:
                outputs = tf.tensordot(inputs, self.kernel, 1)
                outputs = outputs if self.bias is None else outputs + self.bias
        return self._activation(outputs) if self._activation else outputs

    def _product(self, inputs):
        """Returns inputs @ kernel, with a gradient that reuses one transpose of the kernel.

        On a CPU, with few tokens, transposing a kernel takes as long as the product. All calls
        share the transpose, and ALBERT calls one layer many times.
        """
        if self._transposed_kernel is None:
            self._transposed_kernel = tf.transpose(self.kernel)
        transposed_kernel = self._transposed_kernel

        @tf.custom_gradient
        def product(inputs, kernel):
            def gradient(outer):
                return tf.matmul(outer, transposed_kernel), tf.matmul(
                    inputs, outer, transpose_a=True
                )

            return tf.matmul(inputs, kernel), gradient

        return product(inputs, tf.convert_to_tensor(self.kernel))


class ClassLogits:
    """x @ output_weights^T + output_bias, over the last axis; the names are those of BERT."""

    def __init__(self, num_inputs: int, num_classes: int) -> None:
        self._weights = tf.get_variable(
            "output_weights", [num_classes, num_inputs], initializer=create_initializer()
        )
        self._bias = tf.get_variable(
            "output_bias", [num_classes], initializer=tf.zeros_initializer()
        )

    def __call__(self, inputs: Any) -> Any:
        """Returns one logit per class: [..., num_inputs] -> [..., num_classes]."""
        if inputs.shape.ndims == 2:  # rounding, as in Dense
            products = tf.matmul(inputs, self._weights, transpose_b=True)
            return tf.nn.bias_add(products, self._bias)
        return tf.tensordot(inputs, tf.transpose(self._weights), 1) + self._bias


class LayerNorm:
    """Normalises the last axis to mean 0 and variance 1, then scales by gamma and adds beta."""

    def __init__(self, width: int, name: str) -> None:
        with variable_scope(name):
            self._beta = tf.get_variable("beta", [width], initializer=tf.zeros_initializer())
            self._gamma = tf.get_variable("gamma", [width], initializer=tf.ones_initializer())

    def __call__(self, tensor: Any) -> Any:
        """Returns the normalised tensor, of the same shape."""
        centred = tensor - tf.reduce_mean(tensor, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
        return centred * tf.rsqrt(variance + LAYER_NORM_EPSILON) * self._gamma + self._beta


class Dropout:
    """Dropout that acts only in training, with masks that are determined by a seed.

    The mask of a call depends only on the seed and on the number of calls before it.

    Args:
        is_training: if False, calls return their input unchanged.
        seed: int64 tensor [2]. If None, every session run draws a new seed.
    """

    def __init__(self, is_training: bool, seed: Any = None) -> None:
        self._is_training = is_training
        if is_training and seed is None:
            seed = tf.random.uniform([2], maxval=2**62, dtype=tf.int64)
        self._seed = seed
        self._num_calls = 0

    def __call__(self, tensor: Any, rate: float) -> Any:
        """Returns `tensor` with values zeroed with probability `rate` and the others scaled up."""
        if not self._is_training or not rate:
            return tensor
        seed = self._seed + tf.constant([0, self._num_calls], tf.int64)
        self._num_calls += 1
        noise = tf.random.stateless_uniform(tf.shape(tensor), seed=seed, dtype=tensor.dtype)
        return tensor * tf.cast(noise >= rate, tensor.dtype) * (1.0 / (1.0 - rate))


def gelu(x: Any) -> Any:
    """Returns the tanh approximation of the Gaussian error linear unit (arXiv 1606.08415)."""
    # x * x * x, not tf.pow: the power and its gradient took a quarter of a training step.
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))))


_ACTIVATIONS = {"linear": None, "": None, "relu": tf.nn.relu, "gelu": gelu, "tanh": tf.tanh}


def get_activation(activation_string: Union[str, Activation, None]) -> Optional[Activation]:
    """Returns the function called gelu, relu or tanh; None for linear, "" and None.

    If the argument is a function, it is returned unchanged.

    Raises:
        UsageError: there is no activation of that name.
    """
    if callable(activation_string):
        return activation_string
    name = "" if activation_string is None else str(activation_string).lower()
    if name not in _ACTIVATIONS:
        raise UsageError(
            f"hidden_act must be gelu, relu, tanh or linear, not {activation_string!r}."
        )
    return _ACTIVATIONS[name]


def create_initializer(initializer_range: float = INITIALIZER_RANGE) -> Any:
    """Returns a truncated normal initializer with that standard deviation."""
    return tf.truncated_normal_initializer(stddev=initializer_range)


def mask_logits(logits: Any, mask: Any) -> Any:
    """Returns the logits, replaced by a hugely negative value where `mask` is 1.

    The value is finite in the logits' type; 0 times infinity would be NaN.

    Args:
        logits: float [...].
        mask: 0 or 1, of the same type as the logits and a shape that broadcasts to theirs.
    """
    lowest = max(-1e30, 0.5 * logits.dtype.min)
    return logits * (1.0 - mask) + lowest * mask
