"""Writes a folder that Hugging Face transformers loads with from_pretrained."""

import logging
import os
from typing import Any, Dict, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert.cli.trained_model import TrainedModel
from albert.common import json_files
from albert.conversion import names
from albert.conversion.hugging_face import LAYER_NORM_EPS
from albert.export import tokenizer_json

_HEAD = "head.safetensors"  # of what has no counterpart
_CLASSIFIER = "AlbertForSequenceClassification"
_ARCHITECTURES = {
    "classification": _CLASSIFIER,
    "regression": _CLASSIFIER,
    "multi_label": _CLASSIFIER,
    "tagging": "AlbertForTokenClassification",
    "multiple_choice": "AlbertForMultipleChoice",
    "question_answering": "AlbertForQuestionAnswering",
}
_PROBLEMS = {
    "classification": "single_label_classification",
    "regression": "regression",
    "multi_label": "multi_label_classification",
}
_ENCODER_PARTS = ("embeddings.", "encoder.", "pooler.")
_WITHOUT_POOLER = ("AlbertForTokenClassification", "AlbertForQuestionAnswering")

_log = logging.getLogger(__name__)


def write(folder: str, trained: TrainedModel, metadata: Dict[str, Any]) -> None:
    """Writes config.json, model.safetensors and the tokenizer's files into a folder.

    A head without a counterpart, as that of SQuAD 2.0, becomes a file of its own beside the
    encoder, with our names.
    """
    from safetensors import numpy as safetensors

    weights, head = _weights_and_head(trained)
    if head:
        safetensors.save_file(head, os.path.join(folder, _HEAD))
        _log.warning(
            "transformers has no head like this model's: the model is the encoder, the head is %s.",
            _HEAD,
        )
    architecture = _architecture(metadata.get("task_type"), weights, bool(head))
    safetensors.save_file(
        _with_prefix(weights, architecture),
        os.path.join(folder, names.WEIGHTS),
        {"format": "pt"},  # without which transformers does not read it
    )
    config = _config(trained, architecture, metadata)
    json_files.write_json(os.path.join(folder, names.CONFIG), config, indent=2)
    if trained.tokenizer is not None:
        tokenizer = _tokenizer_config(trained, metadata)
        json_files.write_json(os.path.join(folder, "tokenizer_config.json"), tokenizer, indent=2)


def _weights_and_head(
    trained: TrainedModel,
) -> Tuple[Dict[str, np.ndarray], Dict[str, np.ndarray]]:
    """Returns two dicts: {Hugging Face's name: value in its layout}, without the encoder's prefix,
    and {our name: value} of what has no counterpart there.
    """
    weights, head = {}, {}
    for name, values in _variables(trained.checkpoint).items():
        variable = names.to_hugging_face(name)
        if variable is None:
            head[name] = values
        else:
            values = values.T if variable.is_kernel else values
            weights[variable.name] = np.ascontiguousarray(values)
    width = trained.albert_config.hidden_size
    if trained.albert_config.embedding_size == width:  # then only theirs has a projection
        weights[f"{names.PROJECTION}.weight"] = np.eye(width, dtype=np.float32)
        weights[f"{names.PROJECTION}.bias"] = np.zeros(width, np.float32)
    return weights, head


def _variables(checkpoint: str) -> Dict[str, np.ndarray]:
    """Returns {name: value} of a model, without the optimizer's slots and without counters."""
    reader = tf.train.load_checkpoint(checkpoint)
    shapes = reader.get_variable_to_shape_map()
    return {
        name: reader.get_tensor(name)
        for name, shape in shapes.items()
        if shape and name.rpartition("/")[0] not in shapes
    }


def _architecture(task_type: Optional[str], weights: Dict[str, Any], has_other_head: bool) -> str:
    if task_type and not has_other_head:
        return _ARCHITECTURES[task_type]
    return "AlbertForPreTraining" if "predictions.bias" in weights else "AlbertModel"


def _with_prefix(weights, architecture):
    """Returns the weights that an architecture has, with the names that it gives them."""
    if architecture == "AlbertModel":
        return weights
    return {
        names.ENCODER + name if name.startswith(_ENCODER_PARTS) else name: values
        for name, values in weights.items()
        if architecture not in _WITHOUT_POOLER or not name.startswith("pooler.")
    }


def _config(trained: TrainedModel, architecture: str, metadata: Dict[str, Any]) -> Dict[str, Any]:
    """Returns what config.json holds."""
    ours = trained.albert_config
    config = {
        "architectures": [architecture],
        "model_type": "albert",
        **ours.sizes(),
        "hidden_act": "gelu_new" if ours.hidden_act == "gelu" else ours.hidden_act,
        "hidden_dropout_prob": ours.hidden_dropout_prob,
        "attention_probs_dropout_prob": ours.attention_probs_dropout_prob,
        "initializer_range": ours.initializer_range,
        "layer_norm_eps": LAYER_NORM_EPS,
        "torch_dtype": "float32",
    }
    if trained.tokenizer is not None:
        config["pad_token_id"] = trained.tokenizer.pad_id
        config["bos_token_id"] = trained.tokenizer.cls_id
        config["eos_token_id"] = trained.tokenizer.sep_id
    task_type = metadata.get("task_type")
    if task_type in _PROBLEMS:
        config["problem_type"] = _PROBLEMS[task_type]
    if "labels" in metadata and task_type != "multiple_choice":
        labels = metadata["labels"] or ["score"]  # of a regression
        config["id2label"] = {str(number): label for number, label in enumerate(labels)}
        config["label2id"] = {label: number for number, label in enumerate(labels)}
    return config


def _tokenizer_config(trained: TrainedModel, metadata: Dict[str, Any]) -> Dict[str, Any]:
    """Returns what tokenizer_config.json holds: tokenizer.json is used as it is."""
    specials = tokenizer_json.specials_of(trained.tokenizer)._asdict()
    if trained.tokenizer.mask_id is None:
        del specials["mask"]
    positions = trained.albert_config.max_position_embeddings
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": metadata.get("max_seq_length", positions),
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "split_special_tokens": True,  # a text that spells [SEP] is a text
        "clean_up_tokenization_spaces": False,
        **{f"{name}_token": token for name, token in specials.items()},
    }
