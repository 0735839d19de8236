"""Writes weights as checkpoints in the layout of google-research/albert."""

import logging
import os
import tempfile
from typing import Callable, Dict

import numpy as np
import tensorflow.compat.v1 as tf

from albert.common.errors import UsageError
from albert.modeling import AlbertConfig, AlbertModel, name_of

_log = logging.getLogger(__name__)


def check_shapes(
    weights: Dict[str, np.ndarray], config: AlbertConfig, path: str, setting: str
) -> None:
    """Raises UsageError unless weights have every variable of the encoder, in its shape.

    Models that look at tokens alone have no pooler.
    """
    with tf.Graph().as_default():
        AlbertModel(config, False, tf.zeros([1, 2], tf.int32))
        expected = {name_of(each): tuple(each.shape.as_list()) for each in tf.global_variables()}
    for name, shape in expected.items():
        if name not in weights and name.startswith("bert/pooler/"):
            continue
        found = weights[name].shape if name in weights else "missing"
        if found != shape:
            raise UsageError(
                f"<{setting}>: {name} is {found}; by its configuration it has the shape {shape}.",
                **{setting: path},
            )


def write_checkpoint(prefix: str, weights: Dict[str, np.ndarray]) -> None:
    """Writes variables as a checkpoint, in a folder that exists; its index comes last."""
    order = sorted(weights)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(prefix)) as folder:
        temporary = os.path.join(folder, "new")
        with tf.Graph().as_default():
            values = [tf.placeholder(tf.float32, weights[name].shape) for name in order]
            save = tf.raw_ops.SaveV2(
                prefix=temporary,
                tensor_names=order,
                shape_and_slices=[""] * len(order),
                tensors=values,
            )
            with tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as session:
                session.run(save, dict(zip(values, (weights[name] for name in order))))
        for ending in (".data-00000-of-00001", ".index"):
            os.replace(temporary + ending, prefix + ending)


def written_once(
    source: str, folder: str, digest: str, read: Callable[[], Dict[str, np.ndarray]]
) -> str:
    """Returns the prefix of a checkpoint in a folder, written unless it is there.

    Args:
        source: what it is converted from, for the log.
        digest: of its content, for the name.
        read: returns its {variable: values}.
    """
    prefix = os.path.join(folder, f"{digest[:16]}.ckpt")
    if not os.path.exists(prefix + ".index"):
        weights = read()
        os.makedirs(folder, exist_ok=True)
        write_checkpoint(prefix, weights)
        _log.info("Converted %s to %s.", source, prefix)
    return prefix
