"""Loads a pre-trained or fine-tuned checkpoint into a model, or explains why it does not fit."""

from typing import Dict, List

import tensorflow.compat.v1 as tf

from albert import modeling
from albert.common.errors import UsageError
from albert.engine import checkpoints

# Parts of variable names that identify checkpoints of other programs.
_FOREIGN_LAYOUTS = {
    "bert/encoder/layer_shared/": "brightmart's albert_zh",
    "bert/embeddings/word_embeddings_2": "brightmart's albert_zh",
    "bert/encoder/layer_0/": "BERT",
    "_CHECKPOINTABLE_OBJECT_GRAPH": "a TensorFlow 2 program",
}


def load(
    init_checkpoint: str, discard_classifier_weights: bool = False, num_groups: int = 0
) -> List[str]:
    """Initializes trainable variables from a checkpoint, on all replicas.

    Args:
        init_checkpoint: prefix of the checkpoint.
        discard_classifier_weights: load only the encoder's variables.
        num_groups: if more than 1, groups of layers that are not in the checkpoint, of so many
            groups, take the values of group 0.

    Returns:
        The names of the variables that were not loaded; they keep their initializers.

    Raises:
        UsageError: the checkpoint has another program's layout, none of the encoder's variables, or
            a variable of a different shape.
    """
    stored = _stored_shapes(init_checkpoint, "init_checkpoint")
    variables = {modeling.name_of(variable): variable for variable in tf.trainable_variables()}
    loadable = [
        name
        for name in variables
        if name.startswith(modeling.ENCODER) or not discard_classifier_weights
    ]
    maps, _ = modeling.get_assignment_map_from_checkpoint(
        [variables[name] for name in loadable], init_checkpoint, max(num_groups, 1)
    )
    found = {name: source for of_group in maps for source, name in of_group.items()}
    if not any(name.startswith(modeling.ENCODER) for name in found):
        raise UsageError(
            f"<init_checkpoint> holds none of the model's variables, such as {loadable[0]}.",
            init_checkpoint=init_checkpoint,
        )
    for name, source in found.items():
        shape = variables[name].shape.as_list()
        _check_shape(init_checkpoint, name, stored[source], shape, "init_checkpoint")
    for of_group in maps:
        tf.train.init_from_checkpoint(init_checkpoint, of_group)
    return [name for name in variables if name not in found]


def check(path: str, setting: str = "init_checkpoint") -> None:
    """Reads a whole checkpoint; raises UsageError if it is damaged or from another program.

    Args:
        setting: the one that names it.
    """
    damage = checkpoints.find_damage(path)
    if damage:
        raise UsageError(f"The checkpoint {path} is damaged: {damage}.")
    _stored_shapes(path, setting)


def check_complete(
    path: str, shapes: Dict[str, List[int]], setting: str = "init_checkpoint"
) -> None:
    """Raises UsageError unless a checkpoint, named by a setting, holds {variable: shape}."""
    stored = _stored_shapes(path, setting)
    for name, shape in shapes.items():
        if name not in stored:
            raise UsageError(
                f"<{setting}> has no {name}, so it cannot predict: fine-tune it with <do_train> "
                "first.",
                **{setting: path, "do_train": None},
            )
        _check_shape(path, name, stored[name], shape, setting)


def _stored_shapes(path, setting):
    try:
        stored = dict(tf.train.list_variables(path))
    except (tf.errors.OpError, ValueError, IndexError) as error:  # IndexError: cut short, on 2.15
        reason = str(error).splitlines()[0]
        raise UsageError(f"<{setting}> cannot be read: {reason}", **{setting: path}) from error
    for mark, program in _FOREIGN_LAYOUTS.items():
        if any(name.startswith(mark) for name in stored):
            raise UsageError(
                f"<{setting}> has the variable layout of {program} ({mark}...), not of "
                "google-research/albert: take a checkpoint released there, or convert it.",
                **{setting: path},
            )
    return stored


def _check_shape(path, name, stored, expected, setting):
    if stored == expected:
        return
    advice = (
        "Does <albert_config_file> belong to it?"
        if name.startswith(modeling.ENCODER)
        else "<discard_classifier_weights> starts with a new head."
    )
    raise UsageError(
        f"<{setting}>: {name} has shape {stored}, but the model's is {expected}. {advice}",
        **{setting: path, "albert_config_file": None, "discard_classifier_weights": None},
    )
