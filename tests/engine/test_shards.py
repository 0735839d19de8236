"""Tests of training on prepared features, in several files."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert.common.errors import UsageError
from albert.engine import input_pipeline
from albert.engine.input_pipeline import Share, explaining_loss_of, train_dataset
from albert.engine.task import Feature, PreparedFeatures, Shard

SPEC = {"input_ids": Feature(tf.int32)}
SIZES = (7, 20, 11, 3, 16, 9)  # 66 in all


def with_epochs(batch, epochs):
    return dict(batch, epochs=epochs)


def make_shards(tmp_path, sizes=SIZES):
    """Returns the features of files of these sizes, whose tokens are 0, 1, 2, ... over all."""
    shards, number = [], 0
    for shard, size in enumerate(sizes):
        path = str(tmp_path / f"{shard}.tf_record")
        with tf.io.TFRecordWriter(path) as writer:
            for _ in range(size):
                example = tf.train.Example()
                example.features.feature["input_ids"].int64_list.value.append(number)
                writer.write(example.SerializeToString())
                number += 1
        shards.append(Shard(path, size, os.path.getsize(path)))
    return PreparedFeatures(shards, "hash", SPEC, with_epochs)


def rows(features, batch_size, count, seed=3, num_consumed=0, share=None):
    """Returns (token, epoch) of the first `count` rows of the batches."""
    found = []
    with tf.Graph().as_default(), tf.Session() as session:
        batches = train_dataset(features, {}, batch_size, seed, num_consumed, share)
        batch = tf.data.make_one_shot_iterator(batches).get_next()
        while len(found) < count:
            ids, epochs = session.run([batch["input_ids"], batch["epochs"]])
            assert len(ids) == batch_size
            found.extend(zip(ids[:, 0].tolist(), epochs.tolist()))
    return found[:count]


def shard_of(token, sizes=SIZES):
    return int(np.searchsorted(np.cumsum(sizes), token, side="right"))


@pytest.mark.parametrize("batch_size", [1, 5, 2, 12, 64])
def test_every_epoch_has_every_feature_once(tmp_path, batch_size):
    found = rows(make_shards(tmp_path), batch_size, 4 * 66)
    for epoch in range(3):
        assert sorted(token for token, e in found if e == epoch) == list(range(66))


@pytest.mark.parametrize("batch_size", [1, 12])
def test_epochs_differ_in_the_order_of_shards_and_inside_them(tmp_path, batch_size):
    found = rows(make_shards(tmp_path), batch_size, 4 * 66)
    orders = [[token for token, e in found if e == epoch] for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2] != sorted(orders[2])
    of_shards = [[shard_of(token) for token in order] for order in orders]
    assert of_shards[0] != of_shards[1] != of_shards[2]
    inside = [[token for token in order if shard_of(token) == 1] for order in orders]
    assert inside[0] != inside[1] != inside[2]
    assert orders[0] != [token for token, e in rows(make_shards(tmp_path), batch_size, 66, seed=4)]


@pytest.mark.parametrize("num_workers, num_replicas", [(1, 4), (2, 2), (4, 1), (3, 4), (8, 3)])
def test_a_global_batch_does_not_depend_on_who_computes_it(tmp_path, num_workers, num_replicas):
    features = make_shards(tmp_path)
    whole = rows(features, 24, 24 * 5)
    size = 24 // (num_workers * num_replicas)
    shares = [
        rows(features, size, 24 // num_workers * 5, share=Share(num_workers, rank, num_replicas))
        for rank in range(num_workers)
    ]
    num_rows = 24 // num_workers
    for step in range(5):
        parts = [share[step * num_rows : (step + 1) * num_rows] for share in shares]
        assert sum(parts, []) == whole[step * 24 : (step + 1) * 24]


@pytest.mark.parametrize("batch_size", [1, 6, 8])
def test_reading_goes_on_anywhere(tmp_path, batch_size):
    features = make_shards(tmp_path)
    whole = rows(features, batch_size, 160 * batch_size)
    for num_batches in (1, 7, 40, 100):
        consumed = num_batches * batch_size
        again = rows(features, batch_size, 3 * batch_size, num_consumed=consumed)
        assert again == whole[consumed : consumed + 3 * batch_size]


def test_what_was_consumed_in_this_epoch_is_not_read_again(tmp_path):
    features = make_shards(tmp_path)
    whole = rows(features, 1, 66)
    current = shard_of(whole[40][0])
    consumed = {shard_of(token) for token, _ in whole[:40]} - {current}
    for shard in consumed:
        os.remove(features.shards[shard].path)
    assert rows(features, 1, 20, num_consumed=40) == whole[40:60]


def test_workers_read_different_shards(tmp_path):
    features = make_shards(tmp_path, [10] * 8)
    read = [
        {shard_of(token, [10] * 8) for token, _ in rows(features, 4, 40, share=Share(2, rank, 1))}
        for rank in range(2)
    ]
    assert not read[0] & read[1]
    assert read[0] | read[1] == set(range(8))


@pytest.mark.parametrize("change", [os.remove, lambda path: os.truncate(path, 40)])
@pytest.mark.timeout(60)
def test_a_shard_that_loses_features_during_training_ends_it_in_one_line(tmp_path, change):
    features = make_shards(tmp_path, [20])
    change(features.shards[0].path)
    with pytest.raises(UsageError) as error, explaining_loss_of(features):
        rows(features, 4, 40)
    assert str(error.value) == (
        f"{features.shards[0].path} was removed or changed while it was in use. Make it again; "
        "then the same command goes on from the last checkpoint."
    )


def test_a_shard_too_large_for_memory_is_shuffled_in_part(tmp_path, monkeypatch):
    features = make_shards(tmp_path, [600])
    monkeypatch.setattr(input_pipeline, "_SHUFFLED_BYTES", features.shards[0].num_bytes // 20)
    found = [token for token, epoch in rows(features, 4, 600) if epoch == 0]
    assert sorted(found) == list(range(600)) != found
    assert max(found[:10]) < 10 + 30  # those that were in memory by then
    consumed = rows(features, 4, 40, num_consumed=200)
    assert [token for token, _ in consumed] == found[200:240]


def test_shards_of_one_size_have_orders_of_their_own(tmp_path):
    found = rows(make_shards(tmp_path, [20] * 3), 1, 60)
    orders = [[t % 20 for t, _ in found if t // 20 == shard] for shard in range(3)]
    assert [len(order) for order in orders] == [20] * 3
    assert orders[0] != orders[1] != orders[2] != orders[0]
