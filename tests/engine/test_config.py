"""Tests of albert.engine.config."""

import math

import pytest
import tiny

from albert.common.errors import UsageError
from albert.engine.config import FinetuneConfig


def make_config(**changes):
    return FinetuneConfig(tiny.config(), **{"output_dir": "out", **changes})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train_batch_size": 0}, "train_batch_size=0 must be 1 or more."),
        ({"train_batch_size": 2.0}, "train_batch_size=2.0 must be a whole number."),
        ({"eval_batch_size": -1}, "eval_batch_size=-1 must be 1 or more."),
        ({"predict_batch_size": 0}, "predict_batch_size=0 must be 1 or more."),
        ({"train_steps": 0}, "train_steps=0 must be 1 or more."),
        ({"save_checkpoints_steps": 0}, "save_checkpoints_steps=0 must be 1 or more."),
        ({"keep_checkpoint_max": 0}, "keep_checkpoint_max=0 must be 1 or more."),
        ({"num_devices": 0}, "num_devices=0 must be 1 or more."),
        ({"num_devices": True}, "num_devices=True must be a whole number."),
        ({"train_steps": 3, "warmup_steps": 4}, "warmup_steps=4 must be from 0 to train_steps=3."),
        ({"warmup_steps": -1}, "warmup_steps=-1 must be from 0 to train_steps=1000."),
        ({"learning_rate": 0.0}, "learning_rate=0.0 must be above 0."),
        ({"learning_rate": math.nan}, "learning_rate=nan must be above 0."),
        ({"learning_rate": math.inf}, "learning_rate=inf must be above 0."),
        ({"learning_rate": "1e-5"}, "learning_rate=1e-5 must be above 0."),
        ({"optimizer": "sgd"}, "optimizer=sgd must be one of adamw, lamb."),
        ({"strategy_type": "mirrored"}, "strategy_type=mirrored must be one of one, mirror."),
        ({"device_type": "tpu"}, "device_type=tpu must be one of auto, gpu, cpu."),
        ({"all_reduce": "ring"}, "all_reduce=ring must be one of auto, nccl, hierarchical_copy."),
        ({"packed_tokens": "no"}, "packed_tokens=no must be True or False."),
        (
            {"discard_classifier_weights": 1},
            "discard_classifier_weights=1 must be True or False.",
        ),
        ({"seed": -1}, "seed=-1 must be from 0 to 2147483647."),
        ({"seed": 2**31}, "seed=2147483648 must be from 0 to 2147483647."),
        ({"output_dir": ""}, "output_dir= must name a folder."),
        ({"cached_dir": 1}, "cached_dir=1 must be a path."),
        (
            {"init_checkpoint": "a[b"},
            "init_checkpoint=a[b: TensorFlow cannot read from a path with [ or \\.",
        ),
    ],
)
def test_each_field_is_checked(changes, message):
    with pytest.raises(UsageError) as caught:
        make_config(**changes)
    assert str(caught.value) == message


def test_no_file_is_read():
    assert make_config(init_checkpoint="/nowhere/model.ckpt").init_checkpoint


def test_the_global_batch_counts_all_replicas():
    mirrored = make_config(train_batch_size=4, num_devices=3)
    assert (mirrored.num_replicas, mirrored.global_batch_size) == (3, 12)
    single = make_config(train_batch_size=4, num_devices=3, strategy_type="one")
    assert (single.num_replicas, single.global_batch_size) == (1, 4)


def test_features_are_cached_in_output_dir_unless_cached_dir_is_set():
    assert make_config().feature_dir == "out"
    assert make_config(cached_dir="cache").feature_dir == "cache"
