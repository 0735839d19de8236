"""Tests of albert.modeling."""

import json
import zlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny

from albert import modeling
from albert.engine import checkpoints, devices
from albert.pretraining import heads

BASE = {
    "vocab_size": 30000,
    "embedding_size": 128,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
# Two sequences, the second one shorter; its ids at padding must not matter.
INPUT_IDS = np.array([[2, 7, 33, 49, 3, 12, 3], [2, 9, 9, 3, 41, 1, 5]], np.int32)
INPUT_MASK = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]], np.int32)
SEGMENT_IDS = np.array([[0, 0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 0, 0]], np.int32)
IS_REAL = INPUT_MASK.astype(bool)


# The variables of the released checkpoints


def layer_shapes(hidden, intermediate):
    """Returns {name within an inner group: shape}."""
    shapes = {}
    for part in ("query", "key", "value"):
        shapes[f"attention_1/self/{part}/kernel"] = [hidden, hidden]
        shapes[f"attention_1/self/{part}/bias"] = [hidden]
    shapes["attention_1/output/dense/kernel"] = [hidden, hidden]
    shapes["attention_1/output/dense/bias"] = [hidden]
    for norm in ("LayerNorm", "LayerNorm_1"):
        shapes[f"{norm}/beta"] = shapes[f"{norm}/gamma"] = [hidden]
    shapes["ffn_1/intermediate/dense/kernel"] = [hidden, intermediate]
    shapes["ffn_1/intermediate/dense/bias"] = [intermediate]
    shapes["ffn_1/intermediate/output/dense/kernel"] = [intermediate, hidden]
    shapes["ffn_1/intermediate/output/dense/bias"] = [hidden]
    return shapes


def encoder_shapes(config):
    """Returns {name: shape} of the variables of AlbertModel."""
    width, hidden = config.embedding_size, config.hidden_size
    shapes = {
        "bert/embeddings/word_embeddings": [config.vocab_size, width],
        "bert/embeddings/token_type_embeddings": [2, width],
        "bert/embeddings/position_embeddings": [config.max_position_embeddings, width],
        "bert/embeddings/LayerNorm/beta": [width],
        "bert/embeddings/LayerNorm/gamma": [width],
        "bert/encoder/embedding_hidden_mapping_in/kernel": [width, hidden],
        "bert/encoder/embedding_hidden_mapping_in/bias": [hidden],
        "bert/pooler/dense/kernel": [hidden, hidden],
        "bert/pooler/dense/bias": [hidden],
    }
    for group in range(config.num_hidden_groups):
        for inner in range(config.inner_group_num):
            scope = f"bert/encoder/transformer/group_{group}/inner_group_{inner}"
            for name, shape in layer_shapes(hidden, config.intermediate_size).items():
                shapes[f"{scope}/{name}"] = shape
    return shapes


def pretraining_shapes(config):
    """Returns {name: shape} of the pre-training heads of a released checkpoint."""
    width, hidden = config.embedding_size, config.hidden_size
    return {
        "cls/predictions/transform/dense/kernel": [hidden, width],
        "cls/predictions/transform/dense/bias": [width],
        "cls/predictions/transform/LayerNorm/beta": [width],
        "cls/predictions/transform/LayerNorm/gamma": [width],
        "cls/predictions/output_bias": [config.vocab_size],
        "cls/seq_relationship/output_weights": [2, hidden],
        "cls/seq_relationship/output_bias": [2],
    }


def make_values(shapes, scale=0.04):
    """Returns {name: array}, computed from the names alone, as for the oracle."""
    values = {}
    for name, shape in shapes.items():
        random = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
        r = random.standard_normal(shape).astype(np.float32)
        if name.endswith("gamma"):
            values[name] = 1 + np.float32(0.1) * r
        elif name.endswith("beta") or "bias" in name:
            values[name] = np.float32(0.05) * r
        else:
            values[name] = np.float32(scale) * r
    return values


# The forward pass in NumPy, float64


def np_layer_norm(x, values, name):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    normal = (x - mean) / np.sqrt(variance + 1e-12)
    return normal * values[name + "/gamma"] + values[name + "/beta"]


def np_gelu(x):
    return x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * np.power(x, 3))))


def np_dense(x, values, name):
    return x @ values[name + "/kernel"] + values[name + "/bias"]


def np_attention(x, input_mask, num_heads, values, name):
    """Returns the attention of one sequence, head by head: [seq, hidden] -> the same shape."""
    query, key, value = (np_dense(x, values, f"{name}/{k}") for k in ("query", "key", "value"))
    size = x.shape[-1] // num_heads
    outputs = []
    for head in range(num_heads):
        own = slice(head * size, (head + 1) * size)
        scores = query[:, own] @ key[:, own].T / np.sqrt(size) - 10000.0 * (1 - input_mask)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        outputs.append(weights / weights.sum(-1, keepdims=True) @ value[:, own])
    return np.concatenate(outputs, axis=-1)


def np_layer(x, input_mask, config, values, scope):
    context = np_attention(
        x, input_mask, config.num_attention_heads, values, scope + "/attention_1/self"
    )
    attention = np_dense(context, values, scope + "/attention_1/output/dense")
    x = np_layer_norm(x + attention, values, scope + "/LayerNorm")
    inner = np_gelu(np_dense(x, values, scope + "/ffn_1/intermediate/dense"))
    output = np_dense(inner, values, scope + "/ffn_1/intermediate/output/dense")
    return np_layer_norm(x + output, values, scope + "/LayerNorm_1")


def np_forward(config, values, groups, input_ids, input_mask, segment_ids):
    """Returns (embeddings, [layer outputs], pooled) of one sequence; groups: one per layer."""
    values = {name: value.astype(np.float64) for name, value in values.items()}
    x = values["bert/embeddings/word_embeddings"][input_ids]
    x = x + values["bert/embeddings/token_type_embeddings"][segment_ids]
    x = x + values["bert/embeddings/position_embeddings"][: len(input_ids)]
    embeddings = x = np_layer_norm(x, values, "bert/embeddings/LayerNorm")
    x = np_dense(x, values, "bert/encoder/embedding_hidden_mapping_in")
    layers = []
    for group in groups:
        for inner in range(config.inner_group_num):
            scope = f"bert/encoder/transformer/group_{group}/inner_group_{inner}"
            x = np_layer(x, input_mask, config, values, scope)
            layers.append(x)
    return embeddings, layers, np.tanh(np_dense(x[0], values, "bert/pooler/dense"))


# Running the model


def make_config(**changes):
    return tiny.config(**changes)


def random_init(session):
    session.run(tf.global_variables_initializer())


def load_values(values):
    """Returns a function that sets all variables of a session to these values."""

    def load(session):
        # A single run, with the values fed instead of the initial ones: variable.load is slow.
        initializers = {v.op.name: v.initializer for v in tf.global_variables()}
        feed = {initializers[name].inputs[1]: values[name] for name in initializers}
        session.run(list(initializers.values()), feed)

    return load


def run_model(config, fetch, initialize=random_init, inputs=None, is_training=False, **options):
    """Returns fetch(model), evaluated in a new graph and session.

    Args:
        initialize: function that takes the session.
        inputs: (input_ids, input_mask, segment_ids).
    """
    input_ids, input_mask, segment_ids = inputs or (INPUT_IDS, INPUT_MASK, SEGMENT_IDS)
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        model = modeling.AlbertModel(
            config,
            is_training,
            tf.constant(input_ids),
            None if input_mask is None else tf.constant(input_mask),
            None if segment_ids is None else tf.constant(segment_ids),
            **options,
        )
        fetches = fetch(model)
        with tf.Session() as session:
            initialize(session)
            return session.run(fetches)


def outputs(model):
    return model.get_sequence_output(), model.get_pooled_output()


def write_checkpoint(path, values):
    """Writes a checkpoint of variables with these names and values; returns its prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        zeros = tf.zeros_initializer()
        for name, value in values.items():
            tf.get_variable(name, value.shape, value.dtype, initializer=zeros)
        load_values(values)(session)
        return tf.train.Saver().save(session, str(path), write_meta_graph=False)


def init_from(checkpoint, num_of_group=0):
    """Returns a function that initializes a session from a checkpoint as fine-tuning does."""

    def initialize(session):
        maps, _ = modeling.get_assignment_map_from_checkpoint(
            tf.trainable_variables(), checkpoint, num_of_group
        )
        for assignment_map in maps if num_of_group else [maps]:
            tf.train.init_from_checkpoint(checkpoint, assignment_map)
        session.run(tf.global_variables_initializer())

    return initialize


def variable_shapes(config, **options):
    with tf.Graph().as_default():
        modeling.AlbertModel(config, True, tf.constant(INPUT_IDS), **options)
        return {v.op.name: v.shape.as_list() for v in tf.global_variables()}


# The oracle


@pytest.fixture(scope="module")
def base_values():
    config = modeling.AlbertConfig(**BASE)
    return make_values(dict(encoder_shapes(config), **pretraining_shapes(config)))


@pytest.fixture(scope="module")
def base_outputs(tmp_path_factory, base_values):
    """Returns the oracle, and what a checkpoint in the released layout gives.

    These are the outputs, sequence and pooled, and the logits of sentence order and of masked
    tokens, in the order of their positions.
    """
    from conftest import SHARED_DATA

    if not SHARED_DATA.is_dir():
        pytest.skip("needs the real data in ../shared/data")
    with open(SHARED_DATA / "oracle" / "albert_base_forward.json", encoding="utf-8") as reader:
        oracle = json.load(reader)
    stored = dict(base_values, global_step=np.array(125000, np.int64))
    for slot in ("adam_m", "adam_v"):
        stored["bert/pooler/dense/bias/" + slot] = np.ones([768], np.float32)
    checkpoint = write_checkpoint(
        tmp_path_factory.mktemp("albert_base") / "model.ckpt-best", stored
    )
    inputs = [np.array(oracle[key]) for key in ("input_ids", "input_mask", "segment_ids")]
    is_masked = np.zeros(inputs[0].shape, bool)
    for row, positions in zip(is_masked, oracle["masked_lm_positions"]):
        assert positions == sorted(positions)
        row[positions] = True

    def all_outputs(model):
        order_logits = heads.sentence_order_logits(model)
        return (
            *outputs(model),
            order_logits,
            heads.masked_lm_logits(model, tf.constant(is_masked)),
        )

    config = modeling.AlbertConfig(**BASE)
    return (oracle,) + tuple(run_model(config, all_outputs, init_from(checkpoint), inputs))


def test_sequence_output_of_real_tokens_agrees_with_the_official_graph(base_outputs):
    oracle, sequence = base_outputs[:2]
    is_real = np.array(oracle["input_mask"], bool)
    expected = np.concatenate(oracle["sequence_output_first_dims"])  # without the padding
    assert expected.shape == (19, 8)
    np.testing.assert_allclose(sequence[is_real][:, :8], expected, rtol=0, atol=1e-4)


def test_pooled_output_agrees_with_the_official_graph(base_outputs):
    oracle, _, pooled = base_outputs[:3]
    np.testing.assert_allclose(pooled[:, :16], oracle["pooled_output"], rtol=0, atol=1e-4)


def test_sentence_order_logits_agree_with_the_official_graph(base_outputs):
    oracle, _, _, logits, _ = base_outputs
    np.testing.assert_allclose(logits, oracle["sentence_order_logits"], rtol=0, atol=1e-4)


def test_masked_lm_logits_agree_with_the_official_graph(base_outputs):
    oracle, *_, logits = base_outputs
    assert logits.shape == (4, 30000)
    expected = oracle["masked_lm_logits_first_16"]
    np.testing.assert_allclose(logits[:, :16], expected, rtol=0, atol=1e-4)


# Variables


def test_variables_are_those_of_the_released_checkpoints():
    config = make_config()
    assert variable_shapes(config) == encoder_shapes(config)
    assert len(encoder_shapes(config)) == 25


def test_variables_of_several_groups_are_numbered():
    config = make_config(num_hidden_groups=2, inner_group_num=2)
    shapes = variable_shapes(config)
    assert shapes == encoder_shapes(config)
    scopes = {name.split("/")[3] + "/" + name.split("/")[4] for name in shapes if "group" in name}
    assert scopes == {f"group_{group}/inner_group_{inner}" for group in (0, 1) for inner in (0, 1)}


def test_operations_have_the_names_that_decide_the_order_of_sums():
    # With other names the sums of gradients round differently, and resuming an old run would not
    # give the same bits.
    with tf.Graph().as_default() as graph:
        modeling.AlbertModel(make_config(), True, tf.constant(INPUT_IDS))
        products = [op.name for op in graph.get_operations() if op.type == "MatMul"]
    layer = "bert/encoder/transformer/group_0/inner_group_0{}/"
    dense = [
        "attention_1/self/MatMul",  # query, key and value
        "attention_1/output/dense/MatMul",
        "ffn_1/intermediate/dense/MatMul",
        "ffn_1/intermediate/output/dense/MatMul",
    ]
    assert products == [
        "bert/embeddings/MatMul",
        "bert/encoder/embedding_hidden_mapping_in/MatMul",
        *(layer.format("") + name for name in dense),
        *(layer.format("_1") + name for name in dense),
        "bert/pooler/dense/MatMul",
    ]


def test_number_of_layers_does_not_change_the_variables():
    assert variable_shapes(make_config(num_hidden_layers=5)) == encoder_shapes(make_config())


@pytest.mark.parametrize("size, millions", [("base", 11.7), ("large", 17.7)])
def test_number_of_parameters_is_the_published_one(size, millions):
    large = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}
    shapes = variable_shapes(
        modeling.AlbertConfig(**dict(BASE, **large if size == "large" else {}))
    )
    total = sum(int(np.prod(shape)) for shape in shapes.values())
    assert round(total / 1e6, 1) == millions


def test_embeddings_as_wide_as_the_layers_are_not_mapped():
    names = variable_shapes(make_config(embedding_size=16))
    assert not [name for name in names if "embedding_hidden_mapping_in" in name]


def test_scope_replaces_bert():
    names = variable_shapes(make_config(), scope="encoder_a")
    assert {name.split("/")[0] for name in names} == {"encoder_a"}


def test_every_variable_is_trained():
    with tf.Graph().as_default():
        config = make_config(num_hidden_groups=2, inner_group_num=2)
        model = modeling.AlbertModel(config, True, tf.constant(INPUT_IDS))
        gradients = tf.gradients(model.get_pooled_output(), tf.trainable_variables())
        assert len(gradients) == len(tf.global_variables())
        assert None not in gradients


def test_initial_values_are_those_of_the_paper():
    config = make_config(initializer_range=0.05)
    values = run_model(config, lambda _: {v.op.name: v for v in tf.global_variables()})
    for name, value in values.items():
        if name.endswith("gamma"):
            assert (value == 1).all()
        elif name.endswith(("beta", "bias")):
            assert (value == 0).all()
        else:
            assert 0.05 < np.abs(value).max() <= 0.1  # cut at two standard deviations


# The forward pass


@pytest.mark.parametrize(
    "num_layers, num_groups, num_inner, groups",
    [
        (3, 1, 1, [0, 0, 0]),
        (4, 2, 1, [0, 0, 1, 1]),
        (3, 2, 1, [0, 0, 1]),
        (5, 3, 1, [0, 0, 1, 1, 2]),
        (2, 2, 2, [0, 1]),
    ],
)
def test_every_layer_agrees_with_numpy(num_layers, num_groups, num_inner, groups):
    config = make_config(
        num_hidden_layers=num_layers, num_hidden_groups=num_groups, inner_group_num=num_inner
    )
    values = make_values(encoder_shapes(config), scale=0.4)

    def everything(model):
        layers = model.get_all_encoder_layers()
        return model.get_embedding_output(), layers, model.get_pooled_output()

    embeddings, layers, pooled = run_model(config, everything, load_values(values))
    assert len(layers) == num_layers * num_inner
    for i, example in enumerate(zip(INPUT_IDS, INPUT_MASK, SEGMENT_IDS)):
        expected_embeddings, expected_layers, expected_pooled = np_forward(
            config, values, groups, *example
        )
        real = IS_REAL[i]
        np.testing.assert_allclose(embeddings[i][real], expected_embeddings[real], atol=1e-5)
        for layer, expected in zip(layers, expected_layers):
            np.testing.assert_allclose(layer[i][real], expected[real], atol=1e-5)
        np.testing.assert_allclose(pooled[i], expected_pooled, atol=1e-5)


@pytest.fixture(scope="module")
def tiny_values():
    return make_values(encoder_shapes(make_config()), scale=0.4)


def test_padding_does_not_change_the_results_of_real_tokens(tiny_values):
    load = load_values(tiny_values)
    sequence, pooled = run_model(make_config(), outputs, load)
    alone = [INPUT_IDS[1:, :4], None, SEGMENT_IDS[1:, :4]]
    expected_sequence, expected_pooled = run_model(make_config(), outputs, load, alone)
    np.testing.assert_allclose(sequence[1, :4], expected_sequence[0], atol=1e-5)
    np.testing.assert_allclose(pooled[1], expected_pooled[0], atol=1e-5)


def test_ids_at_padding_do_not_matter(tiny_values):
    load = load_values(tiny_values)
    other = [np.where(IS_REAL, INPUT_IDS, 0), INPUT_MASK, np.where(IS_REAL, SEGMENT_IDS, 0)]
    sequence, pooled = run_model(make_config(), outputs, load)
    other_sequence, other_pooled = run_model(make_config(), outputs, load, other)
    np.testing.assert_allclose(other_sequence[IS_REAL], sequence[IS_REAL], atol=1e-5)
    np.testing.assert_allclose(other_pooled, pooled, atol=1e-5)


def test_without_mask_and_segments_all_tokens_are_real_and_of_segment_0(tiny_values):
    load = load_values(tiny_values)
    spelt_out = [INPUT_IDS, np.ones_like(INPUT_IDS), np.zeros_like(INPUT_IDS)]
    expected = run_model(make_config(), outputs, load, spelt_out)
    actual = run_model(make_config(), outputs, load, [INPUT_IDS, None, None])
    for one, other in zip(actual, expected):
        np.testing.assert_array_equal(one, other)


def test_batch_and_length_may_be_unknown_when_the_graph_is_built(tiny_values):
    expected = run_model(make_config(), outputs, load_values(tiny_values))
    with tf.Graph().as_default(), tf.Session() as session:
        ids, mask, segments = (tf.placeholder(tf.int32, [None, None]) for _ in range(3))
        model = modeling.AlbertModel(make_config(), False, ids, mask, segments)
        load_values(tiny_values)(session)
        feed = {ids: INPUT_IDS, mask: INPUT_MASK, segments: SEGMENT_IDS}
        actual = session.run(outputs(model), feed)
    assert model.get_sequence_output().shape.as_list()[2] == 16
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("option", ["use_one_hot_embeddings", "use_einsum"])
def test_options_that_only_change_the_computation_give_the_same(tiny_values, option):
    results = [
        run_model(make_config(), outputs, load_values(tiny_values), **{option: value})
        for value in (False, True)
    ]
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_packed_and_padded_tokens_give_the_same(tiny_values):
    config = make_config(attention_probs_dropout_prob=0.1)

    def everything(model):
        sequence, pooled = outputs(model)
        weights = tf.constant(np.random.RandomState(2).normal(size=sequence.shape.as_list()))
        loss = tf.reduce_sum(tf.boolean_mask(sequence * tf.cast(weights, tf.float32), IS_REAL))
        variables = tf.trainable_variables()
        gradients = tf.gradients(loss + tf.reduce_sum(pooled * pooled), variables)
        return sequence, pooled, [tf.convert_to_tensor(gradient) for gradient in gradients]

    (packed, packed_pooled, packed_gradients), (padded, padded_pooled, padded_gradients) = (
        run_model(
            config,
            everything,
            load_values(tiny_values),
            is_training=True,
            dropout_seed=tf_seed(1, 2),
            packed_tokens=packed_tokens,
        )
        for packed_tokens in (True, False)
    )
    np.testing.assert_allclose(packed[IS_REAL], padded[IS_REAL], atol=1e-5)
    assert not packed[~IS_REAL].any()
    np.testing.assert_allclose(packed_pooled, padded_pooled, atol=1e-5)
    for one, other in zip(packed_gradients, padded_gradients):
        np.testing.assert_allclose(one, other, atol=1e-4 * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("options", [{}, {"packed_tokens": False}, {"recompute_activations": True}])
def test_optimizing_the_graph_does_not_change_the_gradients(options):
    # TensorFlow 1.15 gets some small graphs wrong when it optimizes them.
    mask = (np.arange(9) < np.array([[9], [4], [6]])).astype(np.int32)
    config = make_config(initializer_range=0.2, hidden_dropout_prob=0.1)
    unoptimized = tf.ConfigProto()
    unoptimized.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        seed = tf.constant([1, 2], tf.int64)
        ids = tf.constant(np.random.RandomState(8).randint(1, 50, [3, 9]), tf.int32)
        model = modeling.AlbertModel(
            config, True, ids, tf.constant(mask), dropout_seed=seed, **options
        )
        gradients = tf.gradients(tf.sin(model.get_pooled_output()), tf.trainable_variables())
        found = []
        for settings in (unoptimized, devices.session_config(["/cpu:0"])):
            with tf.Session(config=settings) as session:
                session.run(tf.global_variables_initializer())
                found.append(session.run([tf.convert_to_tensor(value) for value in gradients]))
    largest = max(np.abs(gradient).max() for gradient in found[0])
    for one, other in zip(*found):
        np.testing.assert_allclose(other, one, atol=1e-5 * largest)


def test_activation_of_the_config_is_used(tiny_values):
    gelu, _ = run_model(make_config(), outputs, load_values(tiny_values))
    relu, _ = run_model(make_config(hidden_act="relu"), outputs, load_values(tiny_values))
    assert np.abs(gelu - relu)[IS_REAL].max() > 0.01


def test_input_ids_of_another_rank_are_refused():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="rank 1"):
        modeling.AlbertModel(make_config(), False, tf.constant([1, 2]))


# Getters


def test_getters_return_the_shapes_they_promise():
    with tf.Graph().as_default():
        model = modeling.AlbertModel(make_config(), False, tf.constant(INPUT_IDS))
        assert model.get_pooled_output().shape.as_list() == [2, 16]
        assert model.get_sequence_output().shape.as_list() == [2, 7, 16]
        layers = model.get_all_encoder_layers()
        assert [layer.shape.as_list() for layer in layers] == [[2, 7, 16]] * 2
        assert model.get_embedding_output().shape.as_list() == [2, 7, 8]
        assert model.get_word_embedding_output().shape.as_list() == [2, 7, 8]
        assert model.get_embedding_table().shape.as_list() == [50, 8]


def test_embedding_table_is_the_variable(tiny_values):
    table = run_model(
        make_config(), lambda model: model.get_embedding_table(), load_values(tiny_values)
    )
    np.testing.assert_array_equal(table, tiny_values["bert/embeddings/word_embeddings"])


def test_word_embedding_output_is_the_rows_of_the_table(tiny_values):
    words = run_model(
        make_config(), lambda model: model.get_word_embedding_output(), load_values(tiny_values)
    )
    rows = tiny_values["bert/embeddings/word_embeddings"][INPUT_IDS]
    np.testing.assert_array_equal(words[IS_REAL], rows[IS_REAL])


def test_sequence_output_is_the_last_layer(tiny_values):
    sequence, layers = run_model(
        make_config(),
        lambda model: (model.get_sequence_output(), model.get_all_encoder_layers()),
        load_values(tiny_values),
    )
    np.testing.assert_array_equal(sequence, layers[-1])


# Dropout

DROPPING = {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5}


def mask_noise(model):
    """Returns the random tensors from which the dropout masks are made, in order."""
    del model
    operations = tf.get_default_graph().get_operations()
    return [op.outputs[0] for op in operations if op.type.startswith("StatelessRandomUniform")]


def test_every_dropout_call_of_the_model_has_its_own_mask():
    noise = run_model(
        make_config(**DROPPING), mask_noise, is_training=True, dropout_seed=tf_seed(1, 2)
    )
    assert len(noise) == 1 + 2 * 3  # embeddings; weights, attention and ffn of two layers
    prefixes = [tuple(array.ravel()[:8]) for array in noise]
    assert len(set(prefixes)) == len(noise)


def tf_seed(*seed):
    return np.array(seed, np.int64)


def run_with_dropout(tiny_values, seed, num_runs=1):
    """Returns the sequence outputs of several runs of one training graph."""
    with tf.Graph().as_default(), tf.Session() as session:
        seed = None if seed is None else tf.constant(seed, tf.int64)
        model = modeling.AlbertModel(
            make_config(**DROPPING), True, tf.constant(INPUT_IDS), dropout_seed=seed
        )
        load_values(tiny_values)(session)
        return [session.run(model.get_sequence_output()) for _ in range(num_runs)]


def test_model_with_the_same_dropout_seed_gives_the_same(tiny_values):
    first, again = run_with_dropout(tiny_values, [5, 6], num_runs=2)
    [rebuilt] = run_with_dropout(tiny_values, [5, 6])
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, rebuilt)


def test_model_with_another_dropout_seed_gives_something_else(tiny_values):
    [first], [second] = (
        run_with_dropout(tiny_values, [5, 6]),
        run_with_dropout(tiny_values, [5, 7000]),
    )
    assert np.abs(first - second).max() > 0.1


def test_model_without_a_dropout_seed_gives_something_else_every_run(tiny_values):
    first, second = run_with_dropout(tiny_values, None, num_runs=2)
    assert np.abs(first - second).max() > 0.1


def test_dropout_is_off_outside_training_and_the_config_does_not_change(tiny_values):
    config = make_config(**DROPPING)
    expected = run_model(make_config(), outputs, load_values(tiny_values))
    actual = run_model(config, outputs, load_values(tiny_values), is_training=False)
    for one, other in zip(actual, expected):
        np.testing.assert_array_equal(one, other)
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.5


@pytest.mark.parametrize("rate, num_calls", [("hidden", 1 + 2 * 2), ("attention_probs", 2)])
def test_each_dropout_rate_acts_on_the_right_tensors(rate, num_calls):
    config = make_config(**{rate + "_dropout_prob": 0.5})
    noise = run_model(config, mask_noise, is_training=True, dropout_seed=tf_seed(1, 2))
    assert len(noise) == num_calls


# Small parts


def test_shape_list_of_a_known_shape_is_ints():
    with tf.Graph().as_default():
        assert modeling.get_shape_list(tf.zeros([2, 3])) == [2, 3]


def test_shape_list_has_tensors_where_the_size_is_unknown():
    with tf.Graph().as_default(), tf.Session() as session:
        tensor = tf.placeholder(tf.float32, [None, 3])
        rows, columns = modeling.get_shape_list(tensor, expected_rank=2)
        assert columns == 3
        assert session.run(rows, {tensor: np.zeros([5, 3])}) == 5


@pytest.mark.parametrize("expected_rank", [2, [1, 2], (2,)])
def test_shape_list_takes_one_rank_or_several(expected_rank):
    with tf.Graph().as_default():
        assert modeling.get_shape_list(tf.zeros([2, 3]), expected_rank) == [2, 3]


@pytest.mark.parametrize("expected_rank, allowed", [(3, r"\[3\]"), ([1, 3], r"\[1, 3\]")])
def test_shape_list_refuses_another_rank(expected_rank, allowed):
    with tf.Graph().as_default(), pytest.raises(ValueError, match=f"scores .* 2 .*{allowed}"):
        modeling.get_shape_list(tf.zeros([2, 3]), expected_rank, name="scores")


# Loading checkpoints


def map_for(config, checkpoint, num_of_group=0):
    """Returns the assignment map and names for a model with a classifier on top."""
    with tf.Graph().as_default():
        modeling.AlbertModel(config, False, tf.constant(INPUT_IDS))
        tf.get_variable("output_weights", [3, 16])
        return modeling.get_assignment_map_from_checkpoint(
            tf.trainable_variables(), checkpoint, num_of_group
        )


@pytest.fixture(scope="module")
def released(tmp_path_factory, tiny_values):
    """Returns the prefix of a tiny checkpoint in the released layout."""
    values = dict(tiny_values, **make_values(pretraining_shapes(make_config())))
    for name in list(values):
        values[name + "/adam_m"] = values[name + "/adam_v"] = np.zeros_like(values[name])
    values["global_step"] = np.array(9, np.int64)
    return write_checkpoint(tmp_path_factory.mktemp("released") / "model.ckpt-best", values)


def test_encoder_variables_map_to_themselves_and_nothing_else_does(released):
    assignment_map, initialized = map_for(make_config(), released)
    names = encoder_shapes(make_config())
    assert assignment_map == {name: name for name in names}
    assert initialized == dict({n: 1 for n in names}, **{n + ":0": 1 for n in names})


def test_released_checkpoint_loads_completely(released, tiny_values):
    loaded = run_model(
        make_config(), lambda _: {v.op.name: v for v in tf.global_variables()}, init_from(released)
    )
    assert sorted(loaded) == sorted(tiny_values)
    for name, value in loaded.items():
        np.testing.assert_array_equal(value, tiny_values[name])


def test_variable_that_a_partial_checkpoint_lacks_keeps_its_initial_value(tmp_path, tiny_values):
    lacking = "bert/pooler/dense/bias"
    partial = {name: value for name, value in tiny_values.items() if name != lacking}
    checkpoint = write_checkpoint(tmp_path / "model.ckpt-1", partial)
    assignment_map, initialized = map_for(make_config(), checkpoint)
    assert sorted(assignment_map) == sorted(partial)
    assert lacking not in initialized and lacking + ":0" not in initialized
    loaded = run_model(
        make_config(),
        lambda _: {v.op.name: v for v in tf.global_variables()},
        init_from(checkpoint),
    )
    np.testing.assert_array_equal(loaded[lacking], np.zeros([16]))
    for name, value in partial.items():
        np.testing.assert_array_equal(loaded[name], value)


def test_checkpoint_of_another_model_matches_nothing(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "other.ckpt", {"other": np.zeros([2], np.float32)})
    assert map_for(make_config(), checkpoint) == ({}, {})


def test_path_of_the_index_file_can_be_turned_into_a_prefix(released):
    path = checkpoints.prefix(released + ".index")
    assert map_for(make_config(), path) == map_for(make_config(), released)


def test_group_0_of_a_checkpoint_loads_into_every_group(released, tiny_values):
    config = make_config(num_hidden_groups=2)
    maps, initialized = map_for(config, released, num_of_group=2)
    assert len(maps) == 2
    assert {name for name in initialized if ":" not in name} == set(encoder_shapes(config))
    loaded = run_model(
        config,
        lambda _: {v.op.name: v for v in tf.global_variables()},
        init_from(released, num_of_group=2),
    )
    assert len(loaded) == 25 + 16
    for name, value in loaded.items():
        source = name.replace("/group_1/", "/group_0/")
        np.testing.assert_array_equal(value, tiny_values[source])


def test_group_that_the_checkpoint_has_takes_its_own_values(tmp_path):
    config = make_config(num_hidden_groups=2, inner_group_num=2)
    values = make_values(encoder_shapes(config))
    checkpoint = write_checkpoint(tmp_path / "model.ckpt-1", values)
    loaded = run_model(
        config,
        lambda _: {v.op.name: v for v in tf.global_variables()},
        init_from(checkpoint, num_of_group=2),
    )
    for name, value in loaded.items():
        np.testing.assert_array_equal(value, values[name])


def test_group_that_the_checkpoint_lacks_is_not_loaded_without_num_of_group(released):
    assignment_map, _ = map_for(make_config(num_hidden_groups=2), released)
    assert assignment_map == {name: name for name in encoder_shapes(make_config())}


def test_one_group_gives_a_list_of_one_map(released):
    [assignment_map], _ = map_for(make_config(), released, num_of_group=1)
    assert assignment_map == {name: name for name in encoder_shapes(make_config())}


@pytest.mark.parametrize(
    "name, depth",
    [
        ("bert/embeddings/word_embeddings", 0),
        ("bert/encoder/embedding_hidden_mapping_in/kernel", 0),
        ("bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel", 1),
        ("bert/encoder/transformer/group_1/inner_group_0/LayerNorm/beta", 3),
        ("bert/encoder/transformer/group_1/inner_group_1/LayerNorm/beta", 4),
        ("bert/pooler/dense/bias", 5),
        ("output_weights", 5),
    ],
)
def test_depth_counts_groups_of_weights_from_the_embeddings_to_the_head(name, depth):
    config = tiny.config(num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2)
    assert modeling.depth_of(name, config) == depth
