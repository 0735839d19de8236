"""Sequences to records: tf.train.Example, and the frames of TFRecord files, of a batch at once.

This is written without TensorFlow, which takes seconds to import, whose classes take as long for an
example as its tokenization does, and which must not be used after a fork. The bytes are those that
TensorFlow writes when it serialises deterministically.
"""

import functools
import struct
from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

_CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, reflected
_ALL_ONES = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8  # TFRecord files hold checksums rotated, with this added

# Tags of protocol buffers: field number and wire type 2, a length and so many bytes.
_FIELD_1, _FIELD_2 = b"\x0a", b"\x12"
_FLOAT_LIST, _INT64_LIST = b"\x12", b"\x1a"


class Feature(NamedTuple):
    """The values of a feature in each example of a batch, serialised."""

    values: List[bytes]
    list_tag: bytes


def int64_feature(values: Any, lengths: Any) -> Feature:
    """Returns the Feature of integers that are not negative.

    Args:
        values: int [sum of lengths], those of all examples, one after the other.
        lengths: int [examples].
    """
    values = np.asarray(values).astype(np.uint64)
    num_groups = 1  # of 7 bits, in the largest
    while num_groups < 10 and (values >> np.uint64(7 * num_groups)).any():
        num_groups += 1
    if num_groups == 1:  # flags, masks and labels: a byte each
        return Feature(_cut(values.astype(np.uint8).tobytes(), _bounds(lengths)), _INT64_LIST)
    sizes = np.ones(len(values), np.int64)
    for group in range(1, num_groups):
        sizes += values >= np.uint64(1 << 7 * group)
    ends = np.cumsum(sizes)
    encoded = np.empty(ends[-1] if len(ends) else 0, np.uint8)
    for group in range(num_groups):
        has = sizes > group
        continues = (sizes[has] > group + 1).astype(np.uint8) << 7
        bits = (values[has] >> np.uint64(7 * group)).astype(np.uint8) & 0x7F
        encoded[ends[has] - sizes[has] + group] = bits | continues
    bounds = np.append(0, ends)[_bounds(lengths)]
    return Feature(_cut(encoded.tobytes(), bounds), _INT64_LIST)


def _bounds(lengths: Any) -> Any:
    """Returns where rows of these lengths start, one after the other, and where the last ends."""
    return np.append(0, np.cumsum(lengths))


def float_feature(values: Any) -> Feature:
    """Returns the Feature of numbers: [examples, values of each]."""
    rows = np.ascontiguousarray(values, "<f4")
    return Feature([row.tobytes() for row in rows], _FLOAT_LIST)


def serialized_examples(features: Dict[str, Feature]) -> List[bytes]:
    """Returns the tf.train.Example of each example, serialised with its features by name."""
    columns = []
    for name in sorted(features):
        key = _field(_FIELD_1, name.encode())
        tag = features[name].list_tag
        columns.append([_entry(key, tag, values) for values in features[name].values])
    return [_field(_FIELD_1, b"".join(entries)) for entries in zip(*columns)]


def _entry(key: bytes, list_tag: bytes, values: bytes) -> bytes:
    """Returns an entry of the map from names to features."""
    feature = _field(list_tag, _field(_FIELD_1, values))
    return _field(_FIELD_1, key + _field(_FIELD_2, feature))


def _field(tag: bytes, content: bytes) -> bytes:
    length = len(content)
    encoded = b""
    while length > 0x7F:
        encoded += bytes([length & 0x7F | 0x80])
        length >>= 7
    return tag + encoded + bytes([length]) + content


def _cut(content: bytes, bounds: Any) -> List[bytes]:
    """Returns the parts of a content between bounds, int [parts + 1]."""
    places = bounds.tolist()
    return [content[start:end] for start, end in zip(places, places[1:])]


def framed(records: Sequence[bytes]) -> bytes:
    """Returns the records as a TFRecord file holds them.

    A frame is the length (uint64), its checksum (uint32), the record and its checksum, all with the
    lowest byte first.
    """
    lengths = [struct.pack("<Q", len(record)) for record in records]
    checksums = _masked(crc32c(records)).astype("<u4").tobytes()
    of_lengths = _masked(crc32c(lengths)).astype("<u4").tobytes()
    parts = []
    for index, record in enumerate(records):
        place = slice(4 * index, 4 * index + 4)
        parts += [lengths[index], of_lengths[place], record, checksums[place]]
    return b"".join(parts)


def _masked(checksums: Any) -> Any:
    return (((checksums >> 15) | (checksums << 17)) + _MASK_DELTA) & _ALL_ONES


def crc32c(records: Sequence[bytes]) -> Any:
    """Returns the CRC-32C of each of the records, none of them empty: int64 [records].

    The checksum is linear: it is the sum, without carries, of what each byte contributes, which
    depends on the byte and on how many follow it.
    """
    if not records:
        return np.zeros(0, np.int64)
    lengths = np.array([len(record) for record in records])
    tables = _crc_tables(1 << int(lengths.max() - 1).bit_length())
    values = np.frombuffer(b"".join(records), np.uint8)
    ends = np.cumsum(lengths)
    num_following = np.repeat(ends, lengths) - np.arange(1, len(values) + 1)
    contributions = tables.of_bytes.ravel()[num_following * 256 + values]
    total = np.bitwise_xor.reduceat(contributions, ends - lengths)
    return (total ^ tables.of_start[lengths]).astype(np.int64) ^ _ALL_ONES


class _Tables(NamedTuple):
    """Contributions to a CRC: of_bytes [bytes that follow, value], of_start [bytes in all]."""

    of_bytes: Any
    of_start: Any


@functools.lru_cache(maxsize=4)
def _crc_tables(num_bytes: int) -> _Tables:
    """Returns the tables for records of up to so many bytes."""
    of_bytes = np.empty((num_bytes, 256), np.uint32)
    of_start = np.empty(num_bytes + 1, np.uint32)
    row = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        row = (row >> np.uint32(1)) ^ np.where(row & 1, np.uint32(_CASTAGNOLI), np.uint32(0))
    of_bytes[0], of_start[0] = row, _ALL_ONES
    for index in range(1, num_bytes):
        before = of_bytes[index - 1]
        of_bytes[index] = (before >> np.uint32(8)) ^ row[before & np.uint32(0xFF)]
    for index in range(num_bytes):
        start = of_start[index]
        of_start[index + 1] = (start >> np.uint32(8)) ^ row[start & np.uint32(0xFF)]
    return _Tables(of_bytes, of_start)
