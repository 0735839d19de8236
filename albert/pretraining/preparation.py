"""What scripts/pretrain.sh makes besides the data sets: held-out text, a configuration."""

import logging
import os
from typing import NamedTuple, Optional, Sequence

from albert.common import files, json_files
from albert.common.errors import UsageError
from albert.pretraining import documents, manifest, vocabulary

_MAX_POSITIONS = 512  # of the released models
# What all models of version 2 have in common.
_COMMON = {
    "attention_probs_dropout_prob": 0,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0,
    "embedding_size": 128,
    "initializer_range": 0.02,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "type_vocab_size": 2,
}

_log = logging.getLogger(__name__)


class Size(NamedTuple):
    """The size of a model, but for its vocabulary; `intermediate_size` is four times the hidden."""

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int


# arXiv 1909.11942, table 1; tiny is that of brightmart's albert_zh.
SIZES = {
    "tiny": Size(4, 312, 12),
    "base": Size(12, 768, 12),
    "large": Size(24, 1024, 16),
    "xlarge": Size(24, 2048, 16),
    "xxlarge": Size(12, 4096, 64),
}


def hold_out(paths: Sequence[str], train_file: str, dev_file: str, every: int) -> None:
    """Copies text to two files: of `every` documents the first to `dev_file`.

    Raises:
        UsageError: the text cannot be read, or one of the files would be empty.
    """
    if every < 2:
        raise UsageError("<held_out> must be 2 or more.", held_out=every)
    num_documents, is_inside = 0, False
    with files.replacing(train_file) as train, files.replacing(dev_file) as dev:
        with open(train, "wb") as train_writer, open(dev, "wb") as dev_writer:
            for line in documents.Corpus(paths).lines():
                num_documents += bool(line) and not is_inside
                writer = train_writer if (num_documents - 1) % every else dev_writer
                if line or is_inside:
                    writer.write(line.encode() + b"\n")
                is_inside = bool(line)
        if num_documents < 2:
            raise UsageError(
                f"<input_text> holds {num_documents} document(s), and none can be held out: put "
                "blank lines between them, or give <eval_text>.",
                input_text=None,
                eval_text=None,
            )
    num_held_out = 1 + (num_documents - 1) // every
    _log.info("%s: %d of %d documents are held out.", dev_file, num_held_out, num_documents)


def write_config(
    path: str, size: str, data_set: str, max_seq_length: int, changes: Sequence[Optional[int]]
) -> None:
    """Writes the configuration of a model for a data set; a runner checks it.

    Args:
        size: key of SIZES.
        data_set: prefix of the files of the data set, whose vocabulary the model has.
        changes: to the fields of Size; None where there is none.

    Raises:
        UsageError: there is no such size, or the data set cannot be read.
    """
    if size not in SIZES:
        raise UsageError(f"<size> must be one of {', '.join(SIZES)}.", size=size)
    chosen = Size(*(change or value for change, value in zip(changes, SIZES[size])))
    values = {
        **_COMMON,
        **chosen._asdict(),
        "intermediate_size": 4 * chosen.hidden_size,
        "max_position_embeddings": max(max_seq_length, _MAX_POSITIONS),
        "vocab_size": manifest.read(manifest.path_of(data_set)).vocab_size,
    }
    json_files.write_json(path, values)


def install_vocabulary(spm_model_file: str, output_dir: str) -> None:
    """Writes a SentencePiece model to a folder under the names that released models have."""
    listing = vocabulary.listing(spm_model_file)
    files.write_text(os.path.join(output_dir, "30k-clean.vocab"), listing)
    files.copy(spm_model_file, os.path.join(output_dir, "30k-clean.model"))
