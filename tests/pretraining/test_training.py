"""Tests of pre-training on replicas, in micro-batches and after a kill: always the same weights."""

import os
import shutil

import numpy as np
import pytest
import sample_sequences
import tensorflow.compat.v1 as tf
import tiny

from albert.engine import checkpoints
from albert.engine.config import FinetuneConfig
from albert.engine.training import Engine
from albert.pretraining.inputs import open_inputs
from albert.pretraining.task import PretrainingSettings, PretrainingTask

GLOBAL_BATCH = 8
NUM_UPDATES = 20
LEARNING_RATE = 0.01
SIZES = (7, 9, 5, 9)  # 30 sequences, so that a batch may span two epochs


@pytest.fixture(scope="module")
def data(tmp_path_factory, tokenizer_of_fifty):
    """Returns a folder with sequences to train on, and to evaluate on."""
    folder = tmp_path_factory.mktemp("sequences")
    sample_sequences.write_sequences(folder / "train", tokenizer_of_fifty, SIZES)
    sample_sequences.write_sequences(folder / "dev", tokenizer_of_fifty, (11, 6), seed=1)
    return folder


@pytest.fixture(scope="module")
def train(data, tokenizer_of_fifty):
    """Returns a function that trains in a folder and returns it."""

    def trained(folder, dropout=0.0, **changes):
        inputs = {
            "train": open_inputs(str(data / "train*"), "input_file"),
            "dev": open_inputs(str(data / "dev*"), "eval_file"),
        }
        task = PretrainingTask(inputs, tokenizer_of_fifty, PretrainingSettings(64, seed=5))
        model = tiny.config(initializer_range=0.2, hidden_dropout_prob=dropout)
        settings = {
            "learning_rate": LEARNING_RATE,
            "optimizer": "lamb",
            "train_steps": NUM_UPDATES,
            "warmup_steps": 2,
            "save_checkpoints_steps": 8,
            "device_type": "cpu",
            "seed": 5,
            **changes,
        }
        trial = FinetuneConfig(model, str(folder), train_batch_size=1, **settings)
        size = GLOBAL_BATCH // trial.global_batch_size
        config = FinetuneConfig(model, str(folder), train_batch_size=size, **settings)
        Engine(task, config).train(evaluate=True)
        return folder

    return trained


@pytest.fixture(scope="module")
def alone(tmp_path_factory, train):
    """Returns the output_dir of a run of one device."""
    return train(tmp_path_factory.mktemp("alone"))


def variables(folder, step=NUM_UPDATES):
    reader = tf.train.load_checkpoint(os.path.join(str(folder), f"model.ckpt-{step}"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_close(folder, other):
    """Asserts the bounds of all weights together and of each one, as those of fine-tuning."""
    found, expected = variables(folder), variables(other)
    assert found["batches_consumed"] == expected["batches_consumed"] == NUM_UPDATES
    weights = [
        name for name in expected if name.startswith(("bert/", "cls/")) and "adam" not in name
    ]
    assert {"cls/predictions/output_bias", "cls/seq_relationship/output_weights"} <= set(weights)
    differences = {name: found[name] - expected[name] for name in weights}
    norm = np.sqrt(sum(np.sum(expected[name] ** 2) for name in weights))
    assert np.sqrt(sum(np.sum(d**2) for d in differences.values())) / norm < 1e-4
    worst = max(differences, key=lambda name: np.abs(differences[name]).max())
    assert np.abs(differences[worst]).max() < 0.05 * LEARNING_RATE * NUM_UPDATES, worst


@pytest.mark.parametrize(
    "num_devices, num_micro_batches, packed",
    [(2, 1, True), (4, 1, True), (1, 4, True), (2, 4, False)],
)
def test_replicas_and_micro_batches_train_like_one_device(
    tmp_path, train, alone, num_devices, num_micro_batches, packed
):
    folder = train(
        tmp_path,
        num_devices=num_devices,
        gradient_accumulation_steps=num_micro_batches,
        packed_tokens=packed,
    )
    assert_close(folder, alone)


def test_the_weights_change_enough_for_that_to_say_something(alone):
    first, last = variables(alone, 0), variables(alone)
    for name in ("cls/predictions/output_bias", "bert/embeddings/word_embeddings"):
        assert np.abs(last[name] - first[name]).max() > 0.02


def test_a_run_that_goes_on_ends_with_the_same_bits_masks_and_dropout_included(tmp_path, train):
    whole = train(tmp_path / "whole", dropout=0.1, num_devices=2)
    folder = tmp_path / "killed"
    shutil.copytree(str(whole), str(folder))
    for step in (16, 20):
        for path in checkpoints.files_of(str(folder / f"model.ckpt-{step}")):
            os.remove(path)
    train(folder, dropout=0.1, num_devices=2)
    found, expected = variables(folder), variables(whole)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
