"""Tests that settings of training act, on replicas and micro-batches too, and resume exactly."""

import dataclasses
import glob
import json
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny
import tiny_glue

from albert.classifier_utils import GlueTask
from albert.common.errors import UsageError
from albert.engine import checkpoints
from albert.engine.config import FinetuneConfig
from albert.engine.training import Engine
from albert.glue.classification import BALANCED, TrainingLoss

NUM_STEPS = 6
KILLED_AT = 3
LEARNING_RATE = 5e-3
WORDS = tiny_glue.VOCABULARY[5:]
SPREAD = {"num_devices": 2, "train_batch_size": 2, "gradient_accumulation_steps": 2}

# {name: (TrainingLoss, settings)}; together, since each run takes seconds to build its graph.
SETTINGS = {
    "loss and rates": (
        TrainingLoss(BALANCED, 0.3),
        {"max_train_samples": 9, "layerwise_lr_decay": 0.5, "bias_correction": True},
    ),
    "frozen and stopped": (
        TrainingLoss(),
        {"freeze": "embeddings", "eval_steps": 2, "early_stopping_patience": 1},
    ),
}
every_setting = pytest.mark.parametrize("name", SETTINGS)
PLAIN = (TrainingLoss(), {})


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Returns a folder of SST-2 with a vocabulary; the dev set has one label."""
    folder = tmp_path_factory.mktemp("glue")
    random = np.random.RandomState(1)
    for split, size in (("train", 14), ("dev", 3)):
        rows = [
            " ".join(random.choice(WORDS, random.randint(1, 8))) + f"\t{int(number % 4 == 0)}\n"
            for number in range(size)
        ]
        if split == "dev":
            rows = [row[:-2] + "1\n" for row in rows]
        tiny_glue.write_tsv(folder, "SST-2", split, "sentence\tlabel\n" + "".join(rows))
    return folder


def train(folder, data_dir, name, **changes):
    """Trains with settings, by default one batch of 8 on one device; returns the folder."""
    loss, settings = SETTINGS.get(name, PLAIN)
    tokenizer = tiny_glue.make_tokenizer(data_dir)
    config = FinetuneConfig(
        tiny.config(
            vocab_size=len(tiny_glue.VOCABULARY),
            num_hidden_layers=1,
            initializer_range=0.2,
        ),
        str(folder),
        train_batch_size=8,
        train_steps=NUM_STEPS,
        save_checkpoints_steps=1,
        keep_checkpoint_max=NUM_STEPS + 1,
        learning_rate=LEARNING_RATE,
        device_type="cpu",
    )
    engine = Engine(
        GlueTask("sst-2", str(data_dir), tokenizer, 16, 0.0, loss),
        dataclasses.replace(config, **settings, **changes),
    )
    engine.train(evaluate="early_stopping_patience" in settings)
    return folder


def read(folder, step=None):
    """Returns {name: value} of the checkpoint of a step, by default the last."""
    step = max(checkpoints.saved_steps(str(folder))) if step is None else step
    reader = tf.train.load_checkpoint(str(folder / f"model.ckpt-{step}"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def distance(one, other):
    """Returns the norm of the difference of the weights, relative to their norm."""
    names = [name for name in one if "adam_" not in name and one[name].dtype == np.float32]
    norms = [
        np.sqrt(sum(np.sum(np.square(vector.astype(np.float64))) for vector in vectors))
        for vectors in ([one[n] - other[n] for n in names], [one[n] for n in names])
    ]
    return norms[0] / norms[1]


@pytest.fixture(scope="module")
def spread(data_dir, tmp_path_factory):
    """Returns {name: the folder of a run on two replicas, with two micro-batches each}."""
    folder = tmp_path_factory.mktemp("spread")
    return {name: train(folder / name, data_dir, name, **SPREAD) for name in SETTINGS}


@every_setting
def test_replicas_with_micro_batches_train_like_one_device(spread, data_dir, tmp_path, name):
    single = train(tmp_path, data_dir, name)
    assert distance(read(spread[name]), read(single)) < 1e-4


@every_setting
def test_a_killed_run_ends_in_the_same_bits(spread, data_dir, tmp_path, name):
    whole = spread[name]
    for file in ("run.json", *glob.glob1(str(whole), f"model.ckpt-{KILLED_AT}.*")):
        shutil.copy(str(whole / file), str(tmp_path))
    if (whole / "eval_results.json").exists():
        record = json.loads((whole / "eval_results.json").read_text())
        record["evaluations"] = [r for r in record["evaluations"] if r["step"] <= KILLED_AT]
        (tmp_path / "eval_results.json").write_text(json.dumps(record))
    train(tmp_path, data_dir, name, **SPREAD)
    assert not (tmp_path / "model.ckpt-2.index").exists()
    expected, actual = read(whole), read(tmp_path)
    assert sorted(expected) == sorted(actual)
    assert [key for key in expected if not np.array_equal(expected[key], actual[key])] == []


def test_training_stops_where_the_second_evaluation_is_no_better(spread):
    record = json.loads((spread["frozen and stopped"] / "eval_results.json").read_text())
    assert [row["step"] for row in record["evaluations"]] == [2, 4]
    assert max(checkpoints.saved_steps(str(spread["frozen and stopped"]))) == 4


def test_rates_fall_by_the_factor_from_head_to_embeddings(spread):
    """Before its moments differ, AdamW moves every weight by the rate where they are corrected."""
    folder = spread["loss and rates"]
    start, moved = read(folder, 0), read(folder, 1)
    for key, factor in {
        "output_bias": 1.0,
        "bert/pooler/dense/bias": 1.0,
        "bert/encoder/transformer/group_0/inner_group_0/ffn_1/intermediate/dense/bias": 0.5,
        "bert/encoder/embedding_hidden_mapping_in/bias": 0.25,
        "bert/embeddings/LayerNorm/beta": 0.25,
    }.items():
        size = np.median(np.abs(moved[key] - start[key]))
        assert size == pytest.approx(factor * LEARNING_RATE, rel=0.02), key


FROZEN = {
    "embeddings": ("bert/embeddings/", "bert/encoder/embedding_hidden_mapping_in/"),
    "encoder": ("bert/",),
}


def test_what_is_frozen_keeps_its_values_and_has_no_moments(spread, data_dir, tmp_path):
    folders = {
        "embeddings": spread["frozen and stopped"],
        "encoder": train(tmp_path, data_dir, "plain", freeze="encoder"),
    }
    for frozen, folder in folders.items():
        start, end = read(folder, 0), read(folder)
        keys = [key for key in end if key.startswith(("bert/", "output_"))]
        kept = [key for key in keys if np.array_equal(start[key], end[key])]
        assert kept == [key for key in keys if key.startswith(FROZEN[frozen])]
        assert not any("/adam_" in key for key in kept) and len(kept) < len(keys)
    with pytest.raises(UsageError, match="freeze was 'encoder' and is 'none'"):
        train(tmp_path, data_dir, "plain")
