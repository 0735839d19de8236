"""What an exported model says about itself, for the program that uses it."""

import os
import shutil
from typing import Any, Dict

from albert.cli.trained_model import TrainedModel
from albert.common import json_files
from albert.engine import checkpoints
from albert.export import tokenizer_json
from albert.export.graph import FrozenGraph

FILE_NAME = "metadata.json"
_VERSION = 1


def of(trained: TrainedModel) -> Dict[str, Any]:
    """Returns what to know about a model: its task, labels, texts to ids, and how good it is."""
    found: Dict[str, Any] = {"format_version": _VERSION}
    if trained.task is not None:
        found["task"] = trained.task.name
        found.update(trained.task.metadata(trained.metrics))
        found["input_columns"] = dict(trained.task.input_columns)
        found["step"] = checkpoints.read_step(trained.checkpoint)
        found["dev_metrics"] = trained.metrics
    if trained.vocabulary is not None:
        tokenizer = trained.tokenizer
        found["tokenizer"] = {
            "type": "WordPiece" if tokenizer.sp_model is None else "SentencePiece",
            "file": os.path.basename(trained.vocabulary),
            "do_lower_case": tokenizer.do_lower_case,
            "pad_id": tokenizer.pad_id,
            "unk_id": tokenizer.unk_id,
            "cls_id": tokenizer.cls_id,
            "sep_id": tokenizer.sep_id,
        }
    return found


def with_signature(found: Dict[str, Any], frozen: FrozenGraph) -> Dict[str, Any]:
    """Returns metadata with the type and the shape of each input and output."""
    both = {"inputs": frozen.inputs, "outputs": frozen.outputs}
    return {
        **found,
        **{
            side: {
                name: {"dtype": tensor.dtype, "shape": tensor.shape}
                for name, tensor in tensors.items()
            }
            for side, tensors in both.items()
        },
    }


def write(folder: str, trained: TrainedModel, found: Dict[str, Any]) -> None:
    """Writes metadata.json, tokenizer.json and the vocabulary into a folder."""
    json_files.write_json(os.path.join(folder, FILE_NAME), found, indent=2)
    if trained.vocabulary is not None:
        shutil.copy(trained.vocabulary, folder)
        path = os.path.join(folder, "tokenizer.json")
        json_files.write_json(path, tokenizer_json.of(trained.tokenizer))
