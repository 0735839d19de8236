"""ALBERT: a transformer encoder whose layers share their weights (arXiv 1909.11942).

Outside attention the model works on a matrix of tokens, [num_tokens, width]. Which positions of
[batch, seq] are its rows is up to the token layout; the layers do not know.
"""

import collections
import copy
import json
import math
import re

import tensorflow.compat.v1 as tf

from albert.common.errors import UsageError
from albert.nn.token_layout import PackedTokens, PaddedTokens

LAYER_NORM_EPSILON = 1e-12
MASKED_SCORE = -10000.0


class AlbertConfig:
    """The architecture, as read from `albert_config.json`.

    Keys that this model does not use are kept as attributes, so that a file is written back whole.
    """

    def __init__(
        self,
        vocab_size,
        embedding_size=128,
        hidden_size=4096,
        num_hidden_layers=12,
        num_hidden_groups=1,
        num_attention_heads=64,
        intermediate_size=16384,
        inner_group_num=1,
        down_scale_factor=1,
        hidden_act="gelu",
        hidden_dropout_prob=0,
        attention_probs_dropout_prob=0,
        max_position_embeddings=512,
        type_vocab_size=2,
        initializer_range=0.02,
    ):
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_hidden_groups = num_hidden_groups
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.inner_group_num = inner_group_num
        self.down_scale_factor = down_scale_factor
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range

    @classmethod
    def from_dict(cls, json_object):
        """Returns a config with the values of a dict over the defaults.

        Raises:
            UsageError: `vocab_size` is missing, a size is not a positive integer, or the heads do
                not divide the hidden size.
        """
        config = cls(vocab_size=None)
        for key, value in json_object.items():
            setattr(config, key, value)
        config._check()
        return config

    @classmethod
    def from_json_file(cls, json_file):
        """Returns the config in a JSON file; raises UsageError when it cannot be read."""
        try:
            with open(json_file, encoding="utf-8") as reader:
                json_object = json.load(reader)
        except OSError as error:
            raise UsageError(f"--albert_config_file={json_file}: {error.strerror}.") from error
        except ValueError as error:
            raise UsageError(f"--albert_config_file={json_file} is not JSON: {error}.") from error
        if not isinstance(json_object, dict):
            raise UsageError(f"--albert_config_file={json_file} does not hold a JSON object.")
        try:
            return cls.from_dict(json_object)
        except UsageError as error:
            raise UsageError(f"--albert_config_file={json_file}: {error}") from error

    def to_dict(self):
        """Returns all values as a new dict."""
        return copy.deepcopy(self.__dict__)

    def to_json_string(self):
        """Returns all values as indented JSON with sorted keys, ending in a newline."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def sizes(self):
        """Returns {key: int}, what decides the number and the shapes of the variables."""
        keys = (
            "vocab_size embedding_size hidden_size num_hidden_layers num_hidden_groups "
            "num_attention_heads intermediate_size inner_group_num max_position_embeddings "
            "type_vocab_size"
        )
        return {key: getattr(self, key) for key in keys.split()}

    def _check(self):
        for key, value in self.sizes().items():
            if not isinstance(value, int) or value < 1:
                raise UsageError(f"{key} must be a positive integer, not {value!r}.")
        for key in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, key)
            if not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise UsageError(f"{key} must be from 0 to below 1, not {value!r}.")
        if self.hidden_size % self.num_attention_heads:
            raise UsageError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}."
            )
        get_activation(self.hidden_act)


class Dropout:
    """Dropout whose masks depend on a seed and on the place in the model, on nothing else.

    Args:
        seed: int64 tensor [2]. With None a fresh seed is drawn at every run of the session.
    """

    def __init__(self, seed=None):
        if seed is None:
            seed = tf.random.uniform([2], maxval=2**62, dtype=tf.int64)
        self._seed = seed
        self._num_places = 0

    def __call__(self, tensor, rate):
        """Returns `tensor` with a share `rate` of its values 0 and the others scaled up."""
        if not rate:
            return tensor
        place = self._num_places
        self._num_places += 1
        seed = self._seed + tf.constant([0, place], tf.int64)
        noise = tf.random.stateless_uniform(tf.shape(tensor), seed=seed, dtype=tensor.dtype)
        return tensor * tf.cast(noise >= rate, tensor.dtype) * (1.0 / (1.0 - rate))


class AlbertModel:
    """The encoder: embeddings, transformer layers and pooler, built in the current graph.

    Args:
        config: AlbertConfig. Its dropout rates act only if `is_training`.
        is_training: bool.
        input_ids: int32 [batch, seq].
        input_mask: int32 [batch, seq], 1 for real tokens; None means all real.
        token_type_ids: int32 [batch, seq], the segment of each token; None means all 0.
        use_one_hot_embeddings: look word embeddings up by a matrix product (for TPUs).
        use_einsum: accepted for callers of the original; the products are the same either way.
        scope: variable scope, "bert" if None.
        dropout_seed: int64 tensor [2] that alone decides the dropout masks; None draws one per run.
        packed_tokens: compute real tokens only; False computes padding too, whose results have no
            meaning, in shapes that an export or a compiler knows beforehand.
    """

    def __init__(
        self,
        config,
        is_training,
        input_ids,
        input_mask=None,
        token_type_ids=None,
        use_one_hot_embeddings=False,
        use_einsum=True,
        scope=None,
        dropout_seed=None,
        packed_tokens=True,
    ):
        del use_einsum
        self._config = copy.deepcopy(config)
        if not is_training:
            self._config.hidden_dropout_prob = 0.0
            self._config.attention_probs_dropout_prob = 0.0
        self.dropout = Dropout(dropout_seed)
        self._transposed = {}
        shape = get_shape_list(input_ids, expected_rank=2)
        if packed_tokens and input_mask is not None:
            self._layout = PackedTokens(input_mask, shape, config.num_attention_heads)
        else:
            self._layout = PaddedTokens(shape, config.num_attention_heads)
        if input_mask is None:
            input_mask = tf.ones(shape, tf.int32)
        if token_type_ids is None:
            token_type_ids = tf.zeros(shape, tf.int32)

        with tf.variable_scope(scope, default_name="bert"):
            with tf.variable_scope("embeddings"):
                self._word_embeddings = self._embed_words(input_ids, use_one_hot_embeddings)
                self._embeddings = self._embed_places(token_type_ids)
            with tf.variable_scope("encoder"):
                self._encode(attention_bias(input_mask))
            with tf.variable_scope("pooler"):
                first = self.get_sequence_output()[:, 0]  # [batch, hidden]
                self._pooled_output = self._dense(first, self._config.hidden_size, tf.tanh)

    def get_pooled_output(self):
        """Returns tanh(dense([CLS] vector)): float [batch, hidden]."""
        return self._pooled_output

    def get_sequence_output(self):
        """Returns the last layer's output: float [batch, seq, hidden], if packed 0 at padding."""
        return self._layout.unflatten(self._layer_outputs[-1])

    def get_all_encoder_layers(self):
        """Returns the output of every layer, first to last: list of float [batch, seq, hidden]."""
        return [self._layout.unflatten(output) for output in self._layer_outputs]

    def get_word_embedding_output(self):
        """Returns the looked-up word vectors alone: float [batch, seq, embedding]."""
        return self._layout.unflatten(self._word_embeddings)

    def get_embedding_output(self):
        """Returns word + segment + position, normalised: float [batch, seq, embedding]."""
        return self._layout.unflatten(self._embeddings)

    def get_embedding_table(self):
        """Returns the word embedding table: float [vocab, embedding]."""
        return self._embedding_table

    def _embed_words(self, input_ids, use_one_hot_embeddings):
        config = self._config
        self._embedding_table = self._variable(
            "word_embeddings", [config.vocab_size, config.embedding_size]
        )
        token_ids = self._layout.flatten(input_ids)  # [num_tokens]
        if use_one_hot_embeddings:
            return tf.matmul(tf.one_hot(token_ids, config.vocab_size), self._embedding_table)
        return tf.gather(self._embedding_table, token_ids)

    def _embed_places(self, token_type_ids):
        config = self._config
        width = config.embedding_size
        types = self._variable("token_type_embeddings", [config.type_vocab_size, width])
        places = self._variable("position_embeddings", [config.max_position_embeddings, width])
        # A product with one-hot rows: with two rows only, the gather's gradient is slower.
        type_rows = tf.one_hot(self._layout.flatten(token_type_ids), config.type_vocab_size)
        total = self._word_embeddings + tf.matmul(type_rows, types)
        total += tf.gather(places, self._layout.positions)
        return self.dropout(layer_norm(total, "LayerNorm"), config.hidden_dropout_prob)

    def _encode(self, bias):
        """Runs all layers; layers of one group share one set of variables."""
        config = self._config
        tokens = self._embeddings
        if config.embedding_size != config.hidden_size:
            with tf.variable_scope("embedding_hidden_mapping_in"):
                tokens = self._dense_here(tokens, config.hidden_size)
        self._layer_outputs = []
        with tf.variable_scope("transformer", reuse=tf.AUTO_REUSE):
            for layer in range(config.num_hidden_layers):
                group = int(layer / config.num_hidden_layers * config.num_hidden_groups)
                for inner in range(config.inner_group_num):
                    with tf.variable_scope(f"group_{group}/inner_group_{inner}"):
                        tokens = self._transformer_layer(tokens, bias)
                    self._layer_outputs.append(tokens)

    def _transformer_layer(self, tokens, bias):
        """Returns one layer's output, [num_tokens, hidden] -> the same shape."""
        config = self._config
        with tf.variable_scope("attention_1"):
            with tf.variable_scope("self"):
                context = self._self_attention(tokens, bias)
            with tf.variable_scope("output"):
                attention = self._dense(context, config.hidden_size)
                attention = self.dropout(attention, config.hidden_dropout_prob)
        tokens = layer_norm(tokens + attention, "LayerNorm")
        with tf.variable_scope("ffn_1/intermediate"):
            activation = get_activation(config.hidden_act)
            inner = self._dense(tokens, config.intermediate_size, activation)
            with tf.variable_scope("output"):
                output = self._dense(inner, config.hidden_size)
                output = self.dropout(output, config.hidden_dropout_prob)
        return layer_norm(tokens + output, "LayerNorm_1")

    def _self_attention(self, tokens, bias):
        """Returns the heads' outputs side by side, [num_tokens, hidden] -> the same shape."""
        config = self._config
        head_size = config.hidden_size // config.num_attention_heads
        query = self._heads(tokens, "query")  # [batch, heads, seq, head_size]
        key = self._heads(tokens, "key")
        value = self._heads(tokens, "value")
        scores = tf.matmul(query * (1.0 / math.sqrt(head_size)), key, transpose_b=True)
        weights = tf.nn.softmax(scores + bias)  # [batch, heads, seq, seq]
        weights = self.dropout(weights, config.attention_probs_dropout_prob)
        return self._layout.merge_heads(tf.matmul(weights, value))

    def _heads(self, tokens, name):
        with tf.variable_scope(name):
            return self._layout.split_heads(self._dense_here(tokens, self._config.hidden_size))

    def _dense(self, tokens, width, activation=None):
        """Returns activation(tokens @ dense/kernel + dense/bias)."""
        with tf.variable_scope("dense"):
            output = self._dense_here(tokens, width)
        return activation(output) if activation else output

    def _dense_here(self, tokens, width):
        kernel = self._variable("kernel", [tokens.shape.as_list()[-1], width])
        bias = tf.get_variable("bias", [width], initializer=tf.zeros_initializer())
        return tf.nn.bias_add(self._product(tokens, kernel), bias)

    def _product(self, tokens, kernel):
        """Returns tokens @ kernel, whose gradient finds the kernel transposed.

        For few tokens a CPU spends as long on transposing a kernel as on the product; layers that
        share it share this work, too.
        """
        if kernel.name not in self._transposed:
            self._transposed[kernel.name] = tf.transpose(kernel)
        transposed = self._transposed[kernel.name]

        @tf.custom_gradient
        def product(tokens, kernel):
            def gradient(outer):
                return tf.matmul(outer, transposed), tf.matmul(tokens, outer, transpose_a=True)

            return tf.matmul(tokens, kernel), gradient

        return product(tokens, tf.convert_to_tensor(kernel))

    def _variable(self, name, shape):
        initializer = create_initializer(self._config.initializer_range)
        return tf.get_variable(name, shape, initializer=initializer)


def attention_bias(input_mask):
    """Returns what is added to the scores: int [batch, seq] -> float [batch, 1, 1, seq]."""
    return (1.0 - tf.cast(input_mask, tf.float32))[:, None, None, :] * MASKED_SCORE


def layer_norm(tensor, name):
    """Returns `tensor` with its last axis normalised, scaled by gamma and shifted by beta."""
    width = [tensor.shape.as_list()[-1]]
    with tf.variable_scope(name):
        beta = tf.get_variable("beta", width, initializer=tf.zeros_initializer())
        gamma = tf.get_variable("gamma", width, initializer=tf.ones_initializer())
    centred = tensor - tf.reduce_mean(tensor, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
    return centred * tf.rsqrt(variance + LAYER_NORM_EPSILON) * gamma + beta


def gelu(x):
    """Returns the tanh form of the Gaussian error linear unit (arXiv 1606.08415, section 2)."""
    # x * x * x, not tf.pow: the power and its gradient took a quarter of a training step.
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))))


def get_activation(activation_string):
    """Returns the function of that name: gelu, relu or tanh; None for linear, "" and None.

    A function is returned as it is. Raises UsageError for anything else.
    """
    if callable(activation_string):
        return activation_string
    activations = {"linear": None, "": None, "relu": tf.nn.relu, "gelu": gelu, "tanh": tf.tanh}
    name = "" if activation_string is None else str(activation_string).lower()
    if name not in activations:
        raise UsageError(
            f"hidden_act must be gelu, relu, tanh or linear, not {activation_string!r}."
        )
    return activations[name]


def create_initializer(initializer_range=0.02):
    """Returns the truncated normal initializer with that standard deviation."""
    return tf.truncated_normal_initializer(stddev=initializer_range)


def get_shape_list(tensor, expected_rank=None, name=None):
    """Returns the shape as a list: ints where known, scalar tensors elsewhere.

    Raises:
        ValueError: the rank is not `expected_rank` (an int, or several allowed ones).
    """
    static = tensor.shape.as_list()
    if expected_rank is not None:
        allowed = [expected_rank] if isinstance(expected_rank, int) else list(expected_rank)
        if len(static) not in allowed:
            raise ValueError(
                f"{name or tensor.name} has rank {len(static)} (shape {static}), not {allowed}."
            )
    dynamic = tf.shape(tensor)
    return [dynamic[axis] if size is None else size for axis, size in enumerate(static)]


def name_of(variable):
    """Returns a variable's name in checkpoints; that of its op may differ on other replicas."""
    return re.sub(r":\d+$", "", variable.name)


def get_assignment_map_from_checkpoint(tvars, init_checkpoint, num_of_group=0):
    """Returns what `tf.train.init_from_checkpoint` needs to load the variables found in a file.

    Args:
        tvars: variables of the model.
        init_checkpoint: path of a checkpoint.
        num_of_group: with more than 1, a group's variable that is not in the checkpoint takes
            the value of group 0.

    Returns:
        (assignment_map, initialized_variable_names): {name in the checkpoint: name in the model},
        or a list of such maps, one per group, if num_of_group > 0; and {name or name:0: 1}.
    """
    stored = {name for name, _ in tf.train.list_variables(init_checkpoint)}
    maps = [collections.OrderedDict() for _ in range(max(num_of_group, 1))]
    initialized = {}
    for variable in tvars:
        name = name_of(variable)
        source, group = name, 0
        match = re.search(r"/group_(\d+)/", name)
        if num_of_group > 1 and match:
            group = int(match.group(1))
            if name not in stored:
                source = name.replace(match.group(0), "/group_0/")
        if source in stored:
            maps[group][source] = name
            initialized[name] = initialized[name + ":0"] = 1
    return (maps if num_of_group > 0 else maps[0]), initialized
