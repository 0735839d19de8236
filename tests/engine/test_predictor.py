"""Tests of albert.engine.predictor: predictions of checkpoints on any number of devices."""

import itertools
import os
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny

from albert.common.errors import UsageError
from albert.engine import devices, model_fn, predictor, task
from albert.engine.input_pipeline import batches_of, cached_features, read_batches
from albert.engine.predictor import Predictor
from albert.engine.task import Feature
from albert.nn import layers

NUM_FEATURES = 23  # with BATCH_SIZE: six batches, the last of three
BATCH_SIZE = 4
CONFIG = tiny.config()


class TinyTask(task.Task):
    """Predicts three logits per feature; the number of the feature shows the order."""

    name = "tiny"
    best_metric = "none"

    def __init__(self):
        self.num_heads_built = 0

    def fingerprint(self, split):
        return {"split": split}

    def source(self, split):
        return task.DataSource(split, "all")

    def features(self, split):
        lengths = np.random.RandomState(5).randint(1, 12, size=NUM_FEATURES)
        for number in range({"dev": NUM_FEATURES, "pair": 2}[split]):
            ids = [(7 * number + 3 * position) % 50 for position in range(lengths[number])]
            segments = [position % 2 for position in range(lengths[number])]
            yield {
                "input_ids": ids,
                "segment_ids": segments,
                "number": number,
                "note": [number] * (number % 3),
            }

    def feature_spec(self):
        return {
            "input_ids": Feature(tf.int32),
            "segment_ids": Feature(tf.int32),
            "number": Feature(tf.int32, is_sequence=False),
            "note": Feature(tf.int32, is_input=False),
        }

    def head(self, model, features, is_training):
        self.num_heads_built += 1
        weights = tf.get_variable("head_weights", [16, 3])
        logits = tf.matmul(model.get_pooled_output(), weights)  # [batch, 3]
        predictions = {"logits": logits, "number": tf.identity(features["number"])}
        return task.ModelOutput([tf.reduce_sum(logits)], predictions)

    def evaluate(self, predictions):
        raise NotImplementedError

    def comparisons(self, split, rows, metrics):
        raise NotImplementedError

    def write_predictions(self, predictions, output_dir, metrics=None):
        raise NotImplementedError


class Reference:
    """The model in a plain session, which is fed one unpadded example at a time."""

    def __init__(self):
        self.graph = tf.Graph()
        with self.graph.as_default():
            self._inputs = {
                "input_ids": tf.placeholder(tf.int32, [1, None]),
                "input_mask": tf.placeholder(tf.int32, [1, None]),
                "segment_ids": tf.placeholder(tf.int32, [1, None]),
                "number": tf.placeholder(tf.int32, [1]),
            }
            self._output = model_fn.build(TinyTask(), CONFIG, self._inputs, is_training=False)
            self._variables = tf.global_variables()
            self._saver = tf.train.Saver(self._variables)

    def write_checkpoint(self, path, seed):
        """Writes a checkpoint of random values, large enough to tell any two examples apart."""
        random = np.random.RandomState(seed)
        with tf.Session(graph=self.graph) as session:
            for variable in self._variables:
                middle = 1.0 if "gamma" in variable.op.name else 0.0
                variable.load(random.normal(middle, 0.5, variable.shape.as_list()), session)
            return self._saver.save(session, str(path), write_meta_graph=False)

    def logits(self, checkpoint, features):
        """Returns float [num_features, 3]."""
        rows = []
        with tf.Session(graph=self.graph) as session:
            self._saver.restore(session, checkpoint)
            for feature in features:
                feature = dict(feature, input_mask=[1] * len(feature["input_ids"]))
                feed = {tensor: [feature[name]] for name, tensor in self._inputs.items()}
                rows.append(session.run(self._output.predictions["logits"], feed)[0])
        return np.array(rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("predictor")


@pytest.fixture(scope="module")
def reference(graph_mode):
    return Reference()


@pytest.fixture(scope="module")
def checkpoint(reference, folder):
    return reference.write_checkpoint(folder / "first", seed=1)


@pytest.fixture(scope="module")
def dev_file(folder):
    return make_file(folder, "dev")


@pytest.fixture(scope="module")
def predictors(graph_mode):
    """Returns {number of CPU devices: Predictor}, each kept for the whole module."""
    return {count: make_predictor(count) for count in (1, 2, 3)}


def make_file(folder, split):
    own = TinyTask()
    return cached_features(
        str(folder), f"tiny_{split}", own.fingerprint(split), lambda: own.features(split)
    )


def make_predictor(num_devices, own_task=None):
    return Predictor(own_task or TinyTask(), CONFIG, devices.choose("cpu", num_devices))


def logits_of(rows):
    return np.array([row["logits"] for row in rows])


@pytest.mark.parametrize("num_devices", [1, 2, 3])
def test_every_feature_is_predicted_once_and_in_order(
    predictors, checkpoint, dev_file, num_devices
):
    rows = predictors[num_devices].predict(checkpoint, dev_file, BATCH_SIZE)
    assert [row["number"] for row in rows] == list(range(NUM_FEATURES))


@pytest.mark.parametrize("num_devices", [2, 3])
def test_predictions_on_several_devices_equal_those_on_one(
    predictors, checkpoint, dev_file, num_devices
):
    one = predictors[1].predict(checkpoint, dev_file, BATCH_SIZE)
    several = predictors[num_devices].predict(checkpoint, dev_file, BATCH_SIZE)
    np.testing.assert_array_equal(logits_of(several), logits_of(one))


def test_padded_tokens_are_predicted_like_packed_ones(predictors, checkpoint, dev_file):
    padded = Predictor(TinyTask(), CONFIG, devices.choose("cpu", 1), packed_tokens=False)
    rows = padded.predict(checkpoint, dev_file, BATCH_SIZE)
    expected = predictors[1].predict(checkpoint, dev_file, BATCH_SIZE)
    np.testing.assert_allclose(logits_of(rows), logits_of(expected), rtol=0, atol=1e-5)
    num_sums = [
        sum(
            operation.type == "Cumsum"
            for operation in own._workers[0]._session.graph.get_operations()
        )
        for own in (padded, predictors[1])
    ]
    assert num_sums == [0, 1]


@pytest.mark.skipif(not devices.IS_TF2, reason="needs TensorFlow 2.15")
@pytest.mark.parametrize("num_devices", [1, 2])
def test_compiled_layers_predict_like_others(
    predictors, checkpoint, dev_file, monkeypatch, num_devices
):
    monkeypatch.setattr(layers, "_ROWS_OF_A_BLOCK", 8)
    compiled = Predictor(TinyTask(), CONFIG, devices.choose("cpu", num_devices), use_xla=True)
    rows = compiled.predict(checkpoint, dev_file, BATCH_SIZE)
    expected = predictors[1].predict(checkpoint, dev_file, BATCH_SIZE)
    np.testing.assert_allclose(logits_of(rows), logits_of(expected), rtol=0, atol=1e-5)
    graph = compiled._workers[-1]._session.graph
    calls = [op for op in graph.get_operations() if op.type == "PartitionedCall"]
    assert len(calls) == CONFIG.num_hidden_layers


@pytest.mark.parametrize("batch_size", [1, BATCH_SIZE, NUM_FEATURES, 100, None])
def test_predictions_agree_with_each_example_run_alone(
    predictors, reference, checkpoint, dev_file, batch_size
):
    expected = reference.logits(checkpoint, TinyTask().features("dev"))
    assert np.ptp(expected, axis=0).min() > 0.1, "the examples must differ to show anything"
    rows = predictors[2].predict(checkpoint, dev_file, batch_size)
    np.testing.assert_allclose(logits_of(rows), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "batch_size, num_tokens, num_batches", [(None, 40, 5), (None, 10**6, 1), (10, 40, 3)]
)
def test_a_device_takes_as_many_features_as_suit_it_unless_the_size_is_given(
    predictors, checkpoint, dev_file, monkeypatch, batch_size, num_tokens, num_batches
):
    monkeypatch.setattr(predictor.devices_lib, "tokens_to_predict", lambda device: num_tokens)
    shapes = []

    def read(*args):
        for positions, batch in read_batches(*args):
            shapes.append(batch["input_ids"].shape)
            yield positions, batch

    monkeypatch.setattr(predictor, "read_batches", read)
    predictors[2].predict(checkpoint, dev_file, batch_size)
    assert len(shapes) == num_batches
    if batch_size is None:
        assert all(rows * longest <= num_tokens for rows, longest in shapes)


def test_predictions_have_no_dropout(predictors, checkpoint, dev_file):
    dropping = tiny.config(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    own = Predictor(TinyTask(), dropping, devices.choose("cpu", 1))
    expected = predictors[1].predict(checkpoint, dev_file, BATCH_SIZE)
    rows = own.predict(checkpoint, dev_file, BATCH_SIZE)
    np.testing.assert_array_equal(logits_of(rows), logits_of(expected))


@pytest.mark.parametrize("batch_size", [1, 2])
def test_fewer_batches_than_devices_are_predicted_once_each(
    predictors, reference, checkpoint, folder, batch_size
):
    rows = predictors[3].predict(checkpoint, make_file(folder, "pair"), batch_size)
    assert [row["number"] for row in rows] == [0, 1]
    expected = reference.logits(checkpoint, TinyTask().features("pair"))
    np.testing.assert_allclose(logits_of(rows), expected, rtol=0, atol=1e-5)


def test_a_row_holds_plain_values_of_one_feature(predictors, checkpoint, dev_file):
    row = predictors[2].predict(checkpoint, dev_file, BATCH_SIZE)[0]
    assert set(row) == {"logits", "number", "note"}
    assert row["logits"].shape == (3,)
    assert np.ndim(row["number"]) == 0


def test_a_feature_that_is_not_an_input_is_returned_padded_with_its_predictions(
    predictors, checkpoint, dev_file
):
    for number, row in enumerate(predictors[1].predict(checkpoint, dev_file, BATCH_SIZE)):
        assert list(row["note"][: number % 3]) == [number] * (number % 3)
        assert not row["note"][number % 3 :].any()


def test_fewer_features_than_the_file_should_have_are_an_error(predictors, checkpoint, dev_file):
    lying = dev_file._replace(num_features=dev_file.num_features + 1)
    with pytest.raises(tf.errors.NotFoundError, match="features are missing"):
        predictors[1].predict(checkpoint, lying, BATCH_SIZE)


def test_the_same_checkpoint_gives_the_same_predictions_again(predictors, checkpoint, dev_file):
    first, again = (predictors[3].predict(checkpoint, dev_file, BATCH_SIZE) for _ in range(2))
    np.testing.assert_array_equal(logits_of(again), logits_of(first))


def test_a_second_checkpoint_gives_its_own_predictions(
    predictors, reference, checkpoint, dev_file, folder
):
    second = reference.write_checkpoint(folder / "second", seed=2)
    features = list(TinyTask().features("dev"))
    for path in (checkpoint, second, checkpoint):
        rows = predictors[2].predict(path, dev_file, BATCH_SIZE)
        expected = reference.logits(path, features)
        np.testing.assert_allclose(logits_of(rows), expected, rtol=0, atol=1e-5)


def test_the_graph_is_built_once_for_all_devices_and_checkpoints(checkpoint, dev_file):
    own_task = TinyTask()
    own_predictor = make_predictor(2, own_task)
    assert own_task.num_heads_built == 0
    for _ in range(2):
        own_predictor.predict(checkpoint, dev_file, BATCH_SIZE)
    assert own_task.num_heads_built == 1


def test_the_default_graph_stays_empty(predictors, checkpoint, dev_file):
    with tf.Graph().as_default() as graph:
        predictors[2].predict(checkpoint, dev_file, BATCH_SIZE)
        make_predictor(2).predict(checkpoint, dev_file, BATCH_SIZE)
    assert graph.get_operations() == []


@pytest.mark.parametrize("num_devices", [1, 3])
def test_every_device_holds_its_own_copy_of_the_model(predictors, num_devices):
    predictors[num_devices]._workers = predictors[num_devices]._make_workers()
    for index, worker in enumerate(predictors[num_devices]._workers):
        nodes = worker._session.graph.as_graph_def().node
        placed = {node.device.split(":", 1)[1].lower() for node in nodes if node.device}
        assert placed == {f"cpu:{index}"}


def test_a_checkpoint_that_lacks_variables_is_an_error(predictors, dev_file, folder):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("head_weights", [16, 3])
        session.run(tf.global_variables_initializer())
        lacking = tf.train.Saver().save(session, str(folder / "lacking"))
    with pytest.raises(tf.errors.NotFoundError, match="not found in checkpoint"):
        predictors[2].predict(lacking, dev_file, BATCH_SIZE)


def test_a_missing_checkpoint_is_an_error(predictors, dev_file, folder):
    with pytest.raises(UsageError, match="nothing is damaged .nothing.index is missing"):
        predictors[1].predict(str(folder / "nothing"), dev_file, BATCH_SIZE)


def test_the_predictor_still_works_after_an_error(predictors, checkpoint, dev_file, folder):
    with pytest.raises(UsageError):
        predictors[2].predict(str(folder / "nothing"), dev_file, BATCH_SIZE)
    rows = predictors[2].predict(checkpoint, dev_file, BATCH_SIZE)
    assert [row["number"] for row in rows] == list(range(NUM_FEATURES))


@pytest.mark.timeout(60)
def test_an_error_while_reading_reaches_the_caller(predictors, checkpoint, folder):
    broken = make_file(folder / "broken", "dev")
    os.truncate(broken.path, os.path.getsize(broken.path) - 5)
    with pytest.raises(UsageError, match=f"^{broken.path} was removed or changed"):
        predictors[3].predict(checkpoint, broken, BATCH_SIZE)


@pytest.mark.timeout(60)
def test_an_interrupt_in_a_worker_reaches_the_caller(predictors, checkpoint, dev_file, monkeypatch):
    def interrupted(*args):
        yield from itertools.islice(read_batches(*args), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(predictor, "read_batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predictors[3].predict(checkpoint, dev_file, BATCH_SIZE)


def endless_batches(*args):
    """Replaces read_batches, for data that never ends."""
    batches = list(read_batches(*args))
    for batch in itertools.cycle(batches):
        time.sleep(0.002)
        yield batch


@pytest.mark.timeout(60)
@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_on_one_device_stops_the_others(
    predictors, checkpoint, dev_file, monkeypatch, failing
):
    predictors[3].predict(checkpoint, dev_file, BATCH_SIZE)

    def fail(*args):
        raise tf.errors.UnknownError(None, None, "the device is gone")

    monkeypatch.setattr(predictors[3]._workers[failing], "run", fail)
    monkeypatch.setattr(predictor, "read_batches", endless_batches)
    with pytest.raises(tf.errors.UnknownError):
        predictors[3].predict(checkpoint, dev_file, BATCH_SIZE)


@pytest.mark.timeout(60)
def test_a_device_without_memory_for_the_weights_ends_all_in_one_line(
    predictors, checkpoint, dev_file, monkeypatch
):
    predictors[3].predict(checkpoint, dev_file, BATCH_SIZE)

    class FullDevice:
        def run(self, *args):
            raise tf.errors.ResourceExhaustedError(None, None, "no memory left")

    monkeypatch.setattr(predictors[3]._workers[1], "_session", FullDevice())
    monkeypatch.setattr(predictor, "read_batches", endless_batches)
    with pytest.raises(UsageError, match="not enough memory for the weights .* num_devices=1"):
        predictors[3].predict(checkpoint, dev_file, BATCH_SIZE)


class GreedyTask(TinyTask):
    """Its head takes petabytes of memory for a batch of more features than `num_allowed`."""

    def __init__(self, num_allowed):
        super().__init__()
        self._num_allowed = num_allowed

    def head(self, model, features, is_training):
        output = super().head(model, features, is_training)
        excess = tf.maximum(tf.shape(features["number"])[0] - self._num_allowed, 0)
        huge = tf.fill([excess, 1 << 25, 1 << 25], features["number"][0])
        taken = features["number"] + tf.reduce_sum(huge)
        return output._replace(predictions=dict(output.predictions, taken=taken))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "num_allowed, batch_size, advice",
    [
        (
            5,
            8,
            "8 examples of up to 11 tokens at a time: try a smaller predict_batch_size=4.",
        ),
        (
            5,
            None,
            "23 examples of up to 11 tokens at a time: try a smaller predict_batch_size=11.",
        ),
        (0, 1, "one example at a time: try max_seq_length=5."),
    ],
)
def test_a_lack_of_memory_is_one_line_that_says_what_to_try(
    checkpoint, dev_file, num_allowed, batch_size, advice
):
    own = make_predictor(1, GreedyTask(num_allowed))
    with pytest.raises(UsageError) as caught:
        own.predict(checkpoint, dev_file, batch_size)
    assert str(caught.value) == f"The device has not enough memory to predict {advice}"


def test_less_at_a_time_fits_after_a_lack_of_memory(checkpoint, dev_file):
    own = make_predictor(2, GreedyTask(num_allowed=5))
    with pytest.raises(UsageError, match="not enough memory"):
        own.predict(checkpoint, dev_file)
    rows = own.predict(checkpoint, dev_file, 5)
    assert [row["number"] for row in rows] == list(range(NUM_FEATURES))


@pytest.mark.timeout(60)
def test_ctrl_c_stops_all_devices(predictors, checkpoint, dev_file, monkeypatch):
    monkeypatch.setattr(predictor, "read_batches", endless_batches)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            predictors[3].predict(checkpoint, dev_file, BATCH_SIZE)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, previous)
    monkeypatch.undo()
    rows = predictors[3].predict(checkpoint, dev_file, BATCH_SIZE)
    assert [row["number"] for row in rows] == list(range(NUM_FEATURES))


class OptionsTask(TinyTask):
    """Has features of two sequences each, and one that is padded with 1."""

    def features(self, split):
        for feature in super().features(split):
            ids = feature["input_ids"]
            yield dict(feature, input_ids=[ids, ids[::2]], segment_ids=[[0] * len(ids), [1]])

    def feature_spec(self):
        spec = super().feature_spec()
        for name in ("input_ids", "segment_ids"):
            spec[name] = spec[name]._replace(num_sequences=2)
        return dict(spec, note=spec["note"]._replace(padding=1))


@pytest.mark.parametrize("task_class", [TinyTask, OptionsTask])
@pytest.mark.parametrize("batch_size, num_tokens", [(4, 0), (None, 40), (None, 1)])
def test_batches_in_memory_are_those_of_a_file(tmp_path, task_class, batch_size, num_tokens):
    task = task_class()
    features, spec = list(task.features("dev")), task.feature_spec()
    file = cached_features(str(tmp_path), "dev", {}, lambda: features)
    expected = list(read_batches(file, spec, batch_size, num_tokens))
    found = list(batches_of(features, spec, batch_size, num_tokens))
    assert len(found) == len(expected) > 2
    for (positions, batch), (expected_positions, expected_batch) in zip(found, expected):
        np.testing.assert_array_equal(positions, expected_positions)
        assert batch.keys() == expected_batch.keys()
        for name, value in expected_batch.items():
            assert batch[name].dtype == value.dtype
            np.testing.assert_array_equal(batch[name], value, err_msg=name)
