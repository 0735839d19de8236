"""Tests of albert.engine.input_pipeline: feature files, and the batches read from them."""

import errno
import fcntl
import json
import logging
import multiprocessing
import os
import shutil
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert.common.errors import UsageError
from albert.engine import input_pipeline
from albert.engine.input_pipeline import (
    Share,
    cached_features,
    explaining_loss_of,
    read_batches,
    train_dataset,
)
from albert.engine.task import Feature

ORIGIN = {"data": "abc", "max_seq_length": 8}

SPEC = {
    "input_ids": Feature(tf.int32),
    "segment_ids": Feature(tf.int32),
    "weights": Feature(tf.float32),
    "label_ids": Feature(tf.int32, is_sequence=False),
    "score": Feature(tf.float32, is_sequence=False),
}

FEATURES = [
    {
        "input_ids": [2, 7, 3],
        "segment_ids": [0, 0, 1],
        "weights": [0.1, -2.5, 1e-30],
        "label_ids": -1,
        "score": 4.75,
    },
    {
        "input_ids": [2, 0, 29999, 0],
        "segment_ids": [0, 1, 1, 1],
        "weights": [1.0, 0.0, 3.0, 1e30],
        "label_ids": 2147483647,
        "score": 1 / 3,
    },
    {"input_ids": [5], "segment_ids": [1], "weights": [7.0], "label_ids": 0, "score": -0.0},
]


class CountingMaker:
    """A make_features that counts its calls."""

    def __init__(self, features):
        self._features = features
        self.num_calls = 0

    def __call__(self):
        self.num_calls += 1
        return iter(self._features)


@pytest.fixture
def make_features():
    return CountingMaker(FEATURES)


def make_file(tmp_path, features=FEATURES):
    return cached_features(str(tmp_path), "toy_dev", ORIGIN, lambda: features)


def read_whole(feature_file, spec):
    """Returns all features of a file as one batch, in the order of the file."""
    ((positions, batch),) = read_batches(feature_file, spec, feature_file.num_features)
    return {name: value[np.argsort(positions)] for name, value in batch.items()}


def open_again(directory, caplog):
    """Opens the cache with a new maker; returns how often that was called, and the warnings."""
    make_features = CountingMaker(FEATURES)
    caplog.clear()
    feature_file = cached_features(str(directory), "toy_dev", ORIGIN, make_features)
    assert sum(len(batch["score"]) for _, batch in read_batches(feature_file, SPEC, 2)) == 3
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    return make_features.num_calls, warnings


def test_a_batch_of_one_feature_is_exact_and_unpadded(tmp_path):
    batches = list(read_batches(make_file(tmp_path), SPEC, batch_size=1))
    assert len(batches) == len(FEATURES)
    for (position,), batch in batches:
        feature = FEATURES[position]
        assert set(batch) == {*SPEC, "input_mask"}
        for name, value in feature.items():
            dtype = np.int32 if name in ("input_ids", "segment_ids", "label_ids") else np.float32
            assert batch[name].dtype == dtype
            np.testing.assert_array_equal(batch[name], np.asarray([value], dtype))


IDS = {"input_ids": Feature(tf.int32)}


def make_file_of_lengths(tmp_path, lengths):
    return make_file(tmp_path, [{"input_ids": [9] * length} for length in lengths])


def positions_of(batches):
    return [positions.tolist() for positions, _ in batches]


def test_each_batch_is_padded_to_its_longest_feature(tmp_path):
    feature_file = make_file_of_lengths(tmp_path, [3, 1, 2, 6, 4, 5, 1])
    shapes = [batch["input_ids"].shape for _, batch in read_batches(feature_file, IDS, 3)]
    assert shapes == [(3, 6), (3, 3), (1, 1)]


def test_padding_fills_with_zeros_after_the_real_values(tmp_path):
    batch = read_whole(make_file(tmp_path), SPEC)
    expected_ids = [[2, 7, 3, 0], [2, 0, 29999, 0], [5, 0, 0, 0]]
    expected_segments = [[0, 0, 1, 0], [0, 1, 1, 1], [1, 0, 0, 0]]
    np.testing.assert_array_equal(batch["input_ids"], expected_ids)
    np.testing.assert_array_equal(batch["segment_ids"], expected_segments)
    np.testing.assert_array_equal(batch["label_ids"], [-1, 2147483647, 0])


def test_input_mask_marks_real_tokens_even_those_with_id_0(tmp_path):
    batch = read_whole(make_file(tmp_path), SPEC)
    np.testing.assert_array_equal(batch["input_mask"], [[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
    assert batch["input_mask"].dtype == np.int32


def test_a_feature_is_padded_with_the_value_of_its_spec(tmp_path):
    spec = {
        "input_ids": Feature(tf.int32, padding=7),
        "segment_ids": Feature(tf.int32, padding=-100),
        "weights": Feature(tf.float32, padding=-1),
    }
    batch = read_whole(make_file(tmp_path), spec)
    np.testing.assert_array_equal(batch["input_ids"][2], [5, 7, 7, 7])
    np.testing.assert_array_equal(batch["segment_ids"][2], [1, -100, -100, -100])
    np.testing.assert_array_equal(batch["weights"][2], [7.0, -1.0, -1.0, -1.0])
    np.testing.assert_array_equal(batch["input_mask"][2], [1, 0, 0, 0])


def test_a_feature_of_several_sequences_is_a_matrix_padded_to_the_longest_of_the_batch(tmp_path):
    spec = {
        "input_ids": Feature(tf.int32, num_sequences=2),
        "weights": Feature(tf.float32, padding=-1, num_sequences=2),
        "label_ids": Feature(tf.int32, is_sequence=False),
    }
    features = [
        {"input_ids": [[2, 0], [2]], "weights": [[0.5, 1.5], [2.5]], "label_ids": 1},
        {"input_ids": [[2, 7, 3], [4, 5]], "weights": [[], [8.0]], "label_ids": 0},
        {"input_ids": [[6], [9]], "weights": [[0.25], [0.75]], "label_ids": 1},
    ]
    (positions, both), (_, last) = read_batches(make_file(tmp_path, features), spec, batch_size=2)
    assert positions.tolist() == [1, 0]
    both = {name: value[::-1] for name, value in both.items()}
    np.testing.assert_array_equal(
        both["input_ids"], [[[2, 0, 0], [2, 0, 0]], [[2, 7, 3], [4, 5, 0]]]
    )
    np.testing.assert_array_equal(
        both["input_mask"], [[[1, 1, 0], [1, 0, 0]], [[1, 1, 1], [1, 1, 0]]]
    )
    np.testing.assert_array_equal(both["weights"], [[[0.5, 1.5], [2.5, -1]], [[-1, -1], [8, -1]]])
    np.testing.assert_array_equal(last["input_ids"], [[[6], [9]]])
    np.testing.assert_array_equal(both["label_ids"], [1, 0])


def test_the_last_batch_is_short_and_order_is_kept(tmp_path):
    spec = {"input_ids": Feature(tf.int32), "number": Feature(tf.int32, is_sequence=False)}
    features = [{"input_ids": [1], "number": number} for number in range(23)]
    batches = list(read_batches(make_file(tmp_path, features), spec, batch_size=4))
    assert [len(batch["number"]) for _, batch in batches] == [4, 4, 4, 4, 4, 3]
    assert np.concatenate([batch["number"] for _, batch in batches]).tolist() == list(range(23))


def test_the_longest_features_come_first_and_equal_ones_in_order(tmp_path):
    feature_file = make_file_of_lengths(tmp_path, [2, 5, 2, 7, 5, 2])
    assert positions_of(read_batches(feature_file, IDS, 4)) == [[3, 1, 4, 0], [2, 5]]


def test_features_are_sorted_within_a_window_that_does_not_grow_with_the_file(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(input_pipeline, "SORTED_FEATURES", 4)
    feature_file = make_file_of_lengths(tmp_path, [1, 2, 3, 4, 1, 9, 2])
    assert positions_of(read_batches(feature_file, IDS, 3)) == [[3, 2, 1], [0], [5, 6, 4]]
    assert positions_of(read_batches(feature_file, IDS, 5)) == [[3, 2, 1, 0, 4], [5, 6]]


def test_a_feature_of_several_sequences_is_as_long_as_its_longest(tmp_path):
    spec = {"input_ids": Feature(tf.int32, num_sequences=2)}
    features = [{"input_ids": [[9] * a, [9] * b]} for a, b in [(4, 4), (1, 6), (5, 1), (2, 2)]]
    feature_file = make_file(tmp_path, features)
    assert positions_of(read_batches(feature_file, spec, 2)) == [[1, 2], [0, 3]]
    # With padding the features have 12, 10, 8 and 4 tokens.
    assert positions_of(read_batches(feature_file, spec, None, 20)) == [[1], [2, 0], [3]]


def test_a_batch_of_no_given_size_has_a_number_of_tokens_and_one_feature_at_least(tmp_path):
    feature_file = make_file_of_lengths(tmp_path, [3, 25, 6, 1, 4, 5, 1, 10])
    batches = list(read_batches(feature_file, IDS, None, 12))
    assert positions_of(batches) == [[1], [7], [2, 5], [4, 0, 3], [6]]
    shapes = [batch["input_ids"].shape for _, batch in batches]
    assert shapes == [(1, 25), (1, 10), (2, 6), (3, 4), (1, 1)]


def test_the_number_of_features_is_returned(tmp_path):
    assert make_file(tmp_path).num_features == 3


def test_an_empty_set_of_features_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(UsageError, match="toy_dev"):
        make_file(tmp_path, features=[])
    assert os.listdir(tmp_path) == [".turns"]


def test_a_missing_folder_is_created(tmp_path):
    feature_file = make_file(tmp_path / "a" / "b")
    assert os.path.dirname(feature_file.path) == str(tmp_path / "a" / "b")
    assert os.path.isfile(feature_file.path)


def test_a_complete_file_is_reused(tmp_path, make_features):
    first = cached_features(str(tmp_path), "toy_dev", ORIGIN, make_features)
    second = cached_features(str(tmp_path), "toy_dev", dict(ORIGIN), make_features)
    assert make_features.num_calls == 1
    assert second == first


def test_a_file_of_an_earlier_release_that_lacks_a_feature_is_replaced(
    tmp_path, make_features, caplog
):
    names = ["input_ids", "offset"]
    old = cached_features(str(tmp_path), "toy_dev", ORIGIN, make_features, names[:1])

    def with_offsets():
        return [{"input_ids": [1, 2], "offset": [0, 4]}]

    with caplog.at_level("WARNING"):
        new = cached_features(str(tmp_path), "toy_dev", ORIGIN, with_offsets, names)
    (record,) = caplog.records
    assert record.getMessage() == f"Rebuilding {old.path}: it lacks offset."
    assert new == old._replace(num_features=1)  # the data are the same
    assert cached_features(str(tmp_path), "toy_dev", ORIGIN, None, names) == new


def test_another_origin_gets_another_file_and_the_first_stays(tmp_path, make_features):
    first = cached_features(str(tmp_path), "toy_dev", ORIGIN, make_features)
    other = cached_features(str(tmp_path), "toy_dev", dict(ORIGIN, max_seq_length=9), make_features)
    assert make_features.num_calls == 2
    assert other.path != first.path
    assert other.fingerprint != first.fingerprint
    cached_features(str(tmp_path), "toy_dev", ORIGIN, make_features)
    assert make_features.num_calls == 2


def test_the_order_of_the_keys_of_the_origin_does_not_matter(tmp_path, make_features):
    cached_features(str(tmp_path), "toy_dev", {"a": 1, "b": 2}, make_features)
    cached_features(str(tmp_path), "toy_dev", {"b": 2, "a": 1}, make_features)
    assert make_features.num_calls == 1


def cut(path, num_bytes):
    os.truncate(path, os.path.getsize(path) - num_bytes)


def test_a_truncated_file_is_rebuilt_with_one_warning(tmp_path, caplog):
    path = make_file(tmp_path).path
    cut(path, 1)
    num_calls, warnings = open_again(tmp_path, caplog)
    assert num_calls == 1
    assert len(warnings) == 1 and path in warnings[0]


def test_a_file_with_other_valid_records_is_rebuilt(tmp_path, caplog):
    path = make_file(tmp_path).path
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"record")
    assert open_again(tmp_path, caplog)[0] == 1


@pytest.mark.parametrize("position", [0, 40, -1])
def test_a_file_with_a_flipped_bit_is_rebuilt_with_one_warning(tmp_path, caplog, position):
    path = make_file(tmp_path).path
    with open(path, "r+b") as file:
        content = bytearray(file.read())
        content[position] ^= 4
        file.seek(0)
        file.write(content)
    num_calls, warnings = open_again(tmp_path, caplog)
    assert num_calls == 1
    assert len(warnings) == 1 and path in warnings[0]


def test_a_file_without_its_sidecar_is_rebuilt_with_one_warning(tmp_path, caplog):
    path = make_file(tmp_path).path
    os.remove(path + ".json")
    num_calls, warnings = open_again(tmp_path, caplog)
    assert num_calls == 1
    assert len(warnings) == 1 and path in warnings[0]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe\x00", b'{"a": 1}']
)
def test_a_file_with_a_garbage_sidecar_is_rebuilt(tmp_path, caplog, content):
    path = make_file(tmp_path).path
    with open(path + ".json", "wb") as writer:
        writer.write(content)
    num_calls, warnings = open_again(tmp_path, caplog)
    assert num_calls == 1
    assert len(warnings) == 1 and path in warnings[0]


def change_sidecar(path, **changes):
    """Changes values in the sidecar of a file; None removes one."""
    with open(path + ".json", encoding="utf-8") as reader:
        sidecar = dict(json.load(reader), **changes)
    with open(path + ".json", "w", encoding="utf-8") as writer:
        json.dump({key: value for key, value in sidecar.items() if value is not None}, writer)


@pytest.mark.parametrize(
    "changes",
    [
        *({"num_features": number} for number in (2, 4, 10000000, 0, -3, 3.0, "3", True, [3])),
        *({key: None} for key in ("num_features", "fingerprint", "num_bytes", "crc32")),
        *({key: 7} for key in ("fingerprint", "num_bytes", "crc32", "checksum", "another")),
        {"fingerprint": "0" * 64},  # of another origin
        {"num_features": 4, "checksum": None},
    ],
    ids=str,
)
def test_a_file_with_any_change_in_its_sidecar_is_rebuilt_with_one_warning(
    tmp_path, caplog, changes
):
    path = make_file(tmp_path).path
    change_sidecar(path, **changes)
    num_calls, warnings = open_again(tmp_path, caplog)
    assert num_calls == 1
    assert warnings == [f"Rebuilding {path}: it is not the file its sidecar describes."]


def test_a_file_of_an_earlier_release_whose_sidecar_has_no_checksum_is_used(tmp_path, caplog):
    change_sidecar(make_file(tmp_path).path, checksum=None)
    assert open_again(tmp_path, caplog) == (0, [])


def test_a_folder_in_place_of_the_file_is_a_usage_error_of_one_line(tmp_path):
    path = make_file(tmp_path).path
    os.remove(path)
    os.mkdir(path)
    with pytest.raises(UsageError, match="^cached_dir=.*Is a directory") as error:
        make_file(tmp_path)
    assert "\n" not in str(error.value)


def test_a_file_of_another_format_version_is_left_and_not_used(tmp_path, monkeypatch):
    first = make_file(tmp_path)
    monkeypatch.setattr(input_pipeline, "FORMAT_VERSION", input_pipeline.FORMAT_VERSION + 1)
    second = make_file(tmp_path)
    assert second.path != first.path
    assert sorted(set(os.listdir(tmp_path)) - {".turns"}) == sorted(
        os.path.basename(made.path) + ending for made in (first, second) for ending in ("", ".json")
    )


def test_a_rebuilt_file_is_reused_the_next_time(tmp_path, caplog):
    os.remove(make_file(tmp_path).path + ".json")
    open_again(tmp_path, caplog)
    assert open_again(tmp_path, caplog) == (0, [])


def test_reusing_a_file_logs_one_line(tmp_path, caplog):
    make_file(tmp_path)
    with caplog.at_level(logging.INFO):
        caplog.clear()
        make_file(tmp_path)
    (record,) = caplog.records
    assert "3 features" in record.getMessage()


def test_a_failure_while_making_features_leaves_no_file(tmp_path):
    def fails():
        yield FEATURES[0]
        raise ZeroDivisionError("half way")

    with pytest.raises(ZeroDivisionError, match="half way"):
        cached_features(str(tmp_path), "toy_dev", ORIGIN, fails)
    assert os.listdir(tmp_path) == [".turns"]


def test_a_failure_while_rebuilding_does_not_change_the_old_file(tmp_path, caplog):
    path = make_file(tmp_path).path
    os.remove(path + ".json")
    with open(path, "rb") as reader:
        before = reader.read()

    def fails():
        yield FEATURES[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cached_features(str(tmp_path), "toy_dev", ORIGIN, fails)
    with open(path, "rb") as reader:
        assert reader.read() == before
    assert sorted(os.listdir(tmp_path)) == [".turns", os.path.basename(path)]


def test_a_record_file_whose_sidecar_was_never_written_is_not_used(tmp_path, caplog, monkeypatch):
    def killed(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr(input_pipeline.files, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        make_file(tmp_path)
    monkeypatch.undo()
    assert open_again(tmp_path, caplog)[0] == 1


def test_half_written_files_of_a_killed_process_are_not_used(tmp_path, caplog):
    path = make_file(tmp_path).path
    os.rename(path, path + ".0123.part")
    os.truncate(path + ".0123.part", 30)
    assert open_again(tmp_path, caplog)[0] == 1


def _make_together(directory, barrier, results, has_locks):
    """Makes a file at the same time as another process; without locks, both write it in step."""
    num_made = []

    def features():
        num_made.append(1)
        if has_locks:
            time.sleep(1.0)
        else:
            barrier.wait()
        yield from FEATURES * 200
        if not has_locks:
            barrier.wait()

    def lockf(*arguments):
        if not has_locks:
            raise OSError(errno.ENOLCK, "No locks available")
        real(*arguments)

    real, fcntl.lockf = fcntl.lockf, lockf
    try:
        barrier.wait()
        feature_file = cached_features(directory, "toy_dev", ORIGIN, features)
    finally:
        fcntl.lockf = real
    num_read = sum(len(batch["score"]) for _, batch in read_batches(feature_file, SPEC, 50))
    results.put((feature_file.path, feature_file.num_features, num_read, len(num_made)))


@pytest.mark.parametrize("has_locks", [True, False])
def test_processes_that_need_the_same_file_at_once_get_one_complete_file(tmp_path, has_locks):
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    arguments = str(tmp_path), context.Barrier(2, timeout=90), context.Queue(), has_locks
    process = context.Process(target=_make_together, args=arguments)
    process.start()
    _make_together(*arguments)
    reports = [arguments[2].get(timeout=90) for _ in range(2)]
    process.join(timeout=30)
    assert process.exitcode == 0
    path = reports[0][0]
    assert [report[:3] for report in reports] == [(path, 600, 600)] * 2
    assert sum(num_made for *_, num_made in reports) == (1 if has_locks else 2)
    assert sorted(os.listdir(tmp_path)) == [
        ".turns",
        os.path.basename(path),
        os.path.basename(path) + ".json",
    ]
    make_features = CountingMaker(FEATURES)
    cached_features(str(tmp_path), "toy_dev", ORIGIN, make_features)
    assert make_features.num_calls == 0


def test_the_same_features_give_the_same_bytes(tmp_path):
    reordered = [dict(reversed(list(feature.items()))) for feature in FEATURES]
    paths = make_file(tmp_path / "a").path, make_file(tmp_path / "b", reordered).path
    contents = []
    for path in paths:
        with open(path, "rb") as reader:
            contents.append(reader.read())
    assert contents[0] == contents[1]


NUMBERS = {"input_ids": Feature(tf.int32)}


def make_numbered(tmp_path, count):
    """Returns the FeatureFile of features that are told apart by their only token, from 1 on."""
    return make_file(tmp_path, [{"input_ids": [number + 1]} for number in range(count)])


def training_batches(feature_file, batch_size, seed, **more):
    """Yields the numbers of the features in each training batch, for ever."""
    with tf.Graph().as_default(), tf.Session() as session:
        batches = train_dataset(feature_file, NUMBERS, batch_size, seed, **more)
        batch = tf.data.make_one_shot_iterator(batches).get_next()["input_ids"]
        while True:
            yield session.run(batch)[:, 0].tolist()


def orders(feature_file, seed, count):
    """Returns the first orders of a file's features in training, one for each epoch."""
    batches = training_batches(feature_file, feature_file.num_features, seed)
    return [next(batches) for _ in range(count)]


@pytest.mark.parametrize("num_consumed", [0, 24])
def test_the_shares_of_the_workers_make_up_every_global_batch(tmp_path, num_consumed):
    feature_file = make_numbered(tmp_path, 25)  # no multiple of a batch
    whole = training_batches(feature_file, 12, seed=1, num_consumed=num_consumed)
    shares = [
        training_batches(
            feature_file, 2, seed=1, num_consumed=num_consumed, share=Share(3, rank, num_replicas=2)
        )
        for rank in range(3)
    ]
    for _ in range(5):
        parts = [next(share) + next(share) for share in shares]
        assert sum(parts, []) == next(whole)


def test_no_two_pairs_of_seed_and_epoch_have_the_same_order(tmp_path):
    feature_file = make_numbered(tmp_path, 30)
    found = [tuple(order) for seed in range(3) for order in orders(feature_file, seed, 3)]
    assert len(set(found)) == 9


def test_the_first_features_of_an_epoch_come_from_the_whole_file(tmp_path):
    (order,) = orders(make_numbered(tmp_path, 3000), seed=0, count=1)
    assert sorted(order) == list(range(1, 3001))
    # Of 100 drawn from 3000, none would be in the last third with a probability of 2e-18.
    assert max(order[:100]) > 2000


def keep_half(path):
    """Cuts a file between two records, all of which have the same size."""
    os.truncate(path, os.path.getsize(path) // 2)


@pytest.mark.parametrize(
    "change", [os.remove, keep_half, lambda path: os.truncate(path, 0), lambda path: cut(path, 5)]
)
@pytest.mark.timeout(60)
def test_a_file_that_loses_features_during_training_ends_it_in_one_line(tmp_path, change):
    feature_file = make_numbered(tmp_path, 20)
    with pytest.raises(UsageError) as error:
        with explaining_loss_of(feature_file):
            for number, _ in enumerate(training_batches(feature_file, 20, seed=0)):
                if number == 0:
                    change(feature_file.path)
                assert number < 10  # those read ahead, at most
    assert str(error.value) == (
        f"{feature_file.path} was removed or changed while it was in use. The same command makes "
        "it again, and goes on from the last checkpoint."
    )


def test_an_error_that_has_nothing_to_do_with_the_file_stays(tmp_path):
    with pytest.raises(tf.errors.ResourceExhaustedError):
        with explaining_loss_of(make_numbered(tmp_path, 3)):
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")


def test_a_file_that_was_removed_cannot_be_read(tmp_path):
    feature_file = make_numbered(tmp_path, 3)
    shutil.rmtree(str(tmp_path))
    with pytest.raises(UsageError, match="was removed or changed"):
        list(read_batches(feature_file, NUMBERS, 2))


def test_a_folder_that_cannot_be_made_is_a_usage_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UsageError) as caught:
        make_file(tmp_path / "file" / "cache")
    message = str(caught.value)
    assert f"cached_dir={tmp_path / 'file' / 'cache'}" in message
    assert "\n" not in message


def test_a_file_instead_of_the_folder_is_a_usage_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UsageError) as caught:
        make_file(tmp_path / "file")
    message = str(caught.value)
    assert f"cached_dir={tmp_path / 'file'}" in message
    assert "\n" not in message


def test_a_mistake_in_the_data_is_not_blamed_on_the_folder(tmp_path):
    def fails():
        raise UsageError("dev.tsv:3: label '7' is not one of 0, 1.")
        yield

    with pytest.raises(UsageError, match="^dev.tsv:3"):
        cached_features(str(tmp_path), "toy_dev", ORIGIN, fails)
