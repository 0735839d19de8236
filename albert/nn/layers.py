"""The layers of the model and of every head: dense, layer norm, dropout, activations, masks.

A layer creates its variables once, at construction, in the current variable scope; all calls share
them. It computes in the type of its input.
"""

import copy
import functools
import math
from typing import Any, Callable, List, Optional, Sequence, Union

import tensorflow.compat.v1 as tf

from albert.common.errors import UsageError
from albert.nn.precision import JoinedWeight, Weight

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
    """activation(x @ kernel + bias), over the last axis, in the type of x.

    Args:
        name: scope of the variables and of the operations.
        num_inputs: size of the last axis of x.
        num_outputs: size of the last axis of the result.
        activation: as for `get_activation`.
        has_bias: whether there is a bias.
        initializer_range: standard deviation of the kernel's initial values.

    Attributes:
        kernel: variable [num_inputs, num_outputs].
        bias: variable [num_outputs], or None.
        weights: the precision.Weight of each.
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
            initializer = create_initializer(initializer_range)
            self.weights = [Weight("kernel", [num_inputs, num_outputs], initializer)]
            if has_bias:
                self.weights.append(Weight("bias", [num_outputs], tf.zeros_initializer()))
        self.kernel = self.weights[0].variable
        self.bias = self.weights[1].variable if has_bias else None
        self._activation = get_activation(activation)
        self._affine = _Affine(*self.weights)

    def __call__(self, inputs: Any) -> Any:
        """Returns the output: [..., num_inputs] -> [..., num_outputs]."""
        with tf.name_scope(self._name):
            num_inputs, num_outputs = self.kernel.shape.as_list()
            rows = inputs if inputs.shape.ndims == 2 else tf.reshape(inputs, [-1, num_inputs])
            outputs = self._affine(rows)
            if inputs.shape.ndims != 2:
                shape = tf.concat([tf.shape(inputs)[:-1], [num_outputs]], axis=0)
                outputs = tf.reshape(outputs, shape)
                outputs.set_shape(inputs.shape[:-1].concatenate([num_outputs]))
        return self._activation(outputs) if self._activation else outputs


class JoinedDense:
    """Dense layers without activation that share their input, as one product instead of several."""

    def __init__(self, layers: Sequence[Dense]) -> None:
        self._widths = [layer.kernel.shape.as_list()[1] for layer in layers]
        self._affine = _Affine(
            *[JoinedWeight(parts) for parts in zip(*[x.weights for x in layers])]
        )

    def __call__(self, inputs: Any) -> List[Any]:
        """Returns the output of each layer: [n, num_inputs] -> [n, num_outputs]."""
        return tf.split(self._affine(inputs), self._widths, axis=-1)


class _Affine:
    """x @ kernel + bias, with a gradient that reuses one transpose of the kernel.

    On a CPU, with few tokens, transposing a kernel takes as long as the product; ALBERT calls one
    layer many times.
    """

    def __init__(self, kernel, bias=None):
        self._kernel = kernel
        self._bias = bias
        self._transposed_kernels = {}

    def __call__(self, inputs):
        """Returns the output, in the type of the input: [n, num_inputs] -> [n, num_outputs]."""
        dtype = inputs.dtype.base_dtype
        kernel = self._kernel.tensor(dtype)
        bias = self._bias.tensor(dtype) if self._bias else None
        if dtype not in self._transposed_kernels:
            self._transposed_kernels[dtype] = tf.transpose(kernel)
        transposed_kernel = self._transposed_kernels[dtype]
        weights = [weight for weight in (self._kernel, self._bias) if weight]

        @tf.custom_gradient
        def affine(inputs, *float32_weights):
            del float32_weights  # their values are also here in the type of the input

            def gradient(outer):
                to_weights = [_float32(tf.matmul(inputs, outer, transpose_a=True))]
                if self._bias:
                    to_weights.append(tf.reduce_sum(_float32(outer), axis=0))
                return (tf.matmul(outer, transposed_kernel), *to_weights)

            outputs = tf.matmul(inputs, kernel)
            return (outputs if bias is None else tf.nn.bias_add(outputs, bias)), gradient

        return affine(inputs, *[weight.tensor() for weight in weights])


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
    """Normalises the last axis to mean 0 and variance 1, then scales by gamma and adds beta.

    It computes in float32 and returns the type of its input. The gradient is that of arXiv
    1607.06450, written out: TensorFlow's own takes twice as many operations.

    Attributes:
        weights: the precision.Weight of gamma and beta.
    """

    def __init__(self, width: int, name: str) -> None:
        with variable_scope(name):
            beta = Weight("beta", [width], tf.zeros_initializer())
            gamma = Weight("gamma", [width], tf.ones_initializer())
        self.weights = [gamma, beta]

    def __call__(self, tensor: Any) -> Any:
        """Returns the normalised tensor, of the same shape."""
        return _layer_norm(tensor, *[weight.tensor() for weight in self.weights])


@tf.custom_gradient
def _layer_norm(tensor, gamma, beta):
    values = _float32(tensor)
    centred = values - tf.reduce_mean(values, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
    inverse_deviation = tf.rsqrt(variance + LAYER_NORM_EPSILON)
    normal = centred * inverse_deviation
    kept = tf.cast(normal, tensor.dtype)  # until the gradient is computed

    def gradient(outer):
        outer, normal = _float32(outer), _float32(kept)
        leading = list(range(outer.shape.ndims - 1))
        to_normal = outer * gamma
        mean = tf.reduce_mean(to_normal, axis=-1, keepdims=True)
        product_mean = tf.reduce_mean(to_normal * normal, axis=-1, keepdims=True)
        to_tensor = (to_normal - mean - normal * product_mean) * inverse_deviation
        return (
            tf.cast(to_tensor, tensor.dtype),
            tf.reduce_sum(outer * normal, axis=leading),
            tf.reduce_sum(outer, axis=leading),
        )

    return tf.cast(normal * gamma + beta, tensor.dtype), gradient


def _float32(tensor):
    return tf.cast(tensor, tf.float32)  # returns a float32 tensor unchanged


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

    def copy(self) -> "Dropout":
        """Returns one whose calls draw the masks of this one's next calls."""
        return copy.copy(self)

    def __call__(self, tensor: Any, rate: float) -> Any:
        """Returns `tensor` with values zeroed with probability `rate` and the others scaled up."""
        if not self._is_training or not rate:
            return tensor
        seed = self._seed + tf.constant([0, self._num_calls], tf.int64)
        self._num_calls += 1
        # In float32 for every type: bfloat16 is too coarse for a rate, and masks stay the same.
        noise = tf.random.stateless_uniform(tf.shape(tensor), seed=seed)
        return tensor * (tf.cast(noise >= rate, tensor.dtype) * (1.0 / (1.0 - rate)))


def gelu(x: Any, use_xla: bool = False) -> Any:
    """Returns the tanh approximation of the Gaussian error linear unit (arXiv 1606.08415).

    Args:
        x: float of any shape; with use_xla [rows, width].
        use_xla: see AlbertModel.
    """
    forward, backward = _gelu, _gelu_gradient
    if use_xla:
        forward, backward = _compiled(forward), _compiled(backward)

    @tf.custom_gradient
    def activated(x):
        # The tanh is computed again rather than kept: that takes less time than reading it from
        # memory, and memory for the widest tensor of a layer.
        return forward(x), lambda outer: backward(x, outer)

    return activated(x)


_GELU_SCALE = math.sqrt(2.0 / math.pi)
_GELU_CUBIC = 0.044715


def _gelu(x):
    return (0.5 * x) * (1.0 + _gelu_tanh(x))


def _gelu_gradient(x, outer):
    # Beyond 10 the gradient is 0 or 1 in every type, and float16 would overflow.
    bounded = tf.clip_by_value(x, -10.0, 10.0) if x.dtype == tf.float16 else x
    tanh = _gelu_tanh(bounded)
    slope = (0.5 * bounded) * (1.0 - tanh * tanh)
    slope *= _GELU_SCALE + 3.0 * _GELU_SCALE * _GELU_CUBIC * (bounded * bounded)
    return outer * (0.5 + 0.5 * tanh + slope)


def _gelu_tanh(x):
    # x * x, not tf.pow: the power and its gradient took a quarter of a training step.
    return tf.tanh(x * (_GELU_SCALE + _GELU_SCALE * _GELU_CUBIC * (x * x)))


_ROWS_OF_A_BLOCK = 64


@functools.lru_cache(maxsize=None)
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an element-wise function of [rows, width] tensors as one loop, compiled by XLA.

    It computes in float32, whatever the type of its tensors. XLA compiles once for each number of
    rows, so it gets whole blocks of them; TensorFlow's operations compute the few that are left.
    """

    def in_float32(*tensors):
        return tf.cast(function(*map(_float32, tensors)), tensors[0].dtype)

    in_one_loop = tf.function(in_float32, autograph=False, jit_compile=True)

    def of_blocks(*tensors):
        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
        concrete = in_one_loop.get_concrete_function(*specs)
        # Not a call of tf.function, which would leave a while loop of this graph.
        types = [output.dtype for output in concrete.outputs]
        (output,) = tf.raw_ops.PartitionedCall(args=tensors, Tout=types, f=concrete)
        output.op._set_attr("_XlaMustCompile", tf.AttrValue(b=True))
        return output

    def call(*tensors):
        num_rows = tf.shape(tensors[0])[0]
        num_in_blocks = num_rows - num_rows % _ROWS_OF_A_BLOCK
        first = of_blocks(*[tensor[:num_in_blocks] for tensor in tensors])
        rest = in_float32(*[tensor[num_in_blocks:] for tensor in tensors])
        output = tf.concat([first, rest], axis=0)
        output.set_shape(tensors[0].shape)
        return output

    return call


_ACTIVATIONS = {"linear": None, "": None, "relu": tf.nn.relu, "gelu": gelu, "tanh": tf.tanh}
_ACTIVATIONS["gelu_new"] = gelu  # Hugging Face's name for the approximation


def get_activation(
    activation_string: Union[str, Activation, None], use_xla: bool = False
) -> Optional[Activation]:
    """Returns the function called gelu, relu or tanh; None for linear, "" and None.

    If the argument is a function, it is returned unchanged.

    Args:
        use_xla: see AlbertModel.

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
    activation = _ACTIVATIONS[name]
    return functools.partial(gelu, use_xla=True) if activation is gelu and use_xla else activation


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
