"""Writes an ONNX model, with tf2onnx."""

import os

from albert.common.errors import UsageError
from albert.export.graph import FrozenGraph

MODEL = "model.onnx"
_OPSET = 13


def check() -> None:
    """Raises UsageError unless tf2onnx is installed."""
    try:
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"<format> needs tf2onnx ({error}): pip install -r requirements-onnx.txt",
            format="onnx",
        ) from error


def write(folder: str, frozen: FrozenGraph) -> None:
    """Writes model.onnx, whose inputs and outputs have the names of the graph, into a folder."""
    import onnx
    from tf2onnx import convert

    tensors = {**frozen.inputs, **frozen.outputs}
    model, _ = convert.from_graph_def(
        frozen.graph_def,
        name="albert",
        input_names=[tensor.name for tensor in frozen.inputs.values()],
        output_names=[tensor.name for tensor in frozen.outputs.values()],
        tensors_to_rename={tensor.name: name for name, tensor in tensors.items()},
        opset=_OPSET,
    )
    for value in model.graph.input:
        first, *_, last = value.type.tensor_type.shape.dim
        first.dim_param, last.dim_param = "batch", "length"
    for value in model.graph.output:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(model)
    onnx.save(model, os.path.join(folder, MODEL))
