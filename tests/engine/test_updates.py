"""Tests of what an update is made of: micro-batches, loss terms, precisions, skipped batches."""

import dataclasses
import glob
import logging
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny
import tiny_task

from albert.common.errors import UsageError
from albert.engine import devices, hooks
from albert.engine.config import FinetuneConfig
from albert.engine.hooks import NotFinite
from albert.engine.task import INPUT_IDS, ModelOutput
from albert.engine.training import Engine, Interrupted
from albert.nn import layers, loss_scale

LEARNING_RATE = 5e-3
NUM_UPDATES = 8
BAD_TOKEN = 49

in_every_precision = pytest.mark.parametrize(
    "precision",
    [
        "fp16",
        pytest.param(
            "bf16", marks=pytest.mark.skipif(not devices.IS_TF2, reason="needs TensorFlow 2.15")
        ),
    ],
)


def train(folder, task=None, dropout=0.1, **changes):
    """Trains the tiny model on CPU devices; returns the folder."""
    model = tiny.config(
        initializer_range=0.2,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    config = FinetuneConfig(
        albert_config=model,
        output_dir=str(folder),
        train_batch_size=8,
        learning_rate=LEARNING_RATE,
        train_steps=NUM_UPDATES,
        device_type="cpu",
        seed=11,
    )
    Engine(task or tiny_task.TinyTask(), dataclasses.replace(config, **changes)).train()
    return str(folder)


def read(folder, step=NUM_UPDATES):
    """Returns {name: value} of the checkpoint of a step."""
    reader = tf.train.load_checkpoint(os.path.join(folder, f"model.ckpt-{step}"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def distance(one, other):
    """Returns the norm of the difference of two checkpoints' weights, relative to their norm."""
    names = [name for name in one if f"{name}/adam_m" in one]
    norms = [
        np.sqrt(sum(np.sum(np.square(vector.astype(np.float64))) for vector in vectors))
        for vectors in ([one[n] - other[n] for n in names], [one[n] for n in names])
    ]
    return norms[0] / norms[1]


def shown(folder, tag):
    """Returns the values of a tag in the events for TensorBoard, one for each update."""
    values = [
        value
        for path in glob.glob(os.path.join(folder, "events.*"))
        for event in tf.train.summary_iterator(path)
        for value in event.summary.value
    ]
    return [value.simple_value for value in values if value.tag == tag]


# --- Micro-batches


@pytest.fixture(scope="module", params=["adamw", "lamb"])
def whole(request, tmp_path_factory):
    """Returns (optimizer, folder of a run of batches of 8, without dropout)."""
    folder = tmp_path_factory.mktemp("whole")
    return request.param, train(folder, HeavyTask(), 0.0, optimizer=request.param)


class HeavyTask(tiny_task.TinyTask):
    """Gradients that are clipped, and no dropout in the head."""

    dropout_prob = 0.0

    def head(self, model, features, is_training):
        output = super().head(model, features, is_training)
        return output._replace(loss_sums=[20.0 * term for term in output.loss_sums])


@pytest.mark.parametrize("num_replicas, num_batches", [(1, 4), (2, 2)])
def test_micro_batches_train_like_the_batch_that_they_make(
    tmp_path, whole, num_replicas, num_batches
):
    optimizer, expected = whole
    accumulated = train(
        tmp_path,
        HeavyTask(),
        0.0,
        optimizer=optimizer,
        train_batch_size=8 // num_replicas // num_batches,
        gradient_accumulation_steps=num_batches,
        num_devices=num_replicas,
    )
    assert distance(read(expected), read(accumulated)) < 1e-4
    np.testing.assert_allclose(shown(accumulated, "loss"), shown(expected, "loss"), rtol=1e-3)
    saved = read(accumulated)
    assert (saved["global_step"], saved["batches_consumed"]) == (NUM_UPDATES, NUM_UPDATES)


def test_micro_batches_drop_what_as_many_replicas_drop(tmp_path):
    replicas = train(tmp_path / "2", train_batch_size=4, num_devices=2)
    batches = train(tmp_path / "1", train_batch_size=4, gradient_accumulation_steps=2)
    assert distance(read(replicas), read(batches)) < 1e-4


class TwoTerms(tiny_task.TinyTask):
    """Two terms, each a sum over the examples times a weight of its own; the gradients are known.

    The first is divided by the number of tokens, the second by the number of examples of class 1.
    """

    def loss_weights(self, features):
        return [
            tf.reduce_sum(tf.cast(features["input_mask"], tf.float32)),
            tf.reduce_sum(tf.cast(features["label_ids"], tf.float32)),
        ]

    def head(self, model, features, is_training):
        first, second = (
            tf.get_variable(name, [], initializer=tf.zeros_initializer())
            for name in ("first", "second")
        )
        ids = tf.cast(tf.reduce_sum(features[INPUT_IDS], axis=1), tf.float32)
        is_of_class = tf.cast(features["label_ids"], tf.float32)
        sums = [first * tf.reduce_sum(ids) / 100.0, second * tf.reduce_sum(ids * is_of_class) / 1e3]
        return ModelOutput(sums, {})


@pytest.mark.parametrize("num_replicas, num_batches", [(1, 1), (1, 5), (2, 1), (2, 5)])
def test_each_term_is_divided_by_its_weight_over_the_global_batch(
    tmp_path, num_replicas, num_batches
):
    task = TwoTerms()
    folder = train(
        tmp_path,
        task,
        train_batch_size=10 // num_replicas // num_batches,
        gradient_accumulation_steps=num_batches,
        num_devices=num_replicas,
        train_steps=1,
    )
    rows = list(task.features("train"))  # a batch holds all ten
    assert len(rows) == 10
    ids = np.array([sum(row[INPUT_IDS]) for row in rows], float)
    labels = np.array([row["label_ids"] for row in rows])
    num_tokens = sum(len(row[INPUT_IDS]) for row in rows)
    expected = [ids.sum() / 100 / num_tokens, (ids * labels).sum() / 1e3 / labels.sum()]
    assert np.hypot(*expected) < 1.0  # not clipped
    saved = read(folder, 1)
    moments = [saved[f"{name}/adam_m"] for name in ("first", "second")]
    np.testing.assert_allclose(moments, 0.1 * np.array(expected), rtol=1e-5)


# --- Activations that are computed again


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_activations_that_are_computed_again_give_the_same_losses(tmp_path, num_replicas):
    changes = {"num_devices": num_replicas, "train_batch_size": 4}
    kept = train(tmp_path / "kept", **changes)
    again = train(tmp_path / "again", recompute_activations=True, **changes)
    np.testing.assert_allclose(shown(again, "loss"), shown(kept, "loss"), rtol=1e-5)
    assert distance(read(kept), read(again)) < 1e-5


# --- Half precision


@in_every_precision
def test_half_precision_learns_what_float32_learns(tmp_path, precision):
    changes = {"train_steps": 60, "dropout": 0.0}
    float32, half = (
        np.mean(shown(train(tmp_path / name, precision=name, **changes), "loss")[-10:])
        for name in ("fp32", precision)
    )
    assert float32 < 0.3  # of 0.69 at the start
    assert half < 0.3


@in_every_precision
def test_half_precision_is_used(tmp_path, precision):
    losses = [
        shown(train(tmp_path / name, precision=name, train_steps=1), "loss")[0]
        for name in ("fp32", precision)
    ]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)


@in_every_precision
def test_replicas_of_half_precision_end_near_the_weights_of_one_device(tmp_path, precision):
    # A product rounds to 11 or 8 bits, and differently in a matrix of other rows, so that weights
    # near 0 take steps of another sign: bounds are wider than in float32, by the ratio of the bits.
    runs = [
        read(
            train(
                tmp_path / str(count),
                HeavyTask(),
                0.0,
                train_batch_size=8 // count,
                num_devices=count,
                precision=precision,
                # An adaptive scale skips the first batches, others on one device than on two.
                loss_scale=128.0 if precision == "fp16" else None,
            )
        )
        for count in (1, 2)
    ]
    assert distance(*runs) < {"fp16": 5e-3, "bf16": 4e-2}[precision]


@in_every_precision
def test_half_precision_resumes_with_the_same_bits(tmp_path, precision):
    changes = {
        "precision": precision,
        "num_devices": 2,
        "train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "save_checkpoints_steps": 4,
    }
    assert_resumes(tmp_path, 4, **changes)


def assert_resumes(tmp_path, step, task=None, **changes):
    """Asserts that a run killed at a step ends in the bits of one that was not; returns these."""
    whole = train(tmp_path / "whole", task, **changes)
    (tmp_path / "resumed").mkdir()
    for name in ("run.json", *glob.glob1(whole, f"model.ckpt-{step}.*")):
        shutil.copy(os.path.join(whole, name), str(tmp_path / "resumed"))
    resumed = train(tmp_path / "resumed", task, **changes)
    assert not os.path.exists(os.path.join(resumed, "model.ckpt-0.index"))
    expected, actual = read(whole), read(resumed)
    assert [name for name in expected if not np.array_equal(expected[name], actual[name])] == []
    return expected


@in_every_precision
def test_packed_and_padded_tokens_train_alike_in_half_precision(tmp_path, precision):
    losses = [
        shown(
            train(tmp_path / str(packed), packed_tokens=packed, precision=precision, dropout=0.0),
            "loss",
        )
        for packed in (True, False)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol={"fp16": 0.01, "bf16": 0.1}[precision])


# --- Layers compiled by XLA

needs_xla = pytest.mark.skipif(not devices.IS_TF2, reason="needs TensorFlow 2.15")


@needs_xla
@pytest.mark.parametrize(
    "changes",
    [
        {"num_devices": 2, "train_batch_size": 4},
        {"gradient_accumulation_steps": 2, "train_batch_size": 4},
        {"recompute_activations": True},
        {"packed_tokens": False},
    ],
    ids=["replicas", "micro-batches", "recomputed", "padded"],
)
def test_compiled_layers_train_like_others(tmp_path, monkeypatch, changes):
    monkeypatch.setattr(layers, "_ROWS_OF_A_BLOCK", 8)  # of some 30 tokens
    compiled, plain = (
        train(tmp_path / xla, HeavyTask(), 0.0, xla=xla, **changes) for xla in ("on", "off")
    )
    assert 0 < distance(read(compiled), read(plain)) < 1e-5
    np.testing.assert_allclose(shown(compiled, "loss"), shown(plain, "loss"), rtol=1e-4)


@needs_xla
def test_compiled_layers_in_half_precision_resume_with_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(layers, "_ROWS_OF_A_BLOCK", 8)
    changes = {"precision": "bf16", "xla": "on", "num_devices": 2, "train_batch_size": 4}
    assert_resumes(tmp_path, 4, save_checkpoints_steps=4, **changes)


# --- What a device lacks


def test_precision_that_a_device_lacks_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(devices, "IS_TF2", False)
    with pytest.raises(UsageError, match="precision=bf16 needs TensorFlow 2.15.*: use fp32"):
        devices.check_precision(["/cpu:0"], "bf16")
    with pytest.raises(UsageError, match="use fp16"):
        devices.check_precision(["/gpu:0"], "bf16")
    monkeypatch.setattr(devices, "IS_TF2", True)
    volta = {"name": "Tesla V100", "compute_capability": "7.0"}
    ampere = {"name": "A100", "compute_capability": "8.0"}
    monkeypatch.setattr(devices, "describe_gpus", lambda: [ampere, volta])
    devices.check_precision(["/gpu:0"], "bf16")
    with pytest.raises(UsageError, match="Tesla V100 has 7.0: use fp16"):
        devices.check_precision(["/gpu:0", "/gpu:1"], "bf16")


def test_run_of_another_precision_is_not_resumed(tmp_path):
    train(tmp_path, precision="fp16", train_steps=1)
    with pytest.raises(UsageError, match="precision.* was 'fp16' and is 'fp32'"):
        train(tmp_path, precision="fp32", train_steps=2)


# --- Gradients that are not finite


class Explosive(tiny_task.TinyTask):
    """Examples 3 and 7 hold a token that makes the loss, and so the gradient, infinite."""

    def __init__(self, bad_examples=(3, 7)):
        self._bad_examples = bad_examples

    def fingerprint(self, split):
        return {"split": split, "bad": self._bad_examples}

    def features(self, split):
        for number, feature in enumerate(super().features(split)):
            ids = [min(token, BAD_TOKEN - 1) for token in feature[INPUT_IDS]]
            if number in self._bad_examples:
                ids[0] = BAD_TOKEN
            yield dict(feature, **{INPUT_IDS: ids})

    def head(self, model, features, is_training):
        output = super().head(model, features, is_training)
        is_bad = tf.reduce_any(tf.equal(features[INPUT_IDS], BAD_TOKEN))
        factor = tf.where(is_bad, np.inf, 1.0)
        return output._replace(loss_sums=[factor * term for term in output.loss_sums])


def test_an_infinity_on_one_of_two_replicas_is_skipped_and_resuming_gives_the_same_bits(
    tmp_path, caplog
):
    changes = {
        "precision": "fp16",
        "num_devices": 2,
        "train_batch_size": 1,
        "save_checkpoints_steps": 1,
        "keep_checkpoint_max": 20,
    }
    with caplog.at_level(logging.INFO):
        saved = assert_resumes(tmp_path, 3, Explosive(), **changes)
    # Ten examples make five batches of two, one or two of which hold a bad example.
    num_skipped = saved["batches_consumed"] - saved["global_step"]
    assert saved["global_step"] == NUM_UPDATES and num_skipped >= 1
    assert saved["skipped_in_a_row"] == 0  # since the last update
    assert saved["loss_scale"] == loss_scale.INITIAL_SCALE / 2**num_skipped
    lines = [line for line in caplog.messages if "Skipped a batch" in line]
    assert lines and all("its gradient is not finite; the loss scale adapts" in x for x in lines)


def test_a_run_that_skips_goes_on_from_finite_weights(tmp_path):
    changes = {"train_batch_size": 1, "on_nan": "skip", "save_checkpoints_steps": 1}
    folder = train(tmp_path, Explosive(), keep_checkpoint_max=20, **changes)
    before, after = (read(folder, step) for step in skipped_between(folder))
    assert after["batches_consumed"] - before["batches_consumed"] > 1
    for name in before:
        assert np.all(np.isfinite(after[name])), name
    moved = after["output_bias"] - before["output_bias"]
    assert 0 < np.abs(moved).max() <= 1.01 * LEARNING_RATE * 10


def skipped_between(folder):
    """Returns two successive steps between which a batch was skipped."""
    consumed = [read(folder, step)["batches_consumed"] for step in range(NUM_UPDATES + 1)]
    step = next(s for s in range(NUM_UPDATES) if consumed[s + 1] - consumed[s] > 1)
    return step, step + 1


def test_a_gradient_that_is_not_finite_stops_the_run_in_one_line(tmp_path):
    with pytest.raises(NotFinite) as error:
        train(tmp_path, Explosive(), train_batch_size=1, save_checkpoints_steps=1)
    saved = tf.train.latest_checkpoint(str(tmp_path))
    step = int(saved.rsplit("-", 1)[1])
    assert (
        f"Step {step + 1}, at learning_rate=0.005, was not applied: its gradient is not finite"
        in str(error.value)
    )
    assert f"The last good checkpoint is {saved}." in str(error.value)
    assert "or on_nan=skip, which leaves out such batches." in str(error.value)
    assert all(np.all(np.isfinite(value)) for value in read(str(tmp_path), step).values())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_many_skipped_batches_in_a_row_end_the_run(tmp_path, monkeypatch, precision):
    monkeypatch.setattr(hooks, "MAX_SKIPPED_IN_A_ROW", 5)
    with pytest.raises(NotFinite, match="Step 1, .* was given up after 5 batches"):
        train(tmp_path, Explosive(tuple(range(10))), precision=precision, on_nan="skip")


class OneGoodUpdate(tiny_task.TinyTask):
    """The gradients of all updates but the first are infinite."""

    def head(self, model, features, is_training):
        output = super().head(model, features, is_training)
        factor = tf.where(tf.train.get_global_step() > 0, np.inf, 1.0)
        return output._replace(loss_sums=[factor * term for term in output.loss_sums])


@pytest.fixture
def stops(monkeypatch):
    """Returns a set of counts of batches skipped in a row at which a run receives SIGTERM."""
    counts = set()
    after_run = hooks.ProgressHook.after_run

    def stop(self, run_context, run_values):
        after_run(self, run_context, run_values)
        if run_values.results["num_skipped"] in counts:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(hooks.ProgressHook, "after_run", stop)
    monkeypatch.setattr(hooks, "MAX_SKIPPED_IN_A_ROW", 5)
    return counts


def give_up(folder, **changes):
    """Trains until the run gives up; returns the line, but for the checkpoint that it names."""
    with pytest.raises(NotFinite) as error:
        train(folder, OneGoodUpdate(), 0.0, **changes)
    before, after = str(error.value).split(tf.train.latest_checkpoint(str(folder)))
    return before + after


in_each_way_of_skipping = pytest.mark.parametrize(
    "changes", [{"on_nan": "skip"}, {"precision": "fp16", "loss_scale": 8.0, "num_devices": 2}]
)


@in_each_way_of_skipping
def test_a_run_stopped_among_skipped_batches_gives_up_after_as_many(
    tmp_path, stops, caplog, changes
):
    expected = give_up(tmp_path / "whole", **changes)
    stops.add(3)
    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", OneGoodUpdate(), 0.0, **changes)
    assert read(tmp_path / "stopped", 1)["skipped_in_a_row"] == 3
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert give_up(tmp_path / "stopped", **changes) == expected
    assert sum("Skipped a batch" in line for line in caplog.messages) == 2


@in_each_way_of_skipping
def test_a_run_of_a_release_that_did_not_save_their_number_goes_on(
    tmp_path, stops, caplog, changes
):
    stops.add(3)
    with pytest.raises(Interrupted):
        train(tmp_path, OneGoodUpdate(), 0.0, **changes)
    remove_variable(str(tmp_path / "model.ckpt-1"), "skipped_in_a_row")
    stops.clear()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        give_up(tmp_path, **changes)
    assert sum("Skipped a batch" in line for line in caplog.messages) == 5


def remove_variable(checkpoint, name):
    """Writes a checkpoint anew without one of its variables."""
    reader = tf.train.load_checkpoint(checkpoint)
    values = {
        stored: reader.get_tensor(stored)
        for stored in reader.get_variable_to_shape_map()
        if stored != name
    }
    with tf.Graph().as_default(), tf.Session() as session:
        save = tf.raw_ops.SaveV2(
            prefix=checkpoint,
            tensor_names=list(values),
            shape_and_slices=[""] * len(values),
            tensors=list(values.values()),
        )
        session.run(save)


def test_a_fixed_loss_scale_stays(tmp_path):
    folder = train(tmp_path, Explosive(), precision="fp16", loss_scale=128.0, train_batch_size=1)
    assert read(folder)["batches_consumed"] > NUM_UPDATES
    assert read(folder)["loss_scale"] == loss_scale.INITIAL_SCALE  # for a run that adapts it


# --- Memory


class TooLarge(tiny_task.TinyTask):
    """A head that needs a tensor of some petabytes."""

    def head(self, model, features, is_training):
        output = super().head(model, features, is_training)
        width = tf.shape(features[INPUT_IDS])[0] * (1 << 21)
        (loss,) = output.loss_sums
        return output._replace(loss_sums=[loss + tf.reduce_sum(tf.fill([width, width], 0.0))])


def test_a_step_that_needs_more_memory_than_there_is_ends_in_one_line_with_advice(tmp_path):
    with pytest.raises(UsageError) as error:
        train(tmp_path, TooLarge())
    assert str(error.value) == (
        "The device has not enough memory to train on 8 example(s) at a time: try "
        "train_batch_size=4 with gradient_accumulation_steps=2 (the same updates), or "
        f"recompute_activations, or precision={'bf16' if devices.IS_TF2 else 'fp16'}, or a "
        "smaller max_seq_length."
    )


class TooManyWeights(tiny_task.TinyTask):
    """A head with a weight of a petabyte."""

    def head(self, model, features, is_training):
        tf.get_variable("huge", [1 << 24, 1 << 24])
        return super().head(model, features, is_training)


def test_weights_that_need_more_memory_than_there_is_end_in_one_line_with_advice(tmp_path):
    with pytest.raises(UsageError) as error:
        train(tmp_path, TooManyWeights())
    assert str(error.value) == (
        "The device has not enough memory for the weights of the model: end other programs that "
        "use it, or try a smaller model (albert_config_file)."
    )
