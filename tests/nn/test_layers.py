"""Tests of albert.nn.layers."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert.common.errors import UsageError
from albert.nn import layers


def value_of(build):
    """Returns the value of `build()`, with all variables at their initial values."""
    with tf.Graph().as_default(), tf.Session() as session:
        fetches = build()
        session.run(tf.global_variables_initializer())
        return session.run(fetches)


def np_gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


# Dense


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3), (2, 1, 4, 3)])
def test_dense_is_a_product_over_the_last_axis(shape):
    inputs = np.random.RandomState(1).randn(*shape).astype(np.float32)

    def build():
        dense = layers.Dense("dense", 3, 2, tf.tanh)
        assign = dense.bias.assign([0.5, -0.5])
        with tf.control_dependencies([assign]):
            return dense(tf.constant(inputs)), dense.kernel

    output, kernel = value_of(build)
    assert output.shape == shape[:-1] + (2,)
    np.testing.assert_allclose(output, np.tanh(inputs @ kernel + [0.5, -0.5]), rtol=1e-5, atol=1e-6)


def test_dense_without_bias_has_one_variable():
    with tf.Graph().as_default():
        layers.Dense("dense", 3, 2, has_bias=False)
        assert [variable.op.name for variable in tf.trainable_variables()] == ["dense/kernel"]


def test_a_layer_that_is_called_twice_has_one_set_of_variables_and_transposes_once():
    with tf.Graph().as_default() as graph:
        dense = layers.Dense("dense", 3, 3)
        dense(dense(tf.ones([2, 3])))
        assert len(tf.trainable_variables()) == 2
        assert sum(op.type == "Transpose" for op in graph.get_operations()) == 1


def test_gradients_agree_for_inputs_of_both_ranks():
    inputs = np.random.RandomState(2).randn(4, 3).astype(np.float32)

    def build():
        dense = layers.Dense("dense", 3, 2)
        flat, deep = tf.constant(inputs), tf.constant(inputs[:, None])
        variables = [dense.kernel, dense.bias]
        return [
            tf.gradients(tf.reduce_sum(tf.sin(dense(x))), [x, *variables]) for x in (flat, deep)
        ]

    flat, deep = value_of(build)
    for one, other in zip(flat, deep):
        np.testing.assert_allclose(one, other.reshape(one.shape), rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_numpy():
    random = np.random.RandomState(4)
    inputs, outer = random.randn(5, 3).astype("f"), random.randn(5, 4).astype("f")

    def build():
        dense, tensor = layers.Dense("dense", 3, 4), tf.constant(inputs)
        return tf.gradients(dense(tensor), [tensor, dense.kernel, dense.bias], outer), dense.kernel

    (to_inputs, to_kernel, to_bias), kernel = value_of(build)
    np.testing.assert_allclose(to_inputs, outer @ kernel.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_kernel, inputs.T @ outer, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to_bias, outer.sum(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16])
def test_joined_layers_agree_with_numpy(dtype):
    random = np.random.RandomState(7)
    inputs = random.randn(5, 3).astype("f")
    outers = [random.randn(5, width).astype("f") for width in (2, 4)]

    def build():
        parts = [layers.Dense(name, 3, width) for name, width in (("a", 2), ("b", 4))]
        tensor = tf.constant(inputs, dtype)
        outputs = layers.JoinedDense(parts)(tensor)
        kernels = [part.kernel for part in parts]
        biases = [part.bias for part in parts]
        gradients = tf.gradients(
            outputs, [tensor, *kernels, *biases], [tf.constant(outer, dtype) for outer in outers]
        )
        return outputs, gradients, kernels

    outputs, gradients, kernels = value_of(build)
    expected = [inputs @ kernel for kernel in kernels]
    expected += [sum(outer @ kernel.T for outer, kernel in zip(outers, kernels))]
    expected += [inputs.T @ outer for outer in outers] + [outer.sum(0) for outer in outers]
    rounding = 1e-5 if dtype == tf.float32 else 4e-3
    for found, value in zip([*outputs, *gradients], expected):
        np.testing.assert_allclose(found, value, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3)])
def test_class_logits_are_products_with_the_rows_of_the_weights_plus_a_bias(shape):
    inputs = np.random.RandomState(5).randn(*shape).astype(np.float32)

    def build():
        logits = layers.ClassLogits(3, 2)
        weights, bias = tf.trainable_variables()
        with tf.control_dependencies([bias.assign([0.5, -0.5])]):
            return logits(tf.constant(inputs)), weights

    output, weights = value_of(build)
    assert weights.shape == (2, 3)
    np.testing.assert_allclose(output, inputs @ weights.T + [0.5, -0.5], rtol=1e-5, atol=1e-6)


# Layer norm


def test_layer_norm_normalises_then_scales_and_shifts():
    inputs = np.random.RandomState(3).randn(4, 8).astype(np.float32)

    def build():
        norm = layers.LayerNorm(8, "LayerNorm")
        gamma, beta = (
            next(v for v in tf.trainable_variables() if v.op.name == f"LayerNorm/{name}")
            for name in ("gamma", "beta")
        )
        with tf.control_dependencies([gamma.assign([2.0] * 8), beta.assign([1.0] * 8)]):
            return norm(tf.constant(inputs))

    centred = inputs - inputs.mean(-1, keepdims=True)
    expected = 2 * centred / np.sqrt(inputs.var(-1, keepdims=True) + 1e-12) + 1
    np.testing.assert_allclose(value_of(build), expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_layer_norm_are_those_of_tensorflow():
    random = np.random.RandomState(6)
    inputs, outer = random.randn(2, 3, 8).astype("f"), random.randn(2, 3, 8).astype("f")
    gamma_and_beta = random.randn(2, 8).astype("f")

    def build():
        tensor, outer_tensor = tf.constant(inputs), tf.constant(outer)
        gamma, beta = tf.constant(gamma_and_beta[0]), tf.constant(gamma_and_beta[1])
        mean, variance = tf.nn.moments(tensor, axes=[-1], keep_dims=True)
        expected = (tensor - mean) / tf.sqrt(variance + 1e-12) * gamma + beta
        return [
            tf.gradients(output, [tensor, gamma, beta], outer_tensor)
            for output in (layers._layer_norm(tensor, gamma, beta), expected)
        ]

    for own, tensorflows in zip(*value_of(build)):
        np.testing.assert_allclose(own, tensorflows, rtol=1e-4, atol=1e-5)


# Masks


@pytest.mark.parametrize("dtype", [tf.float32, tf.float16])
def test_masked_logits_are_finite_and_far_below_all_others(dtype):
    def build():
        logits = tf.constant([[3.0, -7.0, 2.0]], dtype)
        masked = layers.mask_logits(logits, tf.constant([[0.0, 0.0, 1.0]], dtype))
        return masked, tf.nn.softmax(tf.cast(masked, tf.float32))

    masked, probabilities = value_of(build)
    np.testing.assert_array_equal(masked[0, :2], [3.0, -7.0])
    assert np.isfinite(masked).all() and masked[0, 2] < -1e4
    assert probabilities[0, 2] == 0.0


# Dropout


def run_dropout(seed, rates, num_runs=1, num_unrelated=0, shape=(100, 100)):
    """Returns the results of dropout on ones, [num_runs][call], with one call for each rate."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(num_unrelated)
        for _ in range(num_unrelated):
            tf.random.uniform([])
        dropout = layers.Dropout(True, None if seed is None else tf.constant(seed, tf.int64))
        calls = [dropout(tf.ones(shape), rate) for rate in rates]
        return [session.run(calls) for _ in range(num_runs)]


def test_dropout_outside_training_returns_its_argument():
    tensor = object()
    assert layers.Dropout(False)(tensor, 0.5) is tensor


def test_dropout_of_rate_0_returns_its_argument():
    tensor = object()
    assert layers.Dropout(True, seed=[0, 0])(tensor, 0.0) is tensor


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_zeroes_values_at_its_rate_and_scales_the_rest(rate):
    [[dropped]] = run_dropout([1, 2], [rate])
    kept = dropped[dropped != 0]
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=1e-6)
    deviation = np.sqrt(rate * (1 - rate) / dropped.size)
    assert abs(1 - kept.size / dropped.size - rate) < 5 * deviation


def test_dropout_mask_depends_only_on_the_seed():
    first = run_dropout([3, 4], [0.5, 0.5])
    second = run_dropout([3, 4], [0.5, 0.5], num_unrelated=5)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("other", [[4, 4], [3, 1 << 20]])
def test_dropout_mask_changes_with_either_half_of_the_seed(other):
    [[first]], [[second]] = run_dropout([3, 4], [0.5]), run_dropout(other, [0.5])
    assert 0.4 < (first != second).mean() < 0.6  # half of two independent masks differ


def test_dropout_with_a_seed_has_the_same_mask_in_every_run():
    first, second = run_dropout([3, 4], [0.5], num_runs=2)
    np.testing.assert_array_equal(first, second)


def test_dropout_without_a_seed_draws_a_new_mask_for_every_run():
    [first], [second] = run_dropout(None, [0.5], num_runs=2)
    assert 0.4 < (first != second).mean() < 0.6


def test_masks_of_different_calls_are_independent():
    [[first, second, third]] = run_dropout([3, 4], [0.5] * 3)
    for one, other in [(first, second), (first, third), (second, third)]:
        assert 0.4 < (one != other).mean() < 0.6


def evaluate(tensor):
    with tf.Session() as session:
        return session.run(tensor)


def test_gradient_of_gelu_is_its_slope():
    x = np.linspace(-6, 6, 101).astype("f")

    def build():
        tensor = tf.constant(x)
        return tf.gradients(layers.gelu(tensor), tensor, tf.constant(2 * np.ones_like(x)))[0]

    wide = np.float64(x)
    expected = (np_gelu(wide + 1e-5) - np_gelu(wide - 1e-5)) / 1e-5  # twice the slope
    np.testing.assert_allclose(value_of(build), expected, rtol=1e-4, atol=1e-5)


def test_gelu_and_its_gradient_are_finite_over_the_range_of_float16():
    x = np.array([-65504, -300, -30, 0, 30, 300, 65504], np.float16)

    def build():
        tensor = tf.constant(x)
        return layers.gelu(tensor), tf.gradients(layers.gelu(tensor), tensor)[0]

    output, slope = value_of(build)
    np.testing.assert_array_equal(output, np.maximum(x, 0))
    np.testing.assert_array_equal(slope, [0, 0, 0, 0.5, 1, 1, 1])


def test_gelu_is_the_tanh_form():
    x = np.array([-1e4, -5, -1, -0.5, 0, 1e-3, 0.5, 1, 3, 1e4])
    with tf.Graph().as_default():
        actual = evaluate(layers.gelu(tf.constant(x, tf.float32)))
    np.testing.assert_allclose(actual, np_gelu(x), rtol=1e-5, atol=1e-6)
    assert abs(actual[7] - 0.8411920) < 1e-6  # by hand; the exact form gives 0.8413447


@pytest.mark.parametrize("name, expected", [("relu", [0, 2]), ("tanh", np.tanh([-1.0, 2.0]))])
def test_activation_is_found_by_name(name, expected):
    with tf.Graph().as_default():
        actual = evaluate(layers.get_activation(name)(tf.constant([-1.0, 2.0])))
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["gelu", "GELU"])
def test_gelu_is_found_by_name_in_any_case(name):
    assert layers.get_activation(name) is layers.gelu


@pytest.mark.parametrize("name", ["linear", "", None])
def test_linear_activation_is_none(name):
    assert layers.get_activation(name) is None


def test_function_is_its_own_activation():
    assert layers.get_activation(np_gelu) is np_gelu


@pytest.mark.parametrize("name", ["swish", 5, True, ["gelu"]])
def test_unknown_activation_is_refused(name):
    with pytest.raises(UsageError, match="hidden_act must be gelu, relu, tanh or linear, not "):
        layers.get_activation(name)


def test_initializer_is_a_normal_distribution_cut_at_two_deviations():
    with tf.Graph().as_default():
        values = evaluate(layers.create_initializer(0.1)([200, 200]))
    assert np.abs(values).max() <= 0.2
    # The deviation of a normal distribution cut at 2: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
    assert abs(values.std() / 0.1 - 0.8796) < 0.01
    assert abs(values.mean()) < 0.003


# Compiled by XLA

needs_xla = pytest.mark.skipif(not tf.__version__.startswith("2."), reason="needs TensorFlow 2.15")


@needs_xla
@pytest.mark.parametrize("num_rows", [1, 64, 65, 200])
@pytest.mark.parametrize("dtype, tolerance", [(tf.float32, 1e-6), (tf.bfloat16, 0.01)])
def test_compiled_gelu_has_the_same_values_and_gradients(num_rows, dtype, tolerance):
    x = np.random.RandomState(4).normal(0.5, 3.0, [num_rows, 16]).astype("f")
    outer = np.random.RandomState(5).normal(size=[num_rows, 16]).astype("f")

    def build():
        inputs = tf.placeholder_with_default(x, [None, 16])
        expected = layers.gelu(inputs)
        converted = tf.cast(inputs, dtype)
        actual = layers.get_activation("gelu", use_xla=True)(converted)
        assert actual.dtype == dtype and actual.shape.as_list() == [None, 16]
        gradients = [
            tf.gradients(expected, inputs, outer)[0],
            tf.gradients(actual, converted, tf.cast(outer, dtype))[0],
        ]
        calls = [x for x in tf.get_default_graph().get_operations() if x.type == "PartitionedCall"]
        assert [call.get_attr("_XlaMustCompile") for call in calls] == [True, True]
        in_blocks = tf.shape(calls[0].inputs[0])[0]
        values = [tf.cast(tensor, tf.float32) for tensor in (expected, actual, *gradients)]
        return [in_blocks, *values]

    in_blocks, expected, actual, slope, compiled_slope = value_of(build)
    assert in_blocks == {1: 0, 64: 64, 65: 64, 200: 192}[num_rows]
    np.testing.assert_allclose(actual, expected, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(compiled_slope, slope, atol=tolerance * np.abs(slope).max())


@needs_xla
def test_compiled_gelu_works_in_a_loop():
    def build():
        def body(step, total):
            output = layers.gelu(total, use_xla=True)
            return step + 1, total + tf.gradients(output, total)[0] + output

        start = [tf.constant(0), tf.constant(np.arange(16).reshape(2, 8), tf.float32)]
        looped = tf.while_loop(lambda step, _: step < 3, body, start, back_prop=False)[1]
        return looped, body(*body(*body(*start)))[1]

    looped, unrolled = value_of(build)
    np.testing.assert_allclose(looped, unrolled, rtol=1e-5)
