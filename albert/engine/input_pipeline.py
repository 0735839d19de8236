"""Cached feature files and the batches read from them.

A feature file is a TFRecord file of unpadded features. A JSON sidecar next to it records what it
was made from, and checksums of the file and of itself.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import zlib
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
import tensorflow.compat.v1 as tf
import tqdm

from albert.common import files, json_files, locks
from albert.common.errors import UsageError
from albert.engine import devices
from albert.engine.task import INPUT_IDS, INPUT_MASK, Feature, PreparedFeatures, Shard

FORMAT_VERSION = 1
# Features sorted by length at once: few enough for any memory (four long texts take about 10 kB),
# and so many that a batch is hardly ever cut short by the end of its window.
SORTED_FEATURES = 8192
# Of a batch, see train_dataset: on each machine so many shards are in memory at once, or fewer.
_MOST_LANES = 16
_SHUFFLED_BYTES = 1 << 26  # of a shard at once
_SEEDS_PER_SHARD = (1 << 31) + 11  # epochs, before the shuffles of one shard are those of another
# Several sequences of a feature are stored as one; their lengths, under its name and this suffix.
_LENGTHS = "/lengths"

_log = logging.getLogger(__name__)


class FeatureFile(NamedTuple):
    """A complete feature file: its path, its number of features and the hash of their origin."""

    path: str
    num_features: int
    fingerprint: str

    @property
    def shards(self) -> Sequence[Shard]:
        """The file, as the only shard."""
        return [Shard(self.path, self.num_features, os.path.getsize(self.path))]

    def content(self) -> Dict[str, Any]:
        """Returns {what it is: value} of all that makes it equal to another file."""
        return {
            "the origin of the features": self.fingerprint,
            "the number of features": self.num_features,
            "the checksum of the features": json_files.load_json(self.path + ".json")["crc32"],
        }

    def find_change(self) -> Optional[str]:
        """Returns what has happened to the file since it was opened, or None."""
        with contextlib.suppress(OSError, UsageError):
            if _describes(json_files.load_json(self.path + ".json"), self.path, self.fingerprint):
                return None
        return (
            f"{self.path} was removed or changed while it was in use. The same command makes it "
            "again, and goes on from the last checkpoint."
        )


Features = Union[FeatureFile, PreparedFeatures]


class Share(NamedTuple):
    """A worker's part of every global batch: the batches of its replicas, one after the other.

    Attributes:
        num_workers: how many share the batch; the replicas of worker 0 come first.
        rank: of the worker.
        num_replicas: of each worker.
    """

    num_workers: int = 1
    rank: int = 0
    num_replicas: int = 1


def cached_features(
    directory: str,
    name: str,
    origin: Dict[str, Any],
    make_features: Callable[[], Iterable[Dict[str, Any]]],
    required_names: Iterable[str] = (),
) -> FeatureFile:
    """Returns the FeatureFile of that name and origin, made now unless a complete one exists.

    Files of different origins have different names, so runs with different settings can share the
    folder. A file appears under its name only once it is complete. Of several processes that need
    it, on machines that share the folder too, one makes it while the others wait; where the file
    system has no locks, each writes the same bytes.

    Args:
        directory: the folder, created if it is missing.
        name: prefix of the file's name.
        origin: everything the features depend on, as JSON values.
        make_features: returns the features, {name: value or list of values}.
        required_names: names of features. A cached file that lacks one of them, such as one made by
            an earlier release, is replaced.

    Raises:
        UsageError: the folder cannot be written to, or there are no features.
    """
    origin = {"format_version": FORMAT_VERSION, "origin": origin}
    fingerprint = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    path = os.path.join(directory, f"{name}_{fingerprint[:16]}.tf_record")
    try:
        os.makedirs(directory, exist_ok=True)
        with locks.turn(path):
            cached = _open_cached(path, fingerprint, required_names)
            if cached:
                _log.info("Using %d features in %s.", cached.num_features, path)
                return cached
            return _make_cached(path, fingerprint, make_features())
    except (OSError, tf.errors.OpError) as error:
        raise UsageError(
            f"<cached_dir> cannot be written to: {error}.", cached_dir=directory
        ) from error


def _open_cached(path, fingerprint, required_names):
    """Returns the FeatureFile at a path, or None if it is missing, damaged or incomplete."""
    if not os.path.exists(path):
        return None
    try:
        sidecar = json_files.load_json(path + ".json")
    except UsageError as error:
        _log.warning("Rebuilding %s: its sidecar cannot be read (%s).", path, error)
        return None
    if not _describes(sidecar, path, fingerprint):
        _log.warning("Rebuilding %s: it is not the file its sidecar describes.", path)
        return None
    missing_names = set(required_names) - _feature_names(path)
    if missing_names:
        _log.warning("Rebuilding %s: it lacks %s.", path, ", ".join(sorted(missing_names)))
        return None
    return FeatureFile(path, sidecar["num_features"], fingerprint)


def _make_cached(path, fingerprint, features):
    _log.info("Writing features to %s.", path)
    with files.replacing(path) as temporary:
        with tf.io.TFRecordWriter(temporary) as writer:
            num_features = 0
            for feature in tqdm.tqdm(features, unit=" features", leave=False, disable=None):
                writer.write(_serialize(feature))
                num_features += 1
        if not num_features:
            raise UsageError(f"There are no examples to make {os.path.basename(path)} from.")
        sidecar = _sidecar(temporary, fingerprint, num_features)
    json_files.write_json(path + ".json", sidecar)
    _log.info("Wrote %d features.", num_features)
    return FeatureFile(path, num_features, fingerprint)


def _sidecar(path, fingerprint, num_features):
    """Returns the sidecar of a file; its own checksum covers what cannot be told from the file."""
    sidecar = {
        "fingerprint": fingerprint,
        "num_features": num_features,
        "num_bytes": os.path.getsize(path),
        "crc32": _crc32(path),
    }
    content = json.dumps(sidecar, sort_keys=True)
    return dict(sidecar, checksum=zlib.crc32(content.encode()))


def _describes(sidecar, path, fingerprint):
    """Returns whether a sidecar is that of the file at a path."""
    num_features = sidecar.get("num_features")
    expected = _sidecar(path, fingerprint, num_features)
    if "checksum" in sidecar:
        return sidecar == expected
    del expected["checksum"]  # an earlier release wrote none, so the features are counted
    return sidecar == expected and num_features == _count_records(path)


def _count_records(path):
    return sum(1 for _ in tf.io.tf_record_iterator(path))


def _feature_names(path):
    """Returns the names of the features in a file: those of its first record, as all are alike."""
    record = next(tf.io.tf_record_iterator(path))
    return set(tf.train.Example.FromString(record).features.feature)


def _crc32(path):
    crc = 0
    with open(path, "rb") as reader:
        for block in iter(lambda: reader.read(1 << 20), b""):
            crc = zlib.crc32(block, crc)
    return crc


def _serialize(feature):
    example = tf.train.Example()
    for name, value in feature.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if values and isinstance(values[0], (list, tuple)):
            _store(example, name + _LENGTHS, [len(sequence) for sequence in values])
            values = [number for sequence in values for number in sequence]
        _store(example, name, values)
    # Otherwise the order of the map could differ between processes.
    return example.SerializeToString(deterministic=True)


def _store(example, name, values):
    stored = example.features.feature[name]
    if values and isinstance(values[0], float):
        stored.float_list.value.extend(values)
    else:
        stored.int64_list.value.extend(values)


@contextlib.contextmanager
def explaining_loss_of(features: Features) -> Iterator[None]:
    """Turns the error of a block that reads features into one line if their file has changed.

    Raises:
        UsageError: the file was removed, cut or overwritten while it was in use.
    """
    try:
        yield
    except tf.errors.OpError as error:
        change = features.find_change()
        if change is None:
            raise
        raise UsageError(change) from error


def _records(path, num_features):
    """Returns the dataset of a file's serialized features; fails if the file has fewer by now."""
    # Reading comes to this file, which does not exist, only where features are missing before it.
    missing = tf.data.TFRecordDataset(path + ": features are missing")
    return tf.data.TFRecordDataset(path).concatenate(missing).take(num_features)


def train_dataset(
    features: Features,
    spec: Dict[str, Feature],
    batch_size: int,
    seed: int,
    num_consumed: int = 0,
    share: Optional[Share] = None,
) -> Any:
    """Returns an endless tf.data.Dataset of batches, {name: tensor of Feature.shape}.

    Epoch e has every feature once. It is the shards in random order, and each a shuffle of its
    features; both depend only on (seed, e). So memory holds a few shards, and reading can start
    anywhere without reading what comes before, but for one shard.

    A global batch takes as many features from each of several equal parts of the epoch, its lanes,
    so that workers read different shards. The lanes depend on the size of the global batch and on
    the number of shards, and not on who computes the batch. A batch may span two epochs.

    Args:
        spec: {name: Feature}, from Task.feature_spec; prepared features have one of their own.
        batch_size: examples per replica.
        num_consumed: how many features earlier runs have consumed, in global batches of this size.
        share: whose batches to return; None for those of a single replica.
    """
    share = share or Share()
    num_rows = share.num_replicas * batch_size  # of this worker
    global_batch_size = share.num_workers * num_rows
    num_lanes = math.gcd(
        global_batch_size, 1 << _floor_log2(min(len(features.shards), _MOST_LANES))
    )
    lane_rows = global_batch_size // num_lanes
    first_row = share.rank * num_rows
    first_lane, end_lane = first_row // lane_rows, -(-(first_row + num_rows) // lane_rows)
    lanes = [
        _lane(features, lane, num_lanes, seed, num_consumed // num_lanes)
        for lane in range(first_lane, end_lane)
    ]
    if lane_rows == num_rows:
        batches = lanes[0].batch(batch_size, drop_remainder=True)
    else:
        start = first_row - first_lane * lane_rows
        rows = tf.data.Dataset.zip(tuple(lane.batch(lane_rows) for lane in lanes)).map(
            lambda *lanes: [tf.concat(part, 0)[start : start + num_rows] for part in zip(*lanes)]
        )
        batches = rows.unbatch().batch(batch_size, drop_remainder=True)
    prepared = features if isinstance(features, PreparedFeatures) else None
    stored = prepared.spec if prepared else spec
    inputs = {name: feature for name, feature in stored.items() if feature.is_input}

    def parsed(epochs, records):
        batch = _parse(records, inputs)
        return prepared.as_batch(batch, epochs) if prepared else batch

    return devices.without_autotuning(batches.map(parsed, num_parallel_calls=2).prefetch(2))


def _floor_log2(number):
    return number.bit_length() - 1


def _lane(features, lane, num_lanes, seed, num_consumed):
    """Returns the endless dataset of (epoch, record) of a lane: that part of epoch after epoch."""
    start, end = (features.num_features * edge // num_lanes for edge in (lane, lane + 1))
    first_epoch, num_skipped = divmod(num_consumed, end - start)

    def part_of(epoch):
        skipped = tf.constant(num_skipped, tf.int64) * tf.cast(
            tf.equal(epoch, first_epoch), tf.int64
        )
        records = _part_of_epoch(features, seed, epoch, start + skipped, end)
        return records.map(lambda record: (epoch, record))

    return tf.data.Dataset.range(first_epoch, 1 << 62).flat_map(part_of)


def _part_of_epoch(features, seed, epoch, start, end):
    """Returns the dataset of an epoch's records from `start` on and before `end`."""
    paths, counts, _ = (list(column) for column in zip(*features.shards))
    buffers = [_num_shuffled(features, shard) for shard in features.shards]
    # Only their order counts. All the same on one runtime, which is what resuming needs.
    keys = tf.random.stateless_uniform([len(paths)], tf.stack([tf.constant(seed, tf.int64), epoch]))
    order = tf.argsort(keys)
    sizes = tf.gather(tf.constant(counts, tf.int64), order)
    starts = tf.cumsum(sizes, exclusive=True)
    firsts = tf.clip_by_value(start - starts, 0, sizes)
    ends = tf.clip_by_value(end - starts, 0, sizes)
    shards = (
        tf.gather(tf.constant(paths), order),
        tf.cast(order, tf.int64),
        sizes,
        tf.gather(tf.constant(buffers, tf.int64), order),
        firsts,
        ends,
    )

    def records_of(path, number, size, buffer_size, first, end):
        shard_seed = seed * 1000003 + epoch + number * _SEEDS_PER_SHARD
        records = _records(path, size).shuffle(
            buffer_size, seed=shard_seed, reshuffle_each_iteration=False
        )
        return records.skip(first).take(end - first)

    needed = [tf.boolean_mask(values, ends > firsts) for values in shards]
    return tf.data.Dataset.from_tensor_slices(tuple(needed)).flat_map(records_of)


def next_batch_of(dataset: Any) -> Callable[[], Dict[str, Any]]:
    """Returns a function whose calls return successive batches of a dataset.

    When an input_fn returns it, each replica gets a batch of its own. If the input_fn returned the
    dataset, the strategy would add another dataset for each device. TensorFlow 2.15 tunes those in
    a thread that is slow to stop: about every other short run ended 10 to 20 s late.
    """
    iterator = tf.data.make_one_shot_iterator(dataset)
    previous: List[Any] = []

    def next_batch():
        with tf.control_dependencies(previous):  # keeps the order of the calls
            batch = iterator.get_next()
        previous[:] = [batch[INPUT_IDS]]
        return batch

    return next_batch


def _num_shuffled(features, shard):
    """Returns among how many features of a shard each is drawn: all, if they fit into memory."""
    if not isinstance(features, PreparedFeatures):
        return shard.num_features  # of one task, which are few
    fitting = shard.num_features * _SHUFFLED_BYTES // shard.num_bytes
    return max(1, min(shard.num_features, fitting))


def read_batches(
    feature_file: FeatureFile,
    spec: Dict[str, Feature],
    batch_size: Optional[int],
    num_tokens: int = 1024,
) -> Iterator[Tuple[Any, Dict[str, Any]]]:
    """Yields the features of a file in batches of similar length, so that there is little padding.

    Each window of SORTED_FEATURES features is sorted, longest first: several devices that share
    the batches then end together, and a batch that does not fit into memory is one of the first.

    Args:
        batch_size: features of a batch, the last of a window excepted; None for as many as have
            `num_tokens` tokens, padding included, and at least one.

    Yields:
        (positions in the file, int64 [batch]; {name: NumPy array of Feature.shape})
    """
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)  # nothing here is random, but devices.make_deterministic asks for it
        records = _records(feature_file.path, feature_file.num_features)
        windows = records.enumerate().batch(max(SORTED_FEATURES, batch_size or 0))
        batches = windows.prefetch(1).flat_map(
            lambda positions, records: _batches_of_window(
                positions, records, spec, batch_size, num_tokens
            )
        )
        batches = devices.without_autotuning(batches.prefetch(2))
        next_batch = tf.data.make_one_shot_iterator(batches).get_next()
    # Reading needs only the CPU: this session must not claim GPU memory. It is not made the default
    # session, because another thread may resume the generator.
    session = tf.Session(graph=graph, config=tf.ConfigProto(device_count={"GPU": 0}))
    with contextlib.closing(session), explaining_loss_of(feature_file):
        while True:
            try:
                batch = session.run(next_batch)
            except tf.errors.OutOfRangeError:
                return
            yield batch


def batches_of(
    features: Sequence[Dict[str, Any]],
    spec: Dict[str, Feature],
    batch_size: Optional[int],
    num_tokens: int = 1024,
) -> Iterator[Tuple[Any, Dict[str, Any]]]:
    """Yields features in memory as `read_batches` yields those of a file, in a single window."""
    longest = [
        len(ids) if spec[INPUT_IDS].num_sequences == 1 else max(map(len, ids))
        for ids in (feature[INPUT_IDS] for feature in features)
    ]
    order = np.argsort(-np.array(longest, np.int64), kind="stable")
    start = 0
    while start < len(order):
        tokens = longest[order[start]] * spec[INPUT_IDS].num_sequences
        size = batch_size or max(num_tokens // max(tokens, 1), 1)
        positions = order[start : start + size]
        yield positions, _padded([features[position] for position in positions], spec)
        start += size


def _padded(features, spec):
    """Returns a batch padded to its longest feature, as `_parse` does."""
    batch = {
        name: _to_array([each[name] for each in features], feature)
        for name, feature in spec.items()
    }
    ones = [_filled(each[INPUT_IDS], 1) for each in features]
    batch[INPUT_MASK] = _to_array(ones, spec[INPUT_IDS]._replace(padding=0))
    return batch


def _filled(ids, value):
    """Returns the structure of a list, or of a list of lists, with a value everywhere."""
    return [_filled(each, value) if isinstance(each, list) else value for each in ids]


def _to_array(values, feature):
    """Returns the values of one feature for each element of a batch, padded, of Feature.shape."""
    dtype = feature.dtype.as_numpy_dtype
    if not feature.is_sequence:
        return np.array(values, dtype)
    rows = values if feature.num_sequences == 1 else [row for each in values for row in each]
    padded = np.full([len(rows), max(map(len, rows))], feature.padding, dtype)
    for row, padded_row in zip(rows, padded):
        padded_row[: len(row)] = row
    return (
        padded if feature.num_sequences == 1 else padded.reshape(len(values), -1, padded.shape[1])
    )


def _batches_of_window(positions, records, spec, batch_size, num_tokens):
    """Returns the dataset of a window's batches; positions int64 [window], records string [window].

    A feature of several sequences counts as that many of its longest.
    """
    lengths = _longest_sequences(records, spec[INPUT_IDS])
    order = tf.argsort(lengths, direction="DESCENDING", stable=True)
    positions, records = tf.gather(positions, order), tf.gather(records, order)
    if batch_size:
        sizes = tf.fill(tf.shape(lengths), batch_size)
    else:
        tokens = tf.gather(lengths, order) * spec[INPUT_IDS].num_sequences
        sizes = tf.maximum(num_tokens // tf.maximum(tokens, 1), 1)
    starts, ends = _limits(sizes)
    return tf.data.Dataset.from_tensor_slices((starts, ends)).map(
        lambda start, end: (positions[start:end], _parse(records[start:end], spec)),
        num_parallel_calls=2,
    )


def _limits(sizes):
    """Returns where batches start and end, int32 [batches] each.

    Args:
        sizes: int32 [features], the size of a batch whose first feature is this one.
    """
    num_features = tf.shape(sizes)[0]

    def add_batch(start, starts):
        return start + sizes[start], tf.concat([starts, [start]], 0)

    _, starts = tf.while_loop(
        lambda start, _: start < num_features,
        add_batch,
        (tf.constant(0), tf.zeros([0], tf.int32)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )
    return starts, tf.concat([starts[1:], [num_features]], 0)


def _longest_sequences(records, feature):
    """Returns the length of each record's longest sequence of tokens, int32 [records]."""
    name = INPUT_IDS + _LENGTHS if feature.num_sequences > 1 else INPUT_IDS
    if feature.num_sequences > 1:
        stored = tf.io.FixedLenFeature([feature.num_sequences], tf.int64)
        lengths = tf.io.parse_example(records, {name: stored})[name]  # [records, sequences]
        return tf.cast(tf.reduce_max(lengths, 1), tf.int32)
    tokens = tf.io.parse_example(records, {name: tf.io.VarLenFeature(tf.int64)})[name]
    rows = tokens.indices[:, 0]
    return tf.math.unsorted_segment_sum(tf.ones_like(rows, tf.int32), rows, tf.size(records))


def _parse(records, spec):
    """Returns a batch padded to its longest feature, given serialized features, string [batch]."""
    stored = {}
    for name, feature in spec.items():
        dtype = tf.int64 if feature.dtype.is_integer else tf.float32
        stored[name] = (
            tf.io.VarLenFeature(dtype) if feature.is_sequence else tf.io.FixedLenFeature([], dtype)
        )
        if feature.num_sequences > 1:
            stored[name + _LENGTHS] = tf.io.FixedLenFeature([feature.num_sequences], tf.int64)
    batch = tf.io.parse_example(records, stored)
    for name, feature in spec.items():
        if feature.num_sequences > 1:
            batch[name] = _split_sequences(batch[name], batch[name + _LENGTHS])
    tokens = batch[INPUT_IDS]
    parsed = {INPUT_MASK: _to_dense(tokens, tf.ones_like(tokens.values), 0, tf.int32)}
    for name, feature in spec.items():
        value = batch[name]
        if feature.is_sequence:
            parsed[name] = _to_dense(value, value.values, feature.padding, feature.dtype)
        else:
            parsed[name] = tf.cast(value, feature.dtype)
    return parsed


def _split_sequences(sparse, lengths):
    """Undoes storing n sequences as one: [batch, sum of lengths] -> [batch, n, longest].

    Args:
        lengths: int64 [batch, n].
    """
    is_real = tf.sequence_mask(lengths)
    shape = tf.shape(is_real, out_type=tf.int64)
    return tf.SparseTensor(tf.where(is_real), sparse.values, shape)


def _to_dense(sparse, values, padding, dtype):
    padded = tf.SparseTensor(sparse.indices, tf.cast(values, dtype), sparse.dense_shape)
    return tf.sparse.to_dense(padded, default_value=tf.cast(padding, dtype))
