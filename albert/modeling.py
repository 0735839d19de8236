"""ALBERT: a transformer encoder whose layers share their weights (arXiv 1909.11942).

Outside attention the model works on a matrix of tokens, [num_tokens, width]. The token layout
decides which positions of [batch, seq] are its rows; the layers need not know.
"""

import collections
import copy
import dataclasses
import json
import math
import re
import reprlib
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import tensorflow.compat.v1 as tf

from albert.common import json_files
from albert.common.errors import UsageError

# create_initializer and gelu are imported for users, who find them here in the original.
from albert.nn.layers import (  # noqa: F401
    INITIALIZER_RANGE,
    Dense,
    Dropout,
    JoinedDense,
    LayerNorm,
    create_initializer,
    gelu,
    get_activation,
    variable_scope,
)
from albert.nn.token_layout import TokenLayout, rows_where, token_layout

ENCODER = "bert/"  # begins the names of all variables of the model, but not of a head
MASKED_SCORE = -10000.0
_LARGEST_SIZE = 1 << 24  # that a configuration may name; larger ones are mistakes


@dataclasses.dataclass
class AlbertConfig:
    """The architecture, as read from `albert_config.json`.

    Unknown keys are kept as attributes, so that writing the config back loses nothing.
    """

    vocab_size: int
    embedding_size: int = 128
    hidden_size: int = 4096
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1
    num_attention_heads: int = 64
    intermediate_size: int = 16384
    inner_group_num: int = 1
    down_scale_factor: int = 1
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0
    attention_probs_dropout_prob: float = 0
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = INITIALIZER_RANGE

    @classmethod
    def from_dict(cls, json_object: Dict[str, Any]) -> "AlbertConfig":
        """Returns a config with the values of a dict in place of the defaults.

        Raises:
            UsageError: `vocab_size` is missing, a value is of the wrong type or out of range, sizes
                contradict each other, or a key would replace a method.
        """
        config = cls(vocab_size=json_object.get("vocab_size"))  # type: ignore[arg-type]
        fields = {field.name for field in dataclasses.fields(cls)}
        for key, value in json_object.items():
            if key not in fields and (hasattr(cls, key) or key.startswith("__")):
                raise UsageError(f"{reprlib.repr(key)} is not allowed as a key: remove it.")
            setattr(config, key, value)
        config._check()
        return config

    @classmethod
    def from_json_file(cls, json_file: str) -> "AlbertConfig":
        """Returns the config in a JSON file; raises UsageError when it cannot be read."""
        json_object = json_files.load_json(json_file, "albert_config_file")
        try:
            return cls.from_dict(json_object)
        except UsageError as error:
            raise UsageError(
                f"<albert_config_file>: {error}", albert_config_file=json_file
            ) from error

    def to_dict(self) -> Dict[str, Any]:
        """Returns all values as a new dict."""
        return copy.deepcopy(self.__dict__)

    def to_json_string(self) -> str:
        """Returns all values as indented JSON with sorted keys, ending in a newline."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def sizes(self) -> Dict[str, int]:
        """Returns the values that determine the number and the shapes of the variables."""
        keys = (
            "vocab_size embedding_size hidden_size num_hidden_layers num_hidden_groups "
            "num_attention_heads intermediate_size inner_group_num max_position_embeddings "
            "type_vocab_size"
        )
        return {key: getattr(self, key) for key in keys.split()}

    def _check(self) -> None:
        for key, value in self.sizes().items():
            if not _is_number(value, int) or not 1 <= value <= _LARGEST_SIZE:
                allowed = f"an integer from 1 to {_LARGEST_SIZE}"
                raise UsageError(f"{key} must be {allowed}, not {reprlib.repr(value)}.")
        for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range"):
            value = getattr(self, key)
            if not _is_number(value, (int, float)) or not 0 <= value < 1:
                raise UsageError(
                    f"{key} must be a number from 0 to below 1, not {reprlib.repr(value)}."
                )
        if self.hidden_size % self.num_attention_heads:
            raise UsageError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}."
            )
        if self.num_hidden_groups > self.num_hidden_layers:
            raise UsageError(
                f"num_hidden_groups {self.num_hidden_groups} is more than "
                f"num_hidden_layers {self.num_hidden_layers}."
            )
        get_activation(self.hidden_act)


def _is_number(value: Any, kind: Union[type, Tuple[type, ...]]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # True is an int to Python


class AlbertModel:
    """The encoder: embeddings, transformer layers and pooler, built in the current graph.

    Args:
        config: the architecture.
        is_training: whether to apply dropout.
        input_ids: int32 [batch, seq].
        input_mask: int32 [batch, seq], 1 for real tokens; None means all are real.
        token_type_ids: int32 [batch, seq], the segment of each token; None means all are 0.
        use_one_hot_embeddings: look up word embeddings by a matrix product (for TPUs).
        use_einsum: has no effect; accepted for compatibility with the original.
        scope: variable scope, "bert" if None.
        dropout_seed: int64 tensor [2] that determines the dropout masks; None draws one per run.
        packed_tokens: compute only real tokens. False computes padding too: its results are
            meaningless, but all shapes follow from those of the inputs, as export needs.
        compute_type: of the encoder's products and activations; see nn.precision. All results
            are float32.
        use_xla: compile the layers' gelu with XLA: one loop over memory, and one for its gradient,
            in place of some ten operations each. Needs TensorFlow 2.15.
        recompute_activations: keep only the output of each layer for the gradient, and compute
            what is inside a layer once more: memory of one layer instead of all, for a third more
            computation.

    Attributes:
        config: the architecture.
        dropout: nn.layers.Dropout, for the head to use.
    """

    def __init__(
        self,
        config: AlbertConfig,
        is_training: bool,
        input_ids: Any,
        input_mask: Any = None,
        token_type_ids: Any = None,
        use_one_hot_embeddings: bool = False,
        use_einsum: bool = True,
        scope: Optional[str] = None,
        dropout_seed: Any = None,
        packed_tokens: bool = True,
        compute_type: Any = tf.float32,
        recompute_activations: bool = False,
        use_xla: bool = False,
    ) -> None:
        del use_einsum
        self.config = config
        self.dropout = Dropout(is_training, dropout_seed)
        shape = get_shape_list(input_ids, expected_rank=2)
        packing_mask = input_mask if packed_tokens else None
        self._layout = layout = token_layout(packing_mask, shape, config.num_attention_heads)
        input_mask = tf.ones(shape, tf.int32) if input_mask is None else input_mask
        token_type_ids = tf.zeros(shape, tf.int32) if token_type_ids is None else token_type_ids
        with tf.variable_scope(scope, default_name="bert"):
            with tf.variable_scope("embeddings"):
                self._embedding_table, self._word_embeddings = embed_words(
                    config, layout.flatten(input_ids), use_one_hot_embeddings
                )
                embeddings = add_segments_and_positions(
                    config,
                    self._word_embeddings,
                    layout.flatten(token_type_ids),
                    layout.positions,
                )
                self._embeddings = self.dropout(embeddings, config.hidden_dropout_prob)
            with tf.variable_scope("encoder"):
                self._layer_outputs = encode(
                    config,
                    tf.cast(self._embeddings, compute_type),
                    layout,
                    attention_bias(input_mask),
                    self.dropout,
                    recompute_activations,
                    use_xla,
                )
            with tf.variable_scope("pooler"):
                first = self.get_sequence_output()[:, 0]  # [batch, hidden]
                pooler = _dense(config, "dense", config.hidden_size, config.hidden_size, tf.tanh)
                self._pooled_output = pooler(first)

    def get_pooled_output(self) -> Any:
        """Returns tanh(dense([CLS] vector)): float [batch, hidden]."""
        return self._pooled_output

    def get_sequence_output(self) -> Any:
        """Returns the last layer's output: float [batch, seq, hidden], 0 at padding if packed."""
        return self._padded(self._layer_outputs[-1])

    def get_outputs_where(self, is_chosen: Any) -> Any:
        """Returns the last layer's output at some of the tokens: float [num_chosen, hidden].

        Args:
            is_chosen: bool [batch, seq], False at padding; the outputs come row by row.
        """
        is_chosen = self._layout.flatten(is_chosen)
        return tf.cast(rows_where(is_chosen, self._layer_outputs[-1]), tf.float32)

    def get_all_encoder_layers(self) -> List[Any]:
        """Returns the output of every layer, first to last, each float [batch, seq, hidden]."""
        return [self._padded(output) for output in self._layer_outputs]

    def get_word_embedding_output(self) -> Any:
        """Returns the word vectors alone: float [batch, seq, embedding]."""
        return self._layout.unflatten(self._word_embeddings)

    def get_embedding_output(self) -> Any:
        """Returns word + segment + position, normalised: float [batch, seq, embedding]."""
        return self._layout.unflatten(self._embeddings)

    def get_embedding_table(self) -> Any:
        """Returns the word embedding table: float [vocab, embedding]."""
        return self._embedding_table

    def _padded(self, tokens):
        return tf.cast(self._layout.unflatten(tokens), tf.float32)


def embed_words(
    config: AlbertConfig, token_ids: Any, use_one_hot_embeddings: bool = False
) -> Tuple[Any, Any]:
    """Returns the embedding table, and its rows for the tokens: float [num_tokens, embedding]."""
    table = tf.get_variable(
        "word_embeddings",
        [config.vocab_size, config.embedding_size],
        initializer=create_initializer(config.initializer_range),
    )
    if use_one_hot_embeddings:
        return table, tf.matmul(tf.one_hot(token_ids, config.vocab_size), table)
    return table, tf.gather(table, token_ids)


def add_segments_and_positions(
    config: AlbertConfig, word_embeddings: Any, token_type_ids: Any, positions: Any
) -> Any:
    """Returns the normalised sum of word, segment and position vectors.

    Args:
        word_embeddings: float [num_tokens, embedding].
        token_type_ids, positions: int32 [num_tokens].
    """
    width = config.embedding_size
    initializer = create_initializer(config.initializer_range)
    segment_table = tf.get_variable(
        "token_type_embeddings", [config.type_vocab_size, width], initializer=initializer
    )
    position_table = tf.get_variable(
        "position_embeddings", [config.max_position_embeddings, width], initializer=initializer
    )
    # A product with one-hot rows: for a table of two rows the gradient of a gather is slower.
    segments = tf.matmul(tf.one_hot(token_type_ids, config.type_vocab_size), segment_table)
    total = word_embeddings + segments + tf.gather(position_table, positions)
    return LayerNorm(width, "LayerNorm")(total)


def encode(
    config: AlbertConfig,
    tokens: Any,
    layout: TokenLayout,
    bias: Any,
    dropout: Dropout,
    recompute_activations: bool = False,
    use_xla: bool = False,
) -> List[Any]:
    """Returns the output of every layer, each [num_tokens, hidden] in the type of `tokens`.

    Sharing weights between layers is ALBERT's main idea: there are `num_hidden_groups` groups of
    layers, and each group is applied repeatedly with the same weights.

    Args:
        tokens: float [num_tokens, embedding].
        bias: float [batch, 1, 1, seq], added to the attention scores.
        recompute_activations, use_xla: see AlbertModel.
    """
    if config.embedding_size != config.hidden_size:
        project = _dense(
            config, "embedding_hidden_mapping_in", config.embedding_size, config.hidden_size
        )
        tokens = project(tokens)
    groups: List[List[TransformerLayer]] = []
    outputs: List[Any] = []
    with tf.variable_scope("transformer"):
        for number in range(config.num_hidden_layers):
            group = int(number / config.num_hidden_layers * config.num_hidden_groups)
            if group == len(groups):
                names = [f"group_{group}/inner_group_{n}" for n in range(config.inner_group_num)]
                groups.append([TransformerLayer(config, name, use_xla) for name in names])
            for layer in groups[group]:
                call = layer.recomputed if recompute_activations else layer
                tokens = call(tokens, layout, bias, dropout)
                outputs.append(tokens)
    return outputs


def _dense(config, name, num_inputs, num_outputs, activation=None):
    return Dense(
        name, num_inputs, num_outputs, activation, initializer_range=config.initializer_range
    )


class TransformerLayer:
    """Attention and a feed-forward network, each with a residual connection and a layer norm."""

    def __init__(self, config: AlbertConfig, name: str, use_xla: bool = False) -> None:
        self._config = config
        self._name = name
        hidden, inner = config.hidden_size, config.intermediate_size
        with variable_scope(name):
            with variable_scope("attention_1/self"):
                self._query = _dense(config, "query", hidden, hidden)
                self._key = _dense(config, "key", hidden, hidden)
                self._value = _dense(config, "value", hidden, hidden)
            with variable_scope("attention_1/output"):
                self._attention_output = _dense(config, "dense", hidden, hidden)
            self._query_key_value = JoinedDense([self._query, self._key, self._value])
            self._attention_norm = LayerNorm(hidden, "LayerNorm")
            with variable_scope("ffn_1/intermediate"):
                activation = get_activation(config.hidden_act, use_xla)
                self._intermediate = _dense(config, "dense", hidden, inner, activation)
                with variable_scope("output"):
                    self._output = _dense(config, "dense", inner, hidden)
            self._output_norm = LayerNorm(hidden, "LayerNorm_1")

    def recomputed(self, tokens: Any, layout: TokenLayout, bias: Any, dropout: Dropout) -> Any:
        """Returns the layer's output; for the gradient it is computed once more (1604.06174)."""
        # Read here: a function with a gradient of its own must not read variables.
        weights = [weight.tensor() for part in self._parts() for weight in part.weights]
        again = dropout.copy()  # draws the same masks

        @tf.custom_gradient
        def output(tokens, *_):
            def gradient(outer):
                # It waits for the gradient that it is needed for, or it would take the memory that
                # it is to save; and it cannot be merged with the first computation.
                with tf.control_dependencies([outer]):
                    start = tf.identity(tokens)
                result = self(start, layout, bias, again)
                # Not into the layers before this one, which use the same weights.
                to_start, *to_weights = tf.gradients(
                    result, [start, *weights], outer, stop_gradients=[start]
                )
                # The layer before this one waits for all of them: TensorFlow would put off those
                # of the weights, which nothing waits for, and keep the activations that they need.
                with tf.control_dependencies(to_weights):
                    return [tf.identity(to_start), *to_weights]

            return self(tokens, layout, bias, dropout), gradient

        return output(tokens, *weights)

    def _parts(self):
        return [
            self._query,
            self._key,
            self._value,
            self._attention_output,
            self._attention_norm,
            self._intermediate,
            self._output,
            self._output_norm,
        ]

    def __call__(self, tokens: Any, layout: TokenLayout, bias: Any, dropout: Dropout) -> Any:
        """Returns the layer's output: [num_tokens, hidden] -> the same shape."""
        rate = self._config.hidden_dropout_prob
        with tf.name_scope(self._name):
            with tf.name_scope("attention_1"):
                with tf.name_scope("self"):
                    context = self._attend(tokens, layout, bias, dropout)
                with tf.name_scope("output"):
                    attended = dropout(self._attention_output(context), rate)
            tokens = self._attention_norm(tokens + attended)
            with tf.name_scope("ffn_1/intermediate"):
                inner = self._intermediate(tokens)  # [num_tokens, intermediate]
                with tf.name_scope("output"):
                    output = dropout(self._output(inner), rate)
            return self._output_norm(tokens + output)

    def _attend(self, tokens, layout, bias, dropout):
        """Returns the concatenated outputs of the heads: [num_tokens, hidden] -> the same shape."""
        query, key, value = (  # each [batch, heads, seq, head_size]
            layout.split_heads(part) for part in self._query_key_value(tokens)
        )
        scale = 1.0 / math.sqrt(self._config.hidden_size // self._config.num_attention_heads)
        scores = tf.matmul(query * scale, key, transpose_b=True)  # [batch, heads, seq, seq]
        weights = tf.cast(tf.nn.softmax(tf.cast(scores, tf.float32) + bias), tokens.dtype)
        weights = dropout(weights, self._config.attention_probs_dropout_prob)
        return layout.merge_heads(tf.matmul(weights, value))


def attention_bias(input_mask: Any) -> Any:
    """Returns the bias to add to attention scores: int [batch, seq] -> float [batch, 1, 1, seq]."""
    return (1.0 - tf.cast(input_mask, tf.float32))[:, None, None, :] * MASKED_SCORE


def get_shape_list(
    tensor: Any, expected_rank: Union[int, Sequence[int], None] = None, name: Optional[str] = None
) -> List[Any]:
    """Returns the shape as a list: an int for each known size, a scalar tensor for the others.

    Raises:
        ValueError: the rank is not `expected_rank` (one int, or a sequence of allowed ones).
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


def name_of(variable: Any) -> str:
    """Returns a variable's name in checkpoints. (The op name may differ on other replicas.)"""
    return re.sub(r":\d+$", "", variable.name)


def depth_of(name: str, config: AlbertConfig) -> int:
    """Returns how far above the input a variable is, given its name in checkpoints.

    0 is the embeddings with their projection, 1 the first inner group, and so on; the pooler and
    the head are above the last one. A group counts once, however many layers share it.
    """
    if re.match("bert/(embeddings|encoder/embedding_hidden_mapping_in)/", name):
        return 0
    group = re.match(r"bert/encoder/transformer/group_(\d+)/inner_group_(\d+)/", name)
    if group:
        return 1 + int(group.group(1)) * config.inner_group_num + int(group.group(2))
    return 1 + config.num_hidden_groups * config.inner_group_num


def get_assignment_map_from_checkpoint(
    tvars: Sequence[Any], init_checkpoint: str, num_of_group: int = 0
) -> Tuple[Any, Dict[str, int]]:
    """Returns the assignment map with which `tf.train.init_from_checkpoint` loads a checkpoint.

    Args:
        tvars: variables of the model.
        init_checkpoint: prefix of the checkpoint.
        num_of_group: if more than 1, a variable of a group that is not in the checkpoint takes the
            value from group 0.

    Returns:
        (assignment_map, initialized_variable_names). The first is {name in the checkpoint: name in
        the model} or, if num_of_group > 0, a list of such maps, one per group. The second has the
        keys `name` and `name:0` for each variable found; its values are 1.
    """
    stored = {name for name, _ in tf.train.list_variables(init_checkpoint)}
    maps: List[Dict[str, str]] = [collections.OrderedDict() for _ in range(max(num_of_group, 1))]
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
