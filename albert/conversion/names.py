"""Names of variables: those of google-research/albert, and those of Hugging Face transformers.

Hugging Face stores a dense layer's weight as [outputs, inputs], the transpose of a kernel; the
weights of a classifier are [outputs, inputs] in both.
"""

import os
import re
from typing import Dict, Iterable, NamedTuple, Optional

WEIGHTS, CONFIG = "model.safetensors", "config.json"  # files of a model

PROJECTION = "encoder.embedding_hidden_mapping_in"  # from embeddings to hidden states
ENCODER = "albert."  # begins the names of the encoder, but in models without a head

_DENSE = {"weight": "kernel", "bias": "bias"}
_NORM = {"weight": "gamma", "bias": "beta"}
_CLASSIFIER = {"weight": "output_weights", "bias": "output_bias"}

_LAYER = "encoder.albert_layer_groups.#.albert_layers.#."
_OUR_LAYER = "bert/encoder/transformer/group_#/inner_group_#/"

# (Hugging Face's name without its last part; ours; {last part: ours}). A # stands for a number.
_MODULES = (
    ("embeddings.LayerNorm", "bert/embeddings/LayerNorm/", _NORM),
    (PROJECTION, "bert/encoder/embedding_hidden_mapping_in/", _DENSE),
    (_LAYER + "attention.query", _OUR_LAYER + "attention_1/self/query/", _DENSE),
    (_LAYER + "attention.key", _OUR_LAYER + "attention_1/self/key/", _DENSE),
    (_LAYER + "attention.value", _OUR_LAYER + "attention_1/self/value/", _DENSE),
    (_LAYER + "attention.dense", _OUR_LAYER + "attention_1/output/dense/", _DENSE),
    (_LAYER + "attention.LayerNorm", _OUR_LAYER + "LayerNorm/", _NORM),
    (_LAYER + "ffn", _OUR_LAYER + "ffn_1/intermediate/dense/", _DENSE),
    (_LAYER + "ffn_output", _OUR_LAYER + "ffn_1/intermediate/output/dense/", _DENSE),
    (_LAYER + "full_layer_layer_norm", _OUR_LAYER + "LayerNorm_1/", _NORM),
    ("pooler", "bert/pooler/dense/", _DENSE),
    ("predictions.dense", "cls/predictions/transform/dense/", _DENSE),
    ("predictions.LayerNorm", "cls/predictions/transform/LayerNorm/", _NORM),
    ("sop_classifier.classifier", "cls/seq_relationship/", _CLASSIFIER),
    ("qa_outputs", "cls/squad/", _CLASSIFIER),
    ("classifier", "", _CLASSIFIER),
)
_RENAMED = tuple(
    (f"{module}.{part}", ours + our_part, our_part == "kernel")
    for module, ours, parts in _MODULES
    for part, our_part in parts.items()
) + (
    ("embeddings.word_embeddings.weight", "bert/embeddings/word_embeddings", False),
    ("embeddings.position_embeddings.weight", "bert/embeddings/position_embeddings", False),
    ("embeddings.token_type_embeddings.weight", "bert/embeddings/token_type_embeddings", False),
    ("predictions.bias", "cls/predictions/output_bias", False),
)
# Copies of other variables, and numbers that need not be stored.
_DERIVED = r"predictions\.decoder\.(weight|bias)|embeddings\.position_ids"


def is_model(path: str) -> bool:
    """Returns whether a path is a model of Hugging Face: a folder, or a file of weights."""
    is_file = path.endswith(".safetensors") and os.path.isfile(path)
    return is_file or os.path.isfile(os.path.join(path, CONFIG))


class Variable(NamedTuple):
    """A variable; `is_kernel`: ours is the transpose of Hugging Face's."""

    name: str
    is_kernel: bool


def of_hugging_face(names: Iterable[str]) -> Dict[str, Optional[Variable]]:
    """Returns {name of Hugging Face: our variable; None if we have none of that name}.

    Names that stand for copies of other variables are left out. The encoder's begin with `albert.`
    or not, and old ones have AlbertLayerNorm, gamma and beta in them.
    """
    found = {name: _current(name) for name in names}
    return {
        name: _ours(current)
        for name, current in found.items()
        if not re.fullmatch(_DERIVED, current)
    }


def _current(name: str) -> str:
    """Returns a name as current releases write it, without the prefix of the encoder."""
    name = name[len(ENCODER) :] if name.startswith(ENCODER) else name
    name = name.replace("AlbertLayerNorm", "LayerNorm")
    return re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))


def to_hugging_face(name: str) -> Optional[Variable]:
    """Returns Hugging Face's variable for one of ours, without a prefix; None if there is none."""
    return _first((_renamed(name, ours, theirs), is_kernel) for theirs, ours, is_kernel in _RENAMED)


def _ours(name: str) -> Optional[Variable]:
    return _first((_renamed(name, theirs, ours), is_kernel) for theirs, ours, is_kernel in _RENAMED)


def _first(found):
    return next((Variable(name, is_kernel) for name, is_kernel in found if name), None)


def _renamed(name, pattern, other):
    """Returns `other`, with the numbers that `name` has in place of the # of `pattern`."""
    match = re.fullmatch(re.escape(pattern).replace(re.escape("#"), r"(\d+)"), name)
    if not match:
        return None
    numbers = iter(match.groups())
    return re.sub("#", lambda _: next(numbers), other)
