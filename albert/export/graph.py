"""The graph of a trained model, for programs that know nothing of this one."""

from typing import Any, Dict, List, NamedTuple, Optional

import tensorflow.compat.v1 as tf

from albert.cli.trained_model import TrainedModel
from albert.engine import pretrained
from albert.engine.model_fn import build
from albert.engine.task import model_inputs
from albert.modeling import name_of

ON_HOST = tf.ConfigProto(device_count={"GPU": 0})  # of a session that must not claim GPU memory


class Tensor(NamedTuple):
    """A tensor of a graph by its name; in its shape, None stands for batch and length."""

    name: str
    dtype: str
    shape: List[Optional[int]]


class FrozenGraph(NamedTuple):
    """A graph whose variables are constants: one file, which every runtime loads alike.

    Attributes:
        graph_def: the tf.GraphDef.
        inputs: {name: Tensor}.
        outputs: likewise.
    """

    graph_def: Any
    inputs: Dict[str, Tensor]
    outputs: Dict[str, Tensor]


def freeze(trained: TrainedModel) -> FrozenGraph:
    """Returns the graph of a model with the values of its checkpoint.

    Its inputs are those that the outputs depend on, so labels are not among them. It computes
    padding too: then all shapes follow from those of the inputs, as some runtimes need.
    """
    spec = model_inputs(trained.task.feature_spec())
    with tf.Graph().as_default() as graph:
        features = {
            name: tf.placeholder(feature.dtype, feature.shape, name)
            for name, feature in spec.items()
        }
        output = build(
            trained.task, trained.albert_config, features, is_training=False, packed_tokens=False
        )
        returned = output.exported or output.predictions
        with tf.name_scope("outputs"):
            outputs = {name: tf.identity(tensor, name) for name, tensor in returned.items()}
        with tf.Session(graph=graph, config=ON_HOST) as session:
            shapes = {name_of(each): each.shape.as_list() for each in tf.global_variables()}
            pretrained.check_complete(trained.checkpoint, shapes, "model_dir")
            tf.train.Saver().restore(session, trained.checkpoint)
            graph_def = tf.graph_util.convert_variables_to_constants(
                session, graph.as_graph_def(), [tensor.op.name for tensor in outputs.values()]
            )
    needed = {node.name for node in graph_def.node if node.op == "Placeholder"}
    return FrozenGraph(
        graph_def,
        {name: _described(features[name]) for name in features if name in needed},
        {name: _described(tensor) for name, tensor in outputs.items()},
    )


def _described(tensor):
    return Tensor(tensor.name, tensor.dtype.name, tensor.shape.as_list())
