"""Reads models that Hugging Face transformers has saved, and writes them as checkpoints of ours."""

import dataclasses
import logging
import os
from typing import Dict

import numpy as np

from albert.common import files, json_files
from albert.common.errors import UsageError
from albert.conversion import checkpoint, names
from albert.conversion.names import CONFIG, WEIGHTS
from albert.modeling import AlbertConfig

_TYPES = ("F32", "F16", "F64")  # in the words of safetensors
LAYER_NORM_EPS = 1e-12

_log = logging.getLogger(__name__)


def _weights_file(path: str, setting: str) -> str:
    """Returns the file of weights of a model.

    Args:
        setting: the one that names the model, for errors.

    Raises:
        UsageError: there is none.
    """
    file = path if path.endswith(".safetensors") else os.path.join(path, WEIGHTS)
    if not os.path.isfile(file):
        raise UsageError(
            f"<{setting}> has no {WEIGHTS}; with transformers, save_pretrained of a model writes "
            "it from other formats.",
            **{setting: path},
        )
    return file


def read_weights(path: str, setting: str) -> Dict[str, np.ndarray]:
    """Returns {our variable: values, float32} of a model; what we have no variable for is logged.

    Raises:
        UsageError: it cannot be read, or holds no encoder of ALBERT.
    """
    import safetensors

    weights: Dict[str, np.ndarray] = {}
    unknown = []
    try:
        with safetensors.safe_open(_weights_file(path, setting), framework="np") as reader:
            for name, variable in names.of_hugging_face(reader.keys()).items():
                if variable is None:
                    unknown.append(name)
                    continue
                kind = reader.get_slice(name).get_dtype()
                if kind not in _TYPES:
                    raise UsageError(
                        f"<{setting}>: {name} is of type {kind}; it must be one of "
                        f"{', '.join(_TYPES)}.",
                        **{setting: path},
                    )
                values = reader.get_tensor(name).astype(np.float32)
                weights[variable.name] = values.T if variable.is_kernel else values
    except (OSError, safetensors.SafetensorError) as error:
        raise UsageError(f"<{setting}> cannot be read: {error}.", **{setting: path}) from error
    _drop_square_projection(weights, path, setting)
    if not any(name.startswith("bert/") for name in weights):
        raise UsageError(
            f"<{setting}> holds no encoder of ALBERT: its names are not those of Hugging Face.",
            **{setting: path},
        )
    if unknown:
        _log.warning("Left out, since nothing here is like it: %s.", ", ".join(sorted(unknown)))
    return weights


def _drop_square_projection(weights, path, setting):
    """Removes a projection of embeddings that are as wide as hidden states: here there is none.

    Raises:
        UsageError: it changes them.
    """
    kernel, bias = (
        f"bert/encoder/embedding_hidden_mapping_in/{part}" for part in ("kernel", "bias")
    )
    values = weights.get(kernel)
    if values is None or len(set(values.shape)) > 1:
        return
    if not np.array_equal(values, np.eye(len(values))) or weights[bias].any():
        raise UsageError(
            f"<{setting}> projects embeddings that are as wide as its hidden states; no model of "
            "google-research/albert does.",
            **{setting: path},
        )
    del weights[kernel], weights[bias]


def read_config(path: str, setting: str) -> AlbertConfig:
    """Returns the architecture of a model, with the names of google-research/albert.

    Raises:
        UsageError: it cannot be read, or is not one of ALBERT as we have it.
    """
    file = os.path.join(path, CONFIG)
    try:
        stored = AlbertConfig.from_dict(json_files.load_json(file))
    except UsageError as error:
        raise UsageError(f"<{setting}>: {CONFIG}: {error}", **{setting: path}) from error
    epsilon = getattr(stored, "layer_norm_eps", LAYER_NORM_EPS)
    if epsilon != LAYER_NORM_EPS:
        raise UsageError(
            f"<{setting}>: layer_norm_eps is {epsilon!r}; here it is {LAYER_NORM_EPS}.",
            **{setting: path},
        )
    fields = [field.name for field in dataclasses.fields(AlbertConfig)]
    values = {name: getattr(stored, name) for name in fields}
    if values["hidden_act"] == "gelu_new":
        values["hidden_act"] = "gelu"
    return AlbertConfig(**values)


def as_checkpoint(path: str, folder: str, setting: str = "init_checkpoint") -> str:
    """Returns the prefix of a checkpoint that holds a model, made in a folder unless it is there.

    Raises:
        UsageError: the model cannot be read, or is not ALBERT as we have it.
    """
    if os.path.isdir(path):
        read_config(path, setting)
    digest = files.sha256(_weights_file(path, setting))
    return checkpoint.written_once(path, folder, digest, lambda: read_weights(path, setting))
