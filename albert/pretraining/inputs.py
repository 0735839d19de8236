"""Reads what create_pretraining_data, or google-research/albert's program of that name, wrote."""

import os
import zlib
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError

from albert.common.errors import UsageError
from albert.engine.task import INPUT_IDS, INPUT_MASK, Shard, hash_of
from albert.pretraining import manifest as manifests
from albert.pretraining.manifest import Manifest
from albert.tokenization import FullTokenizer

_POSITIONS = "masked_lm_positions"


class Inputs(NamedTuple):
    """The sequences of a split.

    Attributes:
        setting: the one that names them.
        shards: their files.
        content: a hash; equal for equal sequences.
        has_masks: whether tokens are masked already.
        max_seq_length: no sequence is longer.
        vocabularies: {path of a manifest: FullTokenizer.fingerprint()} where that is known.
    """

    setting: str
    shards: Sequence[Shard]
    content: str
    has_masks: bool
    max_seq_length: int
    vocabularies: Dict[str, Dict[str, Any]]

    def check(self, tokenizer: FullTokenizer, max_seq_length: int) -> None:
        """Raises UsageError unless the sequences are of a vocabulary, and not too long."""
        expected = tokenizer.fingerprint()
        for path, vocabulary in self.vocabularies.items():
            if vocabulary != expected:
                raise UsageError(
                    f"<{self.setting}>: {path} was made with another vocabulary, or another "
                    "<do_lower_case>, than is given here.",
                    **{self.setting: None, "do_lower_case": tokenizer.do_lower_case},
                )
        if self.max_seq_length > max_seq_length:
            raise UsageError(
                f"<{self.setting}> has sequences of up to {self.max_seq_length} tokens, more than "
                "<max_seq_length>.",
                **{self.setting: None, "max_seq_length": max_seq_length},
            )


def open_inputs(patterns: str, setting: str) -> Inputs:
    """Returns the sequences in the files that patterns match, see manifest.find.

    Files without a manifest are read once, to count what is in them.

    Raises:
        UsageError: no file matches, one is not for pre-training or has no sequences, or only some
            have masks.
    """
    found = manifests.find(patterns, setting)
    known = [each for each in found if isinstance(each, Manifest)]
    others = [_of_file(each, setting) for each in found if not isinstance(each, Manifest)]
    parts = [*map(_of_manifest, known), *others]
    if len({part.has_masks for part in parts}) > 1:
        masked = next(part.shards[0].path for part in parts if part.has_masks and part.shards)
        raise UsageError(
            f"<{setting}>: {masked} has masks, and other files have none; give either.",
            **{setting: patterns},
        )
    shards = [shard for part in parts for shard in part.shards if shard.num_features]
    if not shards:
        raise UsageError(f"<{setting}> has no sequences.", **{setting: patterns})
    return Inputs(
        setting,
        shards,
        hash_of([part.content for part in parts]),
        parts[0].has_masks,
        max(part.max_seq_length for part in parts),
        {path: vocabulary for part in parts for path, vocabulary in part.vocabularies.items()},
    )


def _of_manifest(manifest: Manifest) -> Inputs:
    shards = [
        Shard(path, shard.num_sequences, shard.num_bytes)
        for path, shard in zip(manifest.shard_paths(), manifest.shards)
    ]
    return Inputs(
        "",
        shards,
        hash_of([shard.crc32 for shard in manifest.shards]),
        manifest.layout == manifests.STATIC_MASKS,
        manifest.max_seq_length,
        {manifest.path: manifest.tokenizer},
    )


def _of_file(path: str, setting: str) -> Inputs:
    """Returns what is in a file without a manifest, which has the original's layout."""
    first: Optional[Dict[str, Any]] = None
    num_sequences = crc = 0
    try:
        for record in tf.io.tf_record_iterator(path):
            first = first or _parsed(record)
            num_sequences += 1
            crc = zlib.crc32(record, crc)
    except (tf.errors.OpError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"<{setting}>: {path} cannot be read as a TFRecord file: {reason}"
        ) from error
    if first is not None and not first.keys() >= {INPUT_IDS, INPUT_MASK, _POSITIONS}:
        raise UsageError(
            f"<{setting}>: {path} is not for pre-training: its records have "
            f"{', '.join(sorted(first)) or 'no features'}."
        )
    shard = Shard(path, num_sequences, os.path.getsize(path))
    length = len(first[INPUT_IDS]) if first else 0
    return Inputs(setting, [shard], hash_of([num_sequences, crc]), True, length, {})


def sequences_of(inputs: Inputs) -> Iterator[Dict[str, List[Any]]]:
    """Yields the features of every sequence, {name: list of numbers}, in order."""
    for shard in inputs.shards:
        for record in tf.io.tf_record_iterator(shard.path):
            yield _parsed(record)


def _parsed(record: bytes) -> Dict[str, List[Any]]:
    """Returns the features of a serialized tf.train.Example; raises ValueError if it is none."""
    try:
        example = tf.train.Example.FromString(record)
    except DecodeError as error:
        raise ValueError("a record is no tf.train.Example") from error
    return {
        name: list(feature.float_list.value or feature.int64_list.value)
        for name, feature in example.features.feature.items()
    }
