"""Tests of albert.pretraining.records, against TensorFlow's own classes."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from albert.pretraining import records

light = settings(max_examples=60, deadline=None)
integers = (
    st.integers(0, 2**63 - 1) | st.integers(0, 300) | st.sampled_from([127, 128, 16383, 16384])
)


def feature_of(values):
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def tensorflows_example(features):
    example = tf.train.Example(
        features=tf.train.Features(
            feature={name: feature_of(values) for name, values in features.items()}
        )
    )
    return example.SerializeToString(deterministic=True)


@light
@given(st.lists(st.lists(integers, min_size=1, max_size=300), min_size=1, max_size=4))
def test_examples_have_the_bytes_that_tensorflow_writes(rows):
    weights = [[0.5, float(len(row))] for row in rows]
    values = np.array([value for row in rows for value in row], np.int64)
    made = records.serialized_examples(
        {
            "number": records.int64_feature(values, np.array([len(row) for row in rows])),
            "a_weight": records.float_feature(np.array(weights)),
        }
    )
    assert made == [
        tensorflows_example({"number": row, "a_weight": weight})
        for row, weight in zip(rows, weights)
    ]


@light
@given(st.lists(st.binary(min_size=1, max_size=700), max_size=5))
def test_tensorflow_reads_the_frames_and_writes_the_same(tmp_path_factory, contents):
    folder = tmp_path_factory.mktemp("frames")
    with tf.io.TFRecordWriter(str(folder / "expected")) as writer:
        for content in contents:
            writer.write(content)
    assert records.framed(contents) == (folder / "expected").read_bytes()


def test_checksum_is_that_of_the_rfc():
    # RFC 3720, B.4, and the check value of CRC-32C.
    texts = [b"123456789", bytes(32), b"\xff" * 32, bytes(range(32))]
    assert records.crc32c(texts).tolist() == [0xE3069283, 0x8A9136AA, 0x62A8AB43, 0x46DD794E]


@pytest.mark.parametrize("size", [127, 128, 129, 16384, 70000])
def test_long_records_are_right_too(tmp_path, size):
    content = np.random.RandomState(0).bytes(size)
    (tmp_path / "one").write_bytes(records.framed([content]))
    (read,) = tf.io.tf_record_iterator(str(tmp_path / "one"))
    assert read == content
