"""Tests of albert.engine.config."""

import dataclasses
import decimal
import math
import random

import pytest
import tiny

from albert import custom_optimization
from albert.common.errors import UsageError
from albert.engine import config as engine_config
from albert.engine.config import FinetuneConfig
from albert.nn import precision


def make_config(**changes):
    return FinetuneConfig(tiny.config(), **{"output_dir": "out", **changes})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"train_batch_size": 0}, "train_batch_size=0 must be 1 or more."),
        ({"train_batch_size": 2.0}, "train_batch_size=2.0 must be a whole number."),
        ({"train_batch_size": None}, "train_batch_size must be a whole number."),
        ({"eval_batch_size": 2.0}, "eval_batch_size=2.0 must be a whole number."),
        ({"eval_batch_size": -1}, "eval_batch_size=-1 must be 1 or more."),
        ({"predict_batch_size": 0}, "predict_batch_size=0 must be 1 or more."),
        ({"train_steps": 0}, "train_steps=0 must be 1 or more."),
        ({"train_steps": 2**31}, "train_steps=2147483648 must be at most 2147483647."),
        ({"save_checkpoints_steps": 0}, "save_checkpoints_steps=0 must be 1 or more."),
        ({"keep_checkpoint_max": 0}, "keep_checkpoint_max=0 must be 1 or more."),
        ({"num_devices": 0}, "num_devices=0 must be 1 or more."),
        ({"num_devices": True}, "num_devices=True must be a whole number."),
        ({"train_steps": 3, "warmup_steps": 4}, "warmup_steps=4 must be from 0 to train_steps=3."),
        ({"warmup_steps": -1}, "warmup_steps=-1 must be from 0 to train_steps=1000."),
        ({"warmup_proportion": 1.1}, "warmup_proportion=1.1 must be from 0 to 1."),
        (
            {"num_train_epochs": 1.0, "warmup_steps": -1},
            "warmup_steps=-1 must be from 0 to train_steps.",
        ),
        (
            {"eval_steps": 15, "save_checkpoints_steps": 10},
            "eval_steps=15 must be a multiple of save_checkpoints_steps=10.",
        ),
        ({"eval_steps": 0}, "eval_steps=0 must be 1 or more."),
        ({"early_stopping_patience": 0}, "early_stopping_patience=0 must be 1 or more."),
        ({"learning_rate": 0.0}, "learning_rate=0.0 must be above 0."),
        ({"learning_rate": math.nan}, "learning_rate=nan must be above 0."),
        ({"learning_rate": math.inf}, "learning_rate=inf must be above 0."),
        ({"learning_rate": "1e-5"}, "learning_rate=1e-5 must be above 0."),
        (
            {"layerwise_lr_decay": 1.5},
            "layerwise_lr_decay=1.5 must be above 0 and at most 1.",
        ),
        ({"freeze": "head"}, "freeze=head must be one of none, embeddings, encoder."),
        ({"optimizer": "sgd"}, "optimizer=sgd must be one of adamw, lamb."),
        (
            {"strategy_type": "mirrored"},
            "strategy_type=mirrored must be one of one, mirror, multi_worker.",
        ),
        ({"device_type": "tpu"}, "device_type=tpu must be one of auto, gpu, cpu."),
        ({"all_reduce": "ring"}, "all_reduce=ring must be one of auto, nccl, hierarchical_copy."),
        ({"precision": "fp8"}, "precision=fp8 must be one of fp32, bf16, fp16."),
        ({"precision": "fp16", "loss_scale": 0.0}, "loss_scale=0.0 must be above 0."),
        ({"loss_scale": 8.0}, "loss_scale=8.0 is for fp16, and not for precision=fp32."),
        ({"on_nan": "ignore"}, "on_nan=ignore must be one of stop, skip."),
        (
            {"gradient_accumulation_steps": 0},
            "gradient_accumulation_steps=0 must be 1 or more.",
        ),
        ({"recompute_activations": 1}, "recompute_activations=1 must be True or False."),
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


def test_optimizers_are_those_that_have_an_update_rule():
    assert list(engine_config.OPTIMIZERS) == sorted(custom_optimization.OPTIMIZERS)


@pytest.mark.parametrize(
    "num_examples, epochs, batch, replicas, steps",
    [
        (60, 1.5, 8, 2, 6),  # 5.625
        (110, 1.1, 11, 1, 11),  # 110 * 1.1 / 11 is above 11 in binary
        (100, 0.07, 7, 1, 1),  # 100 * 0.07 is above 7 in binary
        (111, 1.1, 11, 1, 12),  # 11.1
        (5, 1e-05, 4, 1, 1),
        (12, 3.0, 4, 3, 3),
    ],
)
def test_epochs_become_updates_without_rounding_errors(
    num_examples, epochs, batch, replicas, steps
):
    config = make_config(
        train_batch_size=batch, num_devices=replicas, num_train_epochs=epochs
    ).with_updates(num_examples)
    assert config.train_steps == steps
    assert config.with_updates(7) == config


def test_updates_are_the_fewest_that_see_all_examples_of_the_epochs():
    generator = random.Random(0)
    for _ in range(2000):
        num_examples, batch = generator.randint(1, 200000), generator.randint(1, 512)
        epochs = generator.randint(1, 10000) / 10 ** generator.randint(0, 3)
        config = make_config(train_batch_size=batch, num_train_epochs=epochs)
        steps = config.with_updates(num_examples).train_steps
        wanted = num_examples * decimal.Decimal(repr(epochs))
        assert (steps - 1) * batch < wanted <= steps * batch


@pytest.mark.parametrize("share, warmup_steps", [(0.0, 0), (0.29, 29), (0.1, 10), (1.0, 100)])
def test_warm_up_is_a_share_of_the_updates(share, warmup_steps):
    # 100 * 0.29 is below 29 in binary.
    config = make_config(train_batch_size=1, num_train_epochs=1.0, warmup_proportion=share)
    config = config.with_updates(100)
    assert (config.train_steps, config.warmup_steps) == (100, warmup_steps)


def test_epochs_and_steps_of_warm_up_go_together_and_so_do_steps_and_a_share():
    epochs = make_config(train_batch_size=2, num_train_epochs=3000.0, warmup_steps=1001)
    config = epochs.with_updates(10)
    assert (config.train_steps, config.warmup_steps) == (15000, 1001)
    message = "warmup_steps=1001 must be from 0 to train_steps=1000."
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(epochs, train_batch_size=30).with_updates(10)
    config = make_config(train_steps=50, warmup_proportion=0.1).with_updates(10)
    assert (config.train_steps, config.warmup_steps) == (50, 5)


def test_a_share_of_warm_up_takes_the_place_of_a_default_that_is_too_large():
    config = make_config(train_steps=50, warmup_steps=3125, warmup_proportion=0.1).with_updates(10)
    assert config.warmup_steps == 5


@pytest.mark.parametrize("epochs", [0.0, -1.0, math.nan, math.inf])
def test_epochs_must_be_above_zero(epochs):
    with pytest.raises(UsageError, match=f"num_train_epochs={epochs} must be above 0."):
        make_config(num_train_epochs=epochs)


def test_global_batch_counts_every_micro_batch_of_every_replica():
    config = make_config(train_batch_size=4, gradient_accumulation_steps=3, num_devices=2)
    assert (config.replica_batch_size, config.global_batch_size) == (12, 24)
    assert dataclasses.replace(config, num_train_epochs=1.0).with_updates(240).train_steps == 10


def test_precisions_are_those_of_the_model():
    assert engine_config.PRECISIONS == tuple(precision.COMPUTE_TYPES)
