"""Small sets of sequences for pre-training, in the files that create_pretraining_data writes."""

import os
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

from albert.pretraining import manifest as manifests

CLS, SEP, MASK = 2, 3, 4


def make_sequence(random, sequence_id, vocab_size=50, lengths=(8, 30)):
    """Returns the features of a sequence of random tokens, `[CLS] a [SEP] b [SEP]`."""
    length = random.randint(*lengths)
    first = random.randint(3, length - 3)  # the [SEP] between the segments
    ids = random.randint(5, vocab_size, length)
    ids[[0, first, -1]] = CLS, SEP, SEP
    return {
        "input_ids": ids.tolist(),
        "segment_ids": [0] * (first + 1) + [1] * (length - first - 1),
        "token_boundary": np.where(ids < 5, 1, random.randint(0, 2, length)).tolist(),
        "next_sentence_labels": [random.randint(2)],
        "sequence_id": [sequence_id],
    }


def write_records(path, rows):
    """Writes a TFRecord file of features, {name: list of numbers} each."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            example = tf.train.Example()
            for name, values in row.items():
                stored = example.features.feature[name]
                kind = stored.float_list if isinstance(values[0], float) else stored.int64_list
                kind.value.extend(values)
            writer.write(example.SerializeToString())


def write_sequences(prefix, tokenizer, sizes=(20, 30), seed=0, **kwargs):
    """Writes shards of these sizes and their manifest; returns the features of each sequence."""
    random = np.random.RandomState(seed)
    written, shards = [], []
    for number, size in enumerate(sizes):
        rows = [make_sequence(random, (number << 32) + each, **kwargs) for each in range(size)]
        path = manifests.shard_path(str(prefix), number)
        write_records(path, rows)
        written.extend(rows)
        with open(path, "rb") as reader:
            crc = zlib.crc32(reader.read())
        shards.append(
            manifests.Shard(
                file=os.path.basename(path),
                num_documents=1,
                num_sentences=size,
                num_dropped_sentences=0,
                num_sequences=size,
                num_tokens=sum(len(row["input_ids"]) for row in rows),
                num_bytes=os.path.getsize(path),
                crc32=crc,
                source_sha256="",
            )
        )
    manifests.write(
        manifests.Manifest(
            path=manifests.path_of(str(prefix)),
            layout=manifests.SEQUENCES,
            is_complete=True,
            max_seq_length=kwargs.get("lengths", (8, 30))[1],
            vocab_size=tokenizer.vocab_size,
            tokenizer=tokenizer.fingerprint(),
            settings={},
            vocabulary=None,
            inputs=[],
            shards=tuple(shards),
        )
    )
    return written
