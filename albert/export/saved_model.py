"""Writes a SavedModel, which TensorFlow Serving and every TensorFlow from 1.15 on load."""

import os

import tensorflow.compat.v1 as tf

from albert.export.graph import ON_HOST, FrozenGraph

EXTRA = "assets.extra"  # where a SavedModel keeps files that TensorFlow does not read


def write(folder: str, frozen: FrozenGraph) -> str:
    """Writes a SavedModel with the signature serving_default into an empty folder.

    Returns:
        The folder for other files.
    """
    constants = tf.saved_model.signature_constants
    with tf.Graph().as_default() as graph, tf.Session(graph=graph, config=ON_HOST) as session:
        tf.import_graph_def(frozen.graph_def, name="")
        inputs, outputs = (
            {
                name: tf.saved_model.utils.build_tensor_info(graph.get_tensor_by_name(tensor.name))
                for name, tensor in tensors.items()
            }
            for tensors in (frozen.inputs, frozen.outputs)
        )
        signature = tf.saved_model.signature_def_utils.build_signature_def(
            inputs, outputs, constants.PREDICT_METHOD_NAME
        )
        builder = tf.saved_model.builder.SavedModelBuilder(folder)
        builder.add_meta_graph_and_variables(
            session,
            [tf.saved_model.tag_constants.SERVING],
            {constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
            strip_default_attrs=True,  # an older TensorFlow refuses attributes that it lacks
        )
        builder.save()
    extra = os.path.join(folder, EXTRA)
    os.mkdir(extra)
    return extra
