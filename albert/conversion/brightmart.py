"""Reads Chinese models of brightmart's albert_zh, in the layout of its own code.

That code adds segments and positions to words of the width of the hidden states, where ALBERT adds
them to narrow ones and widens the sum. Words that have been widened already, a table of the product
of its two, make both compute the same. So the configuration says that embeddings are as wide as the
hidden states.
"""

import dataclasses
import os
import re
from typing import Dict, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert.common import files
from albert.common.errors import UsageError
from albert.conversion import checkpoint
from albert.modeling import AlbertConfig

_LAYER = "bert/encoder/layer_shared/"
_OUR_LAYER = "bert/encoder/transformer/group_0/inner_group_0/"
_WORDS = "bert/embeddings/word_embeddings"

# (Beginning of a name there, here); what is not listed has the same name in both.
_RENAMED = (
    (f"{_LAYER}attention/self/", f"{_OUR_LAYER}attention_1/self/"),
    (f"{_LAYER}attention/output/dense/", f"{_OUR_LAYER}attention_1/output/dense/"),
    (f"{_LAYER}attention/output/LayerNorm/", f"{_OUR_LAYER}LayerNorm/"),
    (f"{_LAYER}intermediate/dense/", f"{_OUR_LAYER}ffn_1/intermediate/dense/"),
    (f"{_LAYER}output/dense/", f"{_OUR_LAYER}ffn_1/intermediate/output/dense/"),
    (f"{_LAYER}output/LayerNorm/", f"{_OUR_LAYER}LayerNorm_1/"),
)


def is_checkpoint(prefix: str) -> bool:
    """Returns whether a prefix is that of a checkpoint in brightmart's layout."""
    if not os.path.isfile(f"{prefix}.index"):
        return False
    try:
        names = [name for name, _ in tf.train.list_variables(prefix)]
    except (tf.errors.OpError, ValueError, IndexError):  # it is explained where it is loaded
        return False
    return f"{_WORDS}_2" in names and any(name.startswith(_LAYER) for name in names)


def read_weights(prefix: str, setting: str = "init_checkpoint") -> Dict[str, np.ndarray]:
    """Returns {our variable: values} of the encoder; heads of pre-training are left out.

    Args:
        setting: the one that names the checkpoint.

    Raises:
        UsageError: it is damaged, or not one in this layout.
    """
    if not is_checkpoint(prefix):
        raise UsageError(
            f"<{setting}> is no checkpoint in the layout of brightmart's albert_zh.",
            **{setting: prefix},
        )
    reader = tf.train.load_checkpoint(prefix)
    names = [
        name
        for name in reader.get_variable_to_shape_map()
        if name.startswith("bert/") and not re.search("/(adam_[mv]|lamb_[mv])$", name)
    ]
    try:
        weights = {_renamed(name): reader.get_tensor(name) for name in names}
    except (tf.errors.OpError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"<{setting}> cannot be read: {reason}", **{setting: prefix}) from error
    weights[_WORDS] = weights[_WORDS] @ weights.pop(f"{_WORDS}_2")
    return weights


def _renamed(name):
    for theirs, ours in _RENAMED:
        if name.startswith(theirs):
            return ours + name[len(theirs) :]
    return name


def as_checkpoint(path: str, albert_config_file: str, folder: str) -> Tuple[str, str]:
    """Returns the prefix of a checkpoint in our layout, and the file of its configuration.

    Both are made in a folder unless they are there.

    Raises:
        UsageError: the configuration cannot be read, or is not that of such a model.
    """
    config = adapted(AlbertConfig.from_json_file(albert_config_file), albert_config_file)
    digest = files.sha256(f"{path}.index")  # which holds checksums of all values
    prefix = checkpoint.written_once(path, folder, digest, lambda: read_weights(path))
    config_file = f"{prefix}.json"
    files.write_text(config_file, config.to_json_string())
    return prefix, config_file


def adapted(config: AlbertConfig, path: str) -> AlbertConfig:
    """Returns the configuration of a converted model, given that which lies beside it.

    Args:
        path: its file, for errors.

    Raises:
        UsageError: its layer norms come before attention, as in xlarge, and not after it.
    """
    order = getattr(config, "ln_type", "postln")
    if order != "postln":
        raise UsageError(
            f"<albert_config_file>: ln_type is {order!r}; here layer norms come after attention, "
            "as with 'postln'.",
            albert_config_file=path,
        )
    fields = [field.name for field in dataclasses.fields(AlbertConfig)]
    values = {name: getattr(config, name) for name in fields}
    groups = {"num_hidden_groups": 1, "inner_group_num": 1}
    return AlbertConfig(**dict(values, **groups, embedding_size=config.hidden_size))
