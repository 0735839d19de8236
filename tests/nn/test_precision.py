"""Tests of albert.nn.precision, and of the types in which the layers compute."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny

from albert import modeling
from albert.nn import layers, precision
from albert.nn.precision import COMPUTE_TYPES

HALF = ["fp16", "bf16"]
# Of one rounding: half the distance of 1 from the next number.
ROUNDING = {"fp16": 2.0**-11, "bf16": 2.0**-8}


def value_of(build):
    """Returns the values of `build()` as float32, with the same random weights in every graph."""
    with tf.Graph().as_default(), tf.Session() as session:
        fetches = build()
        session.run(tf.global_variables_initializer())
        random = np.random.RandomState(4)
        for variable in tf.trainable_variables():
            if variable.op.name.endswith("kernel") or "embeddings" in variable.op.name:
                variable.load(0.2 * random.standard_normal(variable.shape.as_list()), session)
        return session.run(tf.nest.map_structure(lambda x: tf.cast(x, tf.float32), fetches))


def test_a_weight_is_read_once_and_cast_once_to_each_type():
    with tf.Graph().as_default():
        weight = precision.Weight("weight", [3], tf.ones_initializer())
        assert weight.tensor(tf.float16) is weight.tensor(tf.float16)
        assert weight.tensor() is weight.tensor(tf.float32)
        assert weight.tensor(tf.float16).dtype == tf.float16
        assert weight.variable.dtype.base_dtype == tf.float32


@pytest.mark.parametrize("name", HALF)
def test_a_dense_layer_computes_in_the_type_of_its_input_with_float32_gradients(name):
    random = np.random.RandomState(1)
    inputs, outer = random.randn(64, 16).astype("f"), random.randn(64, 8).astype("f")

    def build(dtype):
        dense = layers.Dense("dense", 16, 8)
        tensor = tf.cast(tf.constant(inputs), dtype)
        output = dense(tensor)
        assert output.dtype == dtype
        gradients = tf.gradients(
            output, [tensor, dense.kernel, dense.bias], tf.cast(tf.constant(outer), dtype)
        )
        assert [g.dtype for g in gradients] == [dtype, tf.float32, tf.float32]
        return [output, *gradients]

    expected = value_of(lambda: build(tf.float32))
    for exact, half in zip(expected, value_of(lambda: build(COMPUTE_TYPES[name]))):
        assert np.abs(half - exact).max() < 8 * ROUNDING[name] * np.abs(exact).max()


@pytest.mark.parametrize("name", HALF)
def test_the_bias_of_many_tokens_is_summed_in_float32(name):
    # In half precision a sum of ones stops at 2048 or 256.
    def build():
        dense = layers.Dense("dense", 1, 1)
        output = dense(tf.zeros([5000, 1], COMPUTE_TYPES[name]))
        return tf.gradients(output, dense.bias)

    assert value_of(build) == [[5000.0]]


@pytest.mark.parametrize("name", HALF)
def test_layer_norm_computes_its_statistics_in_float32(name):
    # The mean is so far from 0 that a variance in half precision would be wrong, or overflow.
    inputs = (300.0 + 16.0 * np.random.RandomState(2).randint(-4, 5, [4, 64])).astype("f")

    def build():
        return layers.LayerNorm(64, "norm")(tf.constant(inputs, COMPUTE_TYPES[name]))

    inputs = value_of(lambda: tf.constant(inputs, COMPUTE_TYPES[name]))
    expected = (inputs - inputs.mean(-1, keepdims=True)) / inputs.std(-1, keepdims=True)
    assert np.abs(value_of(build) - expected).max() < 4 * ROUNDING[name] * np.abs(expected).max()


@pytest.mark.parametrize("name", HALF)
def test_dropout_masks_are_the_same_in_every_type(name):
    def build(dtype):
        return layers.Dropout(True, tf.constant([1, 2], tf.int64))(tf.ones([1000], dtype), 0.1)

    float32 = value_of(lambda: build(tf.float32))
    half = value_of(lambda: build(COMPUTE_TYPES[name]))
    np.testing.assert_array_equal(float32 > 0, half > 0)


@pytest.mark.parametrize("packed_tokens", [True, False])
@pytest.mark.parametrize("name", HALF)
def test_the_model_returns_float32_near_that_of_a_float32_model(name, packed_tokens):
    ids = np.random.RandomState(3).randint(1, 50, [3, 9])
    mask = (np.arange(9) < np.array([[9], [4], [6]])).astype(np.int32)

    def build(compute_type):
        model = modeling.AlbertModel(
            tiny.config(),
            False,
            tf.constant(ids, tf.int32),
            tf.constant(mask),
            packed_tokens=packed_tokens,
            compute_type=compute_type,
        )
        outputs = [*model.get_all_encoder_layers(), model.get_pooled_output()]
        assert {output.dtype for output in outputs} == {tf.float32}
        return outputs

    exact = value_of(lambda: build(tf.float32))
    half = value_of(lambda: build(COMPUTE_TYPES[name]))
    for one, other in zip(exact[:-1], half[:-1]):
        difference = np.abs(one - other)[mask > 0]
        assert 0 < difference.max() < 40 * ROUNDING[name]  # values are about 1
    assert np.abs(exact[-1] - half[-1]).max() < 40 * ROUNDING[name]


def test_what_must_stay_float32_is_float32_in_the_graph():
    with tf.Graph().as_default() as graph:
        model = modeling.AlbertModel(
            tiny.config(), True, tf.ones([2, 4], tf.int32), compute_type=tf.float16
        )
        tf.gradients(model.get_pooled_output(), tf.trainable_variables())
        types = {}
        for op in graph.get_operations():
            types.setdefault(op.type, set()).update(output.dtype for output in op.outputs)
    assert types["Softmax"] == types["Rsqrt"] == types["Mean"] == {tf.float32}
    assert tf.float16 in types["MatMul"] and tf.float16 in types["Tanh"]
    assert {v.dtype.base_dtype for v in graph.get_collection("variables")} == {tf.float32}


def widest_tensors_kept(recompute_activations):
    """Returns the tensors as wide as intermediate_size that the gradient reads from the model."""
    with tf.Graph().as_default() as graph:
        ids = tf.placeholder(tf.int32, [None, None])
        model = modeling.AlbertModel(
            tiny.config(), True, ids, recompute_activations=recompute_activations
        )
        forward = set(graph.get_operations())
        tf.gradients(model.get_sequence_output(), tf.trainable_variables())
        read = {
            source
            for op in graph.get_operations()
            if op not in forward
            for source in op.inputs
            if source.op in forward
        }
        return [tensor for tensor in read if tensor.shape.as_list() == [None, 32]]


def test_layers_that_are_computed_again_do_not_keep_what_is_inside_them():
    assert widest_tensors_kept(False)
    assert not widest_tensors_kept(True)


def test_a_layer_that_is_computed_again_is_done_before_the_one_before_it():
    """Else the gradients of weights would be put off, and with them what they keep in memory."""
    with tf.Graph().as_default() as graph:
        ids = tf.placeholder(tf.int32, [None, None])
        config = tiny.config(num_hidden_layers=3)
        model = modeling.AlbertModel(config, True, ids, recompute_activations=True)
        before_layers = next(x for x in tf.trainable_variables() if "mapping_in/bias" in x.name)
        (gradient,) = tf.gradients(model.get_sequence_output(), before_layers)
        to_weights = {
            op
            for op in graph.get_operations()
            if "transformer" in op.name and op.type == "MatMul" and op.get_attr("transpose_a")
        }
    needed, waiting = set(), [gradient.op]
    while waiting:
        op = waiting.pop()
        if op not in needed:
            needed.add(op)
            waiting += [*op.control_inputs, *(tensor.op for tensor in op.inputs)]
    assert len(to_weights) == 3 * 4  # query, key and value as one; output; two of the feed-forward
    assert to_weights <= needed
