"""Names of variables: those of google-research/albert, and those of Hugging Face transformers.

Hugging Face stores a dense layer's weight as [outputs, inputs], the transpose of a kernel; the
weights of a classifier are [outputs, inputs] in both.
"""

import os
import re
from typing import Dict, Iterable, NamedTuple, Optional

WEIGHTS, CONFIG = "model.safetensors", "config.json"  # files of a model

ENCODER = "albert."  # begins the names of the encoder, but in models without a head

_DENSE = {"weight": "kernel", "bias": "bias"}
_NORM = {"weight": "gamma", "bias": "beta"}
_CLASSIFIER = {"weight": "output_weights", "bias": "output_bias"}

_LAYER = r"encoder\.albert_layer_groups\.(\d+)\.albert_layers\.(\d+)\."
_OUR_LAYER = r"bert/encoder/transformer/group_\1/inner_group_\2/"

# (Hugging Face's name as a pattern, without its last part; ours; {last part: ours}).
_MODULES = (
    (r"embeddings\.LayerNorm", "bert/embeddings/LayerNorm/", _NORM),
    (r"encoder\.embedding_hidden_mapping_in", "bert/encoder/embedding_hidden_mapping_in/", _DENSE),
    (_LAYER + r"attention\.(query|key|value)", _OUR_LAYER + r"attention_1/self/\3/", _DENSE),
    (_LAYER + r"attention\.dense", _OUR_LAYER + "attention_1/output/dense/", _DENSE),
    (_LAYER + r"attention\.LayerNorm", _OUR_LAYER + "LayerNorm/", _NORM),
    (_LAYER + "ffn", _OUR_LAYER + "ffn_1/intermediate/dense/", _DENSE),
    (_LAYER + "ffn_output", _OUR_LAYER + "ffn_1/intermediate/output/dense/", _DENSE),
    (_LAYER + "full_layer_layer_norm", _OUR_LAYER + "LayerNorm_1/", _NORM),
    ("pooler", "bert/pooler/dense/", _DENSE),
    (r"predictions\.dense", "cls/predictions/transform/dense/", _DENSE),
    (r"predictions\.LayerNorm", "cls/predictions/transform/LayerNorm/", _NORM),
    (r"sop_classifier\.classifier", "cls/seq_relationship/", _CLASSIFIER),
    ("qa_outputs", "cls/squad/", _CLASSIFIER),
    ("classifier", "", _CLASSIFIER),
)
_TABLES = r"embeddings\.(word|position|token_type)_embeddings\.weight"
# Copies of other variables, and numbers that need not be stored.
_DERIVED = r"predictions\.decoder\.(weight|bias)|embeddings\.position_ids"


def is_model(path: str) -> bool:
    """Returns whether a path is a model of Hugging Face: a folder, or a file of weights."""
    is_file = path.endswith(".safetensors") and os.path.isfile(path)
    return is_file or os.path.isfile(os.path.join(path, CONFIG))


class Variable(NamedTuple):
    """A variable of ours; `is_kernel`: its values are the transpose of Hugging Face's."""

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


def _ours(name: str) -> Optional[Variable]:
    table = re.fullmatch(_TABLES, name)
    if table:
        return Variable(f"bert/embeddings/{table.group(1)}_embeddings", False)
    if name == "predictions.bias":
        return Variable("cls/predictions/output_bias", False)
    module, _, last = name.rpartition(".")
    for pattern, replacement, parts in _MODULES:
        match = re.fullmatch(pattern, module)
        if match and last in parts:
            return Variable(match.expand(replacement) + parts[last], parts[last] == "kernel")
    return None
