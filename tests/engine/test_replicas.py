"""Tests that replicas sharing a global batch train like one device with the whole batch."""

import dataclasses
import functools
import glob
import os
import shutil
import signal
import time
import zlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny
import tiny_task

from albert import custom_optimization
from albert.common.errors import UsageError
from albert.engine import checkpoints, run_identity
from albert.engine.config import FinetuneConfig
from albert.engine.input_pipeline import cached_features, next_batch_of, train_dataset
from albert.engine.model_fn import _seeded_getter, build
from albert.engine.results import EvaluationRecord
from albert.engine.task import (
    INPUT_IDS,
    Change,
    Feature,
    ModelOutput,
    settings_of,
)
from albert.engine.training import Engine, Interrupted

GLOBAL_BATCH = 8
NUM_UPDATES = 20
LEARNING_RATE = 5e-3
NUM_EXAMPLES = 30  # neither a multiple of the global batch nor of a replica's
LOSS_SCALE = 20.0  # makes gradients large enough to be clipped

# The released layout (google-research/albert) at the sizes of `tiny_config`.
INNER_GROUP = "bert/encoder/transformer/group_0/inner_group_0"
RELEASED = {
    "bert/embeddings/word_embeddings": (50, 8),
    "bert/embeddings/token_type_embeddings": (2, 8),
    "bert/embeddings/position_embeddings": (64, 8),
    "bert/embeddings/LayerNorm/beta": (8,),
    "bert/embeddings/LayerNorm/gamma": (8,),
    "bert/encoder/embedding_hidden_mapping_in/kernel": (8, 16),
    "bert/encoder/embedding_hidden_mapping_in/bias": (16,),
    f"{INNER_GROUP}/attention_1/self/query/kernel": (16, 16),
    f"{INNER_GROUP}/attention_1/self/query/bias": (16,),
    f"{INNER_GROUP}/attention_1/self/key/kernel": (16, 16),
    f"{INNER_GROUP}/attention_1/self/key/bias": (16,),
    f"{INNER_GROUP}/attention_1/self/value/kernel": (16, 16),
    f"{INNER_GROUP}/attention_1/self/value/bias": (16,),
    f"{INNER_GROUP}/attention_1/output/dense/kernel": (16, 16),
    f"{INNER_GROUP}/attention_1/output/dense/bias": (16,),
    f"{INNER_GROUP}/LayerNorm/beta": (16,),
    f"{INNER_GROUP}/LayerNorm/gamma": (16,),
    f"{INNER_GROUP}/ffn_1/intermediate/dense/kernel": (16, 32),
    f"{INNER_GROUP}/ffn_1/intermediate/dense/bias": (32,),
    f"{INNER_GROUP}/ffn_1/intermediate/output/dense/kernel": (32, 16),
    f"{INNER_GROUP}/ffn_1/intermediate/output/dense/bias": (16,),
    f"{INNER_GROUP}/LayerNorm_1/beta": (16,),
    f"{INNER_GROUP}/LayerNorm_1/gamma": (16,),
    "bert/pooler/dense/kernel": (16, 16),
    "bert/pooler/dense/bias": (16,),
}
HEAD = {"output_weights": (2, 16), "output_bias": (2,)}
TRAINABLE = {**RELEASED, **HEAD}

every_rule = pytest.mark.parametrize("rule", ["adamw", "lamb"])
slow = pytest.mark.slow  # four replicas: half a minute to build the graph
two_or_four = pytest.mark.parametrize("num_replicas", [2, pytest.param(4, marks=slow)])


class TinyTask(tiny_task.TinyTask):
    """Sequences of 3 to 20 tokens, no dropout in the head, and gradients that are clipped."""

    num_examples = NUM_EXAMPLES
    lengths = (3, 21)
    dropout_prob = 0.0

    def head(self, model, features, is_training):
        output = super().head(model, features, is_training)
        return output._replace(loss_sums=[LOSS_SCALE * term for term in output.loss_sums])


class CrowdedTask(TinyTask):
    """The same task, with extra random operations and an extra variable before the head."""

    def head(self, model, features, is_training):
        noise = tf.random.normal([3]) + tf.random.uniform([3])
        extra = tf.get_variable("extra", [3], initializer=tf.random_normal_initializer())
        output = super().head(model, features, is_training)
        (loss,) = output.loss_sums
        return output._replace(loss_sums=[loss + 0.0 * tf.reduce_sum(noise * extra)])


class MaskTask(TinyTask):
    """The gradient of its weights is a dropout mask: 2 for a value that is kept, 0 for others."""

    def head(self, model, features, is_training):
        weights = tf.get_variable("weights", [64], initializer=tf.zeros_initializer())
        loss = tf.reduce_sum(model.dropout(weights + 0.0, 0.5))
        return ModelOutput([loss * tf.cast(tf.size(features["label_ids"]), tf.float32)], {})


def tiny_model(**changes):
    return tiny.config(initializer_range=0.2, **changes)


def finetune(folder, num_replicas, task=None, **changes):
    """Trains on that many CPU replicas with the same global batch; returns the folder."""
    config = FinetuneConfig(
        albert_config=tiny_model(),
        output_dir=str(folder),
        train_batch_size=GLOBAL_BATCH // num_replicas,
        learning_rate=LEARNING_RATE,
        train_steps=NUM_UPDATES,
        num_devices=num_replicas,
        device_type="cpu",
        seed=11,
    )
    Engine(task or TinyTask(), dataclasses.replace(config, **changes)).train()
    return str(folder)


def test_another_run_is_refused_before_its_features_are_made(tmp_path, monkeypatch):
    def refuse(self, split):
        raise AssertionError("features were made")

    monkeypatch.setattr(TinyTask, "features", refuse)
    seed = settings_of({"seed": 12}, Change.REFUSED_IN_TRAINING)
    run_identity.claim(str(tmp_path), seed, {}, {})
    with pytest.raises(UsageError, match="seed was 12 and is 11"):
        finetune(tmp_path, 1)


def test_training_evaluates_only_if_asked(tmp_path):
    config = FinetuneConfig(
        tiny_model(), str(tmp_path), train_batch_size=4, train_steps=1, device_type="cpu"
    )
    engine = Engine(TinyTask(), config)
    engine._evaluator = object()  # as after `evaluate`; any use of it fails
    engine.train()
    assert checkpoints.saved_steps(str(tmp_path)).keys() == {0, 1}


class StubEvaluator:
    """Counts its calls, and does at each what it is told."""

    def __init__(self, folder, action=lambda: None):
        self.record = EvaluationRecord(str(folder), "accuracy")
        self.num_calls = 0
        self._action = action

    def evaluate_all(self, last_step=None):
        self.num_calls += 1
        self._action()


def train_with(evaluator, folder, **changes):
    """Trains for one step; the evaluator's calls come at the start and after steps 0 and 1."""
    config = FinetuneConfig(
        tiny_model(), str(folder), train_batch_size=4, train_steps=1, device_type="cpu", **changes
    )
    engine = Engine(TinyTask(), config)
    engine._evaluator = evaluator
    engine.train(evaluate=True)


def test_training_time_adds_up_over_the_runs_of_a_folder(tmp_path):
    evaluator = StubEvaluator(tmp_path)
    evaluator.record.add_settings({"total_seconds": 50000.0})  # of earlier runs
    train_with(evaluator, tmp_path)
    assert evaluator.num_calls == 3
    assert 50000.0 < evaluator.record.setting("total_seconds") < 51000.0


def test_a_signal_breaks_an_evaluation_off_and_what_is_saved_then_is_not_evaluated(tmp_path):
    def stop():
        if evaluator.num_calls == 2:  # a second signal would end this process
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    evaluator = StubEvaluator(tmp_path, stop)
    started = time.monotonic()
    with pytest.raises(Interrupted, match="saved as .*model.ckpt-1"):
        train_with(evaluator, tmp_path)
    assert evaluator.num_calls == 2
    assert time.monotonic() - started < 60


def test_a_signal_in_what_a_killed_run_has_left_to_evaluate_stops_before_the_first_step(tmp_path):
    evaluator = StubEvaluator(tmp_path, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted, match="^Stopped before the first step. The same") as stopped:
        train_with(evaluator, tmp_path)
    assert stopped.value.exit_status == 130
    assert not checkpoints.saved_steps(str(tmp_path))


def test_a_signal_before_the_first_step_counts_where_training_had_stopped_early(tmp_path):
    evaluator = StubEvaluator(tmp_path, lambda: os.kill(os.getpid(), signal.SIGTERM))
    # Not known before the evaluation that the signal breaks off.
    record = evaluator.record
    record.num_without_improvement = lambda *_: 9 if evaluator.num_calls else 0
    with pytest.raises(Interrupted, match="^Stopped before the first step"):
        train_with(evaluator, tmp_path, early_stopping_patience=1)


def read(folder, step):
    """Returns {name: value} of the checkpoint of a step."""
    reader = tf.train.load_checkpoint(os.path.join(folder, f"model.ckpt-{step}"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def operations(folder, step):
    """Returns the types of the operations of the training graph."""
    with open(os.path.join(str(folder), f"model.ckpt-{step}.meta"), "rb") as reader:
        nodes = tf.MetaGraphDef.FromString(reader.read()).graph_def.node
    return {node.op for node in nodes}


def shown(folder, tag):
    """Returns the values of a tag, one for each update, as TensorBoard shows them."""
    (path,) = glob.glob(os.path.join(folder, "events.*"))
    values = (value for event in tf.train.summary_iterator(path) for value in event.summary.value)
    return np.array([value.simple_value for value in values if value.tag == tag])


@pytest.fixture(scope="module")
def runs(tmp_path_factory, pretrained):
    """Returns a function of (rule, number of replicas): the folder of a run of 20 updates.

    AdamW starts from random weights. LAMB starts from the pre-trained ones and trains CrowdedTask,
    so that fewer runs are needed.
    """
    settings = {
        "adamw": {"task": TinyTask()},
        "lamb": {"task": CrowdedTask(), "init_checkpoint": pretrained[0]},
    }
    folders = {}

    def folder_of(rule, num_replicas):
        key = rule, num_replicas
        if key not in folders:
            folder = tmp_path_factory.mktemp(f"{rule}_{num_replicas}")
            folders[key] = finetune(folder, num_replicas, optimizer=rule, **settings[rule])
        return folders[key]

    return folder_of


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    """Returns a function of (folder, step): a checkpoint's loss and gradient norm on all data."""
    with tf.Graph().as_default(), tf.Session() as session:
        features = tf.data.make_one_shot_iterator(all_examples(tmp_path_factory)).get_next()
        output = build(TinyTask(), tiny_model(), features, is_training=False)
        loss = output.loss_sums[0] / NUM_EXAMPLES
        norm = tf.linalg.global_norm(tf.gradients(loss, tf.trainable_variables()))
        saver = tf.train.Saver(tf.trainable_variables())

        def measured(folder, step):
            saver.restore(session, os.path.join(folder, f"model.ckpt-{step}"))
            return session.run([loss, norm])

        yield measured


def all_examples(tmp_path_factory):
    """Returns the Dataset of TinyTask whose every batch holds all examples."""
    task = TinyTask()
    folder = str(tmp_path_factory.mktemp("all_examples"))
    feature_file = cached_features(folder, "all", {}, lambda: task.features("train"))
    return train_dataset(feature_file, task.feature_spec(), NUM_EXAMPLES, seed=0)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Returns (prefix, {name: value}) of a checkpoint in the released layout."""
    values = {}
    for name, shape in {**RELEASED, "cls/predictions/output_bias": (50,)}.items():
        random = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
        centre = 1.0 if name.endswith("gamma") else 0.0
        values[name] = (centre + 0.2 * random.standard_normal(shape)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        for name, value in values.items():
            tf.get_variable(name, initializer=value)
        tf.train.get_or_create_global_step()
        session.run(tf.global_variables_initializer())
        path = str(tmp_path_factory.mktemp("pretrained") / "model.ckpt-best")
        return tf.train.Saver().save(session, path), values


# --- The same training on any number of replicas


@every_rule
@two_or_four
def test_replicas_end_with_the_weights_of_one_device(runs, rule, num_replicas):
    alone = read(runs(rule, 1), NUM_UPDATES)
    shared = read(runs(rule, num_replicas), NUM_UPDATES)
    differences = {name: (shared[name] - alone[name]).astype(np.float64) for name in TRAINABLE}

    def length(vectors):
        return np.sqrt(sum(np.sum(np.square(vector)) for vector in vectors))

    relative = length(differences.values()) / length(alone[name] for name in TRAINABLE)
    worst = max(TRAINABLE, key=lambda name: np.abs(differences[name]).max())
    assert relative < 1e-4
    assert np.abs(differences[worst]).max() < 0.05 * LEARNING_RATE * NUM_UPDATES, worst


@every_rule
@two_or_four
def test_twenty_updates_count_as_twenty_steps_and_batches(runs, rule, num_replicas):
    saved = read(runs(rule, num_replicas), NUM_UPDATES)
    assert (saved["global_step"], saved["batches_consumed"]) == (20, 20)


@every_rule
def test_the_gradients_of_these_runs_are_long_enough_to_be_clipped(runs, measure, rule):
    for step in (0, NUM_UPDATES):
        _, gradient_norm = measure(runs(rule, 1), step)
        assert gradient_norm > 2.0


@every_rule
def test_twenty_updates_lower_the_loss(runs, measure, rule):
    (before, _), (after, _) = (measure(runs(rule, 2), step) for step in (0, NUM_UPDATES))
    assert after < 0.98 * before


@every_rule
@two_or_four
def test_the_loss_shown_is_that_of_the_global_batch(runs, rule, num_replicas):
    alone = shown(runs(rule, 1), "loss")[0]
    np.testing.assert_allclose(shown(runs(rule, num_replicas), "loss")[0], alone, rtol=1e-5)


@two_or_four
def test_the_tokens_shown_are_the_real_ones_of_all_replicas(runs, num_replicas):
    folder = runs("adamw", num_replicas)
    seconds = GLOBAL_BATCH / shown(folder, "examples_per_second")
    num_tokens = shown(folder, "tokens_per_second") * seconds
    # 15 updates read the 30 examples four times.
    lengths = [len(feature[INPUT_IDS]) for feature in TinyTask().features("train")]
    assert num_tokens[:15].sum() == pytest.approx(4 * sum(lengths), abs=0.1)


def test_a_checkpoint_has_the_variables_and_moments_under_googles_names(runs):
    moments = [f"{name}/adam_{moment}" for name in TRAINABLE for moment in "mv"]
    counters = ["global_step", "batches_consumed", "skipped_in_a_row"]
    expected = sorted([*TRAINABLE, *moments, *counters])
    assert sorted(read(runs("adamw", 1), NUM_UPDATES)) == expected


@two_or_four
def test_a_checkpoint_has_the_same_variables_for_any_number_of_replicas(runs, num_replicas):
    alone, shared = (read(runs("adamw", count), NUM_UPDATES) for count in (1, num_replicas))
    assert sorted(shared) == sorted(alone)


def test_one_update_changes_every_variable(tmp_path_factory):
    with tf.Graph().as_default(), tf.Session() as session:
        features = tf.data.make_one_shot_iterator(all_examples(tmp_path_factory)).get_next()
        output = build(TinyTask(), tiny_model(), features, is_training=True)
        loss = output.loss_sums[0] / NUM_EXAMPLES
        update = custom_optimization.create_optimizer(loss, LEARNING_RATE, NUM_UPDATES, 0)
        session.run(tf.global_variables_initializer())
        variables = {variable.op.name: variable for variable in tf.trainable_variables()}
        before = session.run(variables)
        session.run(update)
        after = session.run(variables)
    unchanged = {name for name in TRAINABLE if np.array_equal(before[name], after[name])}
    # The key bias adds the same to all scores of a query, so softmax cancels it: only rounding
    # changes it.
    assert unchanged <= {f"{INNER_GROUP}/attention_1/self/key/bias"}


# --- Packed and padded tokens (all runs above are packed)


@pytest.fixture(scope="module")
def by_layout(tmp_path_factory, runs):
    """Returns {packed_tokens: (losses of 10 updates, logits of a batch after them)}."""
    task = TinyTask()
    begin = os.path.join(runs("adamw", 1), "model.ckpt-0")
    folder = str(tmp_path_factory.mktemp("layouts"))
    examples = cached_features(folder, "train", {}, lambda: task.features("train"))
    found = {}
    for packed_tokens in (True, False):
        with tf.Graph().as_default(), tf.Session() as session:
            batches = train_dataset(examples, task.feature_spec(), GLOBAL_BATCH, seed=11)
            batch = tf.data.make_one_shot_iterator(batches).get_next()
            seed = tf.zeros([2], tf.int64)
            output = build(task, tiny_model(), batch, True, seed, packed_tokens)
            loss = output.loss_sums[0] / GLOBAL_BATCH
            update = custom_optimization.create_optimizer(loss, LEARNING_RATE, 20, 0)
            session.run(tf.global_variables_initializer())
            tf.train.Saver(tf.trainable_variables()).restore(session, begin)
            losses = [session.run([loss, update])[0] for _ in range(10)]
            found[packed_tokens] = losses, session.run(output.predictions["probabilities"])
    return found


def test_packed_and_padded_training_have_the_same_losses(by_layout):
    packed, padded = by_layout[True][0], by_layout[False][0]
    np.testing.assert_allclose(packed, padded, rtol=1e-5)
    assert len(set(packed)) == 10


def test_packed_and_padded_training_end_with_the_same_predictions(by_layout):
    np.testing.assert_allclose(by_layout[True][1], by_layout[False][1], atol=1e-5)


@pytest.mark.parametrize("packed_tokens", [True, False])
def test_packed_tokens_applies_to_the_training_graph(tmp_path, packed_tokens):
    finetune(tmp_path, 1, train_steps=1, packed_tokens=packed_tokens)
    assert ("Cumsum" in operations(tmp_path, 1)) == packed_tokens


# --- Initial weights


@two_or_four
def test_initial_weights_do_not_depend_on_the_number_of_replicas(runs, num_replicas):
    alone, shared = (read(runs("adamw", count), 0) for count in (1, num_replicas))
    for name in TRAINABLE:
        np.testing.assert_array_equal(shared[name], alone[name], err_msg=name)


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_initial_weights_do_not_depend_on_what_else_is_in_the_graph(runs, num_replicas):
    # Only those of the head: in the runs of LAMB the others are pre-trained.
    alone, crowded = read(runs("adamw", 1), 0), read(runs("lamb", num_replicas), 0)
    np.testing.assert_array_equal(crowded["output_weights"], alone["output_weights"])


def test_variables_of_the_same_shape_have_different_initial_weights(runs):
    initial = read(runs("adamw", 1), 0)
    names = [f"{INNER_GROUP}/attention_1/self/{part}/kernel" for part in ("query", "key", "value")]
    query, key, value = (initial[name] for name in names)
    assert not np.array_equal(query, key) and not np.array_equal(key, value)


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_training_starts_from_the_pretrained_weights(runs, pretrained, num_replicas):
    # The copies on the second replica are covered by the comparison after 20 updates.
    initial = read(runs("lamb", num_replicas), 0)
    for name in RELEASED:
        np.testing.assert_array_equal(initial[name], pretrained[1][name], err_msg=name)


# --- What the seed determines: dropout and initial weights


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """Returns a function of (seed, number of replicas): the folder of a run of MaskTask."""
    folders = {}

    def folder_of(seed, num_replicas):
        key = seed, num_replicas
        if key not in folders:
            folder = tmp_path_factory.mktemp("masked")
            changes = {"seed": seed, "train_steps": 2, "save_checkpoints_steps": 1}
            folders[key] = finetune(folder, num_replicas, task=MaskTask(), **changes)
        return folders[key]

    return folder_of


def moments(folder):
    """Returns the first moments of MaskTask's weights after its first and its second update."""
    return [read(folder, step)["weights/adam_m"] for step in (1, 2)]


def kept_values(folder):
    """Returns which values the first and the second update of one device have kept."""
    first, second = moments(folder)
    gradients = first, second - 0.9 * first
    return [gradient > 1e-4 for gradient in gradients]


def test_each_replica_drops_other_values_in_dropout(masked):
    # The mean of two masks: values that no replica, one of them and both have kept.
    first, _ = moments(masked(11, 2))
    levels = np.round(first / first.max(), 4)
    assert set(levels.tolist()) == {0.0, 0.5, 1.0}


def test_each_update_drops_other_values_in_dropout(masked):
    first, second = kept_values(masked(11, 1))
    assert 10 < (first != second).sum() < 54  # half of the 64 values of two independent masks


def test_each_seed_drops_other_values_in_dropout(masked):
    first, other = (kept_values(masked(seed, 1))[0] for seed in (11, 12))
    assert 10 < (first != other).sum() < 54


def test_each_seed_gives_other_initial_weights(masked):
    first, other = (read(masked(seed, 1), 0) for seed in (11, 12))
    is_equal = {name for name in RELEASED if np.array_equal(first[name], other[name])}
    assert is_equal == {name for name in RELEASED if name.endswith(("bias", "beta", "gamma"))}


def test_initial_values_depend_on_the_runs_seed_even_where_the_graph_has_none():
    values = []
    for seed in (11, 11, 12):
        with tf.Graph().as_default(), tf.Session() as session:
            getter = functools.partial(_seeded_getter(seed), tf.get_variable)
            with tf.variable_scope("b"):
                getter("a", shape=[8], initializer=tf.truncated_normal_initializer())
            session.run(tf.global_variables_initializer())
            values.append(session.run(tf.global_variables()[0]).tolist())
    assert values[0] == values[1] != values[2]


def test_resumed_replicas_end_with_the_bits_of_those_that_never_stopped(tmp_path):
    model = tiny_model(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    changes = {"albert_config": model, "train_steps": 4, "save_checkpoints_steps": 2}
    whole = finetune(tmp_path / "whole", 2, **changes)
    (tmp_path / "resumed").mkdir()
    for name in ("run.json", *glob.glob1(whole, "model.ckpt-2.*")):
        shutil.copy(os.path.join(whole, name), str(tmp_path / "resumed"))
    tf.train.update_checkpoint_state(str(tmp_path / "resumed"), "model.ckpt-2")
    resumed = finetune(tmp_path / "resumed", 2, **changes)
    expected, actual = read(whole, 4), read(resumed, 4)
    assert not os.path.exists(os.path.join(resumed, "model.ckpt-0.index"))
    assert [name for name in expected if not np.array_equal(expected[name], actual[name])] == []


# --- The order of the data


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """Returns a FeatureFile of 10 features; the only token of each is its number."""
    features = [{INPUT_IDS: [number]} for number in range(10)]
    return cached_features(str(tmp_path_factory.mktemp("numbered")), "train", {}, lambda: features)


def stream(feature_file, count, batch_size=1, seed=3, num_consumed=0):
    """Returns the numbers of the first `count` features, in batches: [count / batch, batch]."""
    spec = {INPUT_IDS: Feature(tf.int32)}
    with tf.Graph().as_default(), tf.Session() as session:
        batches = train_dataset(feature_file, spec, batch_size, seed, num_consumed)
        batch = tf.data.make_one_shot_iterator(batches).get_next()[INPUT_IDS]
        return [session.run(batch)[:, 0].tolist() for _ in range(count // batch_size)]


def flat(batches):
    return [number for batch in batches for number in batch]


def test_a_batch_of_eight_is_two_consecutive_batches_of_four(numbered):
    eights = stream(numbered, 40, batch_size=8)
    fours = stream(numbered, 40, batch_size=4)
    assert eights == [first + second for first, second in zip(fours[::2], fours[1::2])]


@pytest.mark.parametrize("num_consumed", [1, 7, 10, 13, 20, 29])
def test_reading_can_start_anywhere_in_the_stream(numbered, num_consumed):
    whole = flat(stream(numbered, 45))
    rest = flat(stream(numbered, 45 - num_consumed, num_consumed=num_consumed))
    assert rest == whole[num_consumed:]


def test_an_epoch_holds_every_feature_once(numbered):
    numbers = flat(stream(numbered, 40))
    for epoch in range(4):
        assert sorted(numbers[10 * epoch : 10 * epoch + 10]) == list(range(10))


def test_replicas_take_the_batches_of_a_round_in_turn(numbered):
    spec = {INPUT_IDS: Feature(tf.int32)}
    expected = stream(numbered, 24, batch_size=2)
    with tf.Graph().as_default(), tf.Session() as session:
        next_batch = next_batch_of(train_dataset(numbered, spec, 2, seed=3))
        batches = [next_batch()[INPUT_IDS] for _ in range(3)]
        rounds = [session.run(batches) for _ in range(4)]
    assert [batch[:, 0].tolist() for batches in rounds for batch in batches] == expected


def test_no_dataset_of_the_strategy_delays_the_end_of_training(runs):
    # On TensorFlow 2.15 one did, by 10 to 20 s, in about every other run.
    found = operations(runs("adamw", 2), NUM_UPDATES)
    assert "IteratorGetNext" in found
    assert not any("MultiDeviceIterator" in operation for operation in found)


def test_each_epoch_has_another_order(numbered):
    numbers = flat(stream(numbered, 40))
    assert len({tuple(numbers[begin : begin + 10]) for begin in range(0, 40, 10)}) == 4


def test_each_seed_gives_another_order(numbered):
    assert len({tuple(flat(stream(numbered, 10, seed=seed))) for seed in range(4)}) == 4


def test_a_seed_gives_the_same_order_again(numbered):
    assert stream(numbered, 25, seed=6) == stream(numbered, 25, seed=6)
