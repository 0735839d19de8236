"""A shard of text to its file of records."""

import hashlib
import itertools
import os
import uuid
import zlib
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

import numpy as np

from albert import tokenization
from albert.pretraining import manifest, masking, records, segments, words
from albert.pretraining.segments import PairSettings, Sentences

_LINES_AT_ONCE = 2000  # whose ids Python holds one by one
_BATCH_SIZE = 256
_READ_SIZE = 1 << 20
# The number of a sequence in its shard has 32 bits of its id.
SHARD_BITS = 32


class StaticMasks(NamedTuple):
    """Masks that are drawn in advance, as google-research/albert does.

    Attributes:
        dupe_factor: how often the text is gone through, each time with other pairs and masks.
        masks: what is masked; `max_predictions` is a number.
    """

    dupe_factor: int
    masks: masking.MaskSettings


class Recipe(NamedTuple):
    """What is made of a shard; `static_masks` is None if masks are drawn while training."""

    tokenizer: tokenization.FullTokenizer
    pairs: PairSettings
    static_masks: Optional[StaticMasks]


class Source(NamedTuple):
    """A shard to make.

    Attributes:
        number: from 0.
        text: sentences as lines, with a blank line between documents.
        path: of the file.
        previous: what an earlier run has listed for it, if the settings were the same.
    """

    number: int
    text: str
    path: str
    previous: Optional[manifest.Shard]


class Made(NamedTuple):
    """A shard that was made; `temporary` is where its file is, or None if it was there already."""

    shard: manifest.Shard
    temporary: Optional[str]


def make(recipe: Recipe, source: Source) -> Made:
    """Returns a shard, whose file is written beside its place unless it is there already."""
    digest = hashlib.sha256(source.text.encode()).hexdigest()
    previous = source.previous
    if previous and previous.source_sha256 == digest and _is_whole(source.path, previous):
        return Made(previous, None)
    sentences, num_dropped = read_sentences(recipe, source.text)
    temporary = f"{source.path}.{uuid.uuid4().hex}.part"
    try:
        counts = _write(recipe, sentences, source.number, temporary)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
    counts["num_dropped_sentences"] += num_dropped
    lines = source.text.split("\n")
    num_blank = lines.count("")
    shard = manifest.Shard(
        file=os.path.basename(source.path),
        num_documents=num_blank + 1,
        num_sentences=len(lines) - num_blank,
        source_sha256=digest,
        **counts,
    )
    return Made(shard, temporary)


def _is_whole(path: str, shard: manifest.Shard) -> bool:
    """Returns whether a file is there in the size and with the checksum that a manifest lists."""
    try:
        if os.path.getsize(path) != shard.num_bytes:
            return False
        checksum = 0
        with open(path, "rb") as reader:
            for block in iter(lambda: reader.read(_READ_SIZE), b""):
                checksum = zlib.crc32(block, checksum)
    except OSError:
        return False
    return checksum == shard.crc32


def read_sentences(recipe: Recipe, text: str) -> Tuple[Sentences, int]:
    """Returns (the tokens of a shard, the number of sentences that have none).

    Sentences that are too long for a sequence are cut.
    """
    lines = text.split("\n")
    tokens, lengths = _encoded(recipe.tokenizer, lines)
    has_tokens = lengths > 0
    is_blank = np.array([not line for line in lines])
    document_of = np.cumsum(is_blank)[has_tokens]
    bounds = np.concatenate([[0], np.cumsum(lengths[has_tokens])])
    # Where in `tokens` each document that has sentences starts, and the number of all.
    starts = bounds[:-1][np.diff(document_of, prepend=-1) > 0]
    starts = np.append(starts, len(tokens))
    is_start = words.starts_table(recipe.tokenizer)[tokens]
    room = recipe.pairs.max_seq_length - segments.NUM_SPECIALS
    bounds = segments.cut_long(bounds, is_start, room)
    documents = np.searchsorted(bounds, starts)
    num_without_tokens = int(np.sum(~has_tokens & ~is_blank))
    return Sentences(tokens, is_start, bounds.tolist(), documents.tolist()), num_without_tokens


def _encoded(tokenizer: tokenization.FullTokenizer, lines: Any) -> Tuple[Any, Any]:
    """Returns (ids of all lines, one after the other, int32; numbers of ids of each line)."""
    ids, lengths = [np.zeros(0, np.int32)], []
    for first in range(0, len(lines), _LINES_AT_ONCE):
        encoded = tokenizer.encode_batch(lines[first : first + _LINES_AT_ONCE], num_threads=1)
        lengths += [len(line) for line in encoded]
        ids.append(np.fromiter(itertools.chain.from_iterable(encoded), np.int32))
    return np.concatenate(ids), np.array(lengths, np.int64)


# From pairs to records


def _write(recipe: Recipe, sentences: Sentences, number: int, path: str) -> Dict[str, int]:
    """Writes the file of a shard; returns its counts, by the names of their fields in Shard."""
    num_dropped, batches = _batches(recipe, sentences, number)
    num_sequences = num_tokens = num_bytes = checksum = 0
    with open(path, "wb") as writer:
        for features, lengths in batches:
            content = records.framed(records.serialized_examples(features))
            writer.write(content)
            num_sequences += len(lengths)
            num_tokens += int(lengths.sum())
            num_bytes += len(content)
            checksum = zlib.crc32(content, checksum)
    return {
        "num_dropped_sentences": num_dropped,
        "num_sequences": num_sequences,
        "num_tokens": num_tokens,
        "num_bytes": num_bytes,
        "crc32": checksum,
    }


def _batches(
    recipe: Recipe, sentences: Sentences, number: int
) -> Tuple[int, Iterator[Tuple[Dict[str, records.Feature], Any]]]:
    """Returns (sentences dropped in the first pass, batches of features with lengths)."""
    num_passes = recipe.static_masks.dupe_factor if recipe.static_masks else 1
    drawn = [
        segments.draw_pairs(sentences, recipe.pairs, number, each) for each in range(num_passes)
    ]
    pairs = np.concatenate([each for each, _ in drawn])
    sizes = [len(each) for each, _ in drawn]
    passes = np.repeat(np.arange(num_passes), sizes)
    places = np.concatenate([np.arange(size) for size in sizes])
    order = np.arange(len(pairs))
    if recipe.static_masks:
        order = segments.draw_order(recipe.pairs, number, len(pairs))

    def batches():
        for first in range(0, len(order), _BATCH_SIZE):
            chosen = order[first : first + _BATCH_SIZE]
            sequences = _sequences(recipe.tokenizer, sentences, pairs[chosen])
            ids = (number << SHARD_BITS) + places[chosen]
            if recipe.static_masks:
                yield _masked_features(recipe, sequences, ids, passes[chosen]), sequences.lengths
            else:
                yield _plain_features(sequences, ids), sequences.lengths

    return drawn[0][1], batches()


class _Sequences(NamedTuple):
    """Sequences of a batch, one after the other: all are int [tokens], but for the last two.

    Attributes:
        lengths: int [batch], tokens of each.
        labels: int [batch], `next_sentence_labels`.
    """

    input_ids: Any
    segment_ids: Any
    token_boundary: Any
    lengths: Any
    labels: Any


def _sequences(
    tokenizer: tokenization.FullTokenizer, sentences: Sentences, pairs: Any
) -> _Sequences:
    """Returns `[CLS] A [SEP] B [SEP]` of pairs, int [batch, fields of Pair]."""
    cls, sep = [tokenizer.cls_id], [tokenizer.sep_id]
    ids, starts = [], []
    for start_a, end_a, start_b, end_b, _ in pairs.tolist():
        a, b = slice(start_a, end_a), slice(start_b, end_b)
        ids += [cls, sentences.tokens[a], sep, sentences.tokens[b], sep]
        starts += [[True], sentences.is_start[a], [True], sentences.is_start[b], [True]]
    num_a = pairs[:, 1] - pairs[:, 0] + 2
    num_b = pairs[:, 3] - pairs[:, 2] + 1
    segment_sizes = np.stack([num_a, num_b], axis=1).ravel()
    return _Sequences(
        input_ids=np.concatenate(ids),
        segment_ids=np.repeat(np.tile([0, 1], len(pairs)), segment_sizes),
        token_boundary=np.concatenate(starts).astype(np.int64),
        lengths=num_a + num_b,
        labels=pairs[:, 4],
    )


def _plain_features(sequences: _Sequences, ids: Any) -> Dict[str, records.Feature]:
    """Returns the features of the layout `sequences`."""
    ones = np.ones(len(ids), np.int64)
    return {
        "input_ids": records.int64_feature(sequences.input_ids, sequences.lengths),
        "segment_ids": records.int64_feature(sequences.segment_ids, sequences.lengths),
        "token_boundary": records.int64_feature(sequences.token_boundary, sequences.lengths),
        "next_sentence_labels": records.int64_feature(sequences.labels, ones),
        "sequence_id": records.int64_feature(ids, ones),
    }


def _masked_features(
    recipe: Recipe, sequences: _Sequences, ids: Any, passes: Any
) -> Dict[str, records.Feature]:
    """Returns the features of the layout `static_masks`: masked, padded."""
    tokenizer, static = recipe.tokenizer, recipe.static_masks
    assert static is not None and static.masks.max_predictions is not None
    batch, width = len(ids), recipe.pairs.max_seq_length
    is_token = np.arange(width) < sequences.lengths[:, None]  # [batch, width]
    input_ids, segment_ids, boundary = (
        _padded(values, is_token)
        for values in (sequences.input_ids, sequences.segment_ids, sequences.token_boundary)
    )
    keys = masking.keys_of(recipe.pairs.random_seed, passes, ids)
    masked_ids, labels = masking.mask_tokens(
        input_ids, boundary, sequences.lengths, keys, static.masks, masking.Vocabulary.of(tokenizer)
    )
    rows, positions = np.nonzero(labels != masking.NO_LABEL)
    counts = np.bincount(rows, minlength=batch)
    is_used = np.arange(static.masks.max_predictions) < counts[:, None]  # [batch, predictions]
    columns = {
        "input_ids": np.where(is_token, masked_ids, 0),
        "input_mask": is_token,
        "segment_ids": segment_ids,
        "token_boundary": boundary,
        "masked_lm_positions": _padded(positions, is_used),
        "masked_lm_ids": _padded(labels[rows, positions], is_used),
        "next_sentence_labels": sequences.labels[:, None],
    }
    features = {
        name: records.int64_feature(values.ravel(), np.full(batch, values.shape[1]))
        for name, values in columns.items()
    }
    return {**features, "masked_lm_weights": records.float_feature(is_used)}


def _padded(values: Any, is_used: Any) -> Any:
    """Returns values where `is_used`, a bool [batch, width], and zeros elsewhere: int64."""
    padded = np.zeros(is_used.shape, np.int64)
    padded[is_used] = values
    return padded
