"""Our worker: `python -m benchmarks.ours SPEC`, started by benchmarks.workers.

It goes through the engine as the runners do. Estimator is wrapped, so that training waits for a
request before each series of steps.
"""

import dataclasses
import hashlib
import json
import logging
import os
import platform
import sys
import tempfile
import time
import types

from albert.cli.quiet import ready_tensorflow

ready_tensorflow()

import tensorflow.compat.v1 as tf  # noqa: E402

from albert.common.errors import UsageError  # noqa: E402
from albert.engine import devices, training  # noqa: E402
from albert.engine.config import FinetuneConfig  # noqa: E402
from albert.engine.task import INPUT_MASK, ModelOutput  # noqa: E402
from albert.glue.classification import ClassifierTask, InputExample  # noqa: E402
from albert.modeling import AlbertConfig  # noqa: E402
from albert.pretraining import heads  # noqa: E402
from albert.pretraining.inputs import open_inputs  # noqa: E402
from albert.pretraining.task import (  # noqa: E402
    LABELS,
    ORDER_LABELS,
    PretrainingSettings,
    PretrainingTask,
)
from albert.squad.versions import SquadSettings  # noqa: E402
from albert.squad_utils import SquadTask  # noqa: E402
from benchmarks import data  # noqa: E402
from benchmarks.channel import Channel, ResidentMemory, fastest, read_pool  # noqa: E402

_ENDLESS = 1 << 30  # steps
_ROWS = {"cpu": 2048, "gpu": 65536}  # of the left matrix; a GPU needs more to be busy
_INNER, _COLUMNS = 768, 3072


class _NoTokenizer:
    """Stands in for the tokenizer of a task whose token ids are there already."""

    @staticmethod
    def fingerprint():
        return {}


class ClassifierPool(ClassifierTask):
    """Classifies the examples in a pool."""

    labels = ("0", "1")
    best_metric = "accuracy"

    def __init__(self, pool):
        super().__init__("pool", os.path.dirname(pool), _NoTokenizer(), 512, 0.0)
        self._pool = pool

    def _read_examples(self, split):
        return [
            InputExample(str(number), "", None, self.labels[row["label_ids"]])
            for number, row in enumerate(read_pool(self._pool))
        ]

    def _origin(self, split):
        return _hash_of(self._pool)

    def _metrics(self, split, labels, decisions):
        return {"accuracy": 0.0}

    def features(self, split):
        return iter(read_pool(self._pool))


class SquadPool(SquadTask):
    """Finds the answers in the windows of a pool."""

    def __init__(self, pool, squad_file):
        settings = SquadSettings("1.1", dropout_prob=0.0)
        super().__init__(_NoTokenizer(), settings, train_file=squad_file)
        self._pool = pool

    def fingerprint(self, split):
        return {"pool": _hash_of(self._pool)}

    def features(self, split):
        return iter(read_pool(self._pool))


class AllLogits(PretrainingTask):
    """Predicts the tokens at all positions, and gives most of these losses a weight of 0."""

    def head(self, model, features, is_training):
        labels = tf.reshape(features[LABELS], [-1])
        logits = heads.masked_lm_logits(model, tf.ones_like(features[LABELS], tf.bool))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.maximum(labels, 0), logits=logits
        )
        orders = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=features[ORDER_LABELS], logits=heads.sentence_order_logits(model)
        )
        weights = tf.cast(labels >= 0, tf.float32)
        return ModelOutput([tf.reduce_sum(weights * losses), tf.reduce_sum(orders)], {})


def _hash_of(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Pacing(tf.train.SessionRunHook):
    """Runs as many steps as each request asks for, and answers with their time and real tokens."""

    def __init__(self, channel):
        self._channel = channel
        self._token_counts = []
        self._num_left = 0
        self._memory = None

    def estimator(self, model_fn, *args, **kwargs):
        """Returns a tf.estimator.Estimator that trains at this pace, and counts tokens."""

        def counting(features, mode):
            spec = model_fn(features, mode)
            self._token_counts.append(tf.reduce_sum(features[INPUT_MASK]))
            return spec

        return _PacedEstimator(self._original(counting, *args, **kwargs), self)

    def install(self):
        """Makes the engine use this estimator."""
        self._original = tf.estimator.Estimator
        tf.estimator.Estimator = self.estimator

    def begin(self):
        self._num_tokens = tf.add_n(self._token_counts)

    def before_run(self, run_context):
        if self._num_left == 0:
            if self._memory is None:
                self._memory = ResidentMemory()
            else:
                self._answer(time.perf_counter() - self._started)
            self._num_left = self._channel.next_request()["steps"]
            self._tokens = 0
            self._started = time.perf_counter()
        return tf.train.SessionRunArgs(self._num_tokens)

    def after_run(self, run_context, run_values):
        self._tokens += int(run_values.results)
        self._num_left -= 1

    def _answer(self, seconds):
        memory = _gpu_peak()
        self._channel.reply(
            seconds=seconds,
            tokens=self._tokens,
            memory=self._memory.peak_growth() if memory is None else memory,
        )


class _PacedEstimator:
    """An Estimator, which allows no subclass to change its methods, with one more hook."""

    def __init__(self, estimator, hook):
        self._estimator = estimator
        self._hook = hook

    def __getattr__(self, name):
        return getattr(self._estimator, name)

    def train(self, input_fn, hooks=(), **kwargs):
        self._estimator.train(input_fn, hooks=[*hooks, self._hook], **kwargs)


def _gpu_peak():
    """Returns the peak of the GPU's allocator in bytes, None without GPU or on TensorFlow 1.15."""
    if not (devices.IS_TF2 and tf.config.list_physical_devices("GPU")):
        return None
    return tf.config.experimental.get_memory_info("GPU:0")["peak"]


def engine_of(spec, channel, task, **settings):
    """Returns the Engine that trains or predicts as the spec says."""
    known = {field.name for field in dataclasses.fields(FinetuneConfig)}
    settings.update(spec.get("settings", {}))
    if "precision" in known or spec["precision"] != "fp32":
        settings["precision"] = spec["precision"]
    unknown = set(settings) - known
    if unknown:
        channel.skip(f"FinetuneConfig has no {', '.join(sorted(unknown))}")
    config = FinetuneConfig(
        albert_config=AlbertConfig(**spec["model"]),
        output_dir=tempfile.mkdtemp(dir=spec["work_dir"]),
        device_type=spec["device_type"],
        num_devices=spec.get("replicas", 1),
        learning_rate=1e-5,
        save_checkpoints_steps=_ENDLESS,
        **settings,
    )
    return training.Engine(task, config)


def train(spec, channel):
    """Trains on a pool: {"steps": n} -> {"seconds", "tokens", "memory"}."""
    engine = engine_of(
        spec, channel, _task_of(spec), train_batch_size=spec["batch_size"], train_steps=_ENDLESS
    )
    Pacing(channel).install()
    engine.train()


def _task_of(spec):
    if "sequences" in spec:
        inputs = {"train": open_inputs(spec["sequences"], "sequences")}
        tokenizer = data.tokenizer_of(types.SimpleNamespace(**spec))
        kind = AllLogits if spec.get("all_logits") else PretrainingTask
        return kind(inputs, tokenizer, PretrainingSettings())
    is_squad = spec.get("squad_file")
    return SquadPool(spec["pool"], is_squad) if is_squad else ClassifierPool(spec["pool"])


def predict(spec, channel):
    """Predicts the classes of a whole pool: {} -> {"seconds"}."""
    engine = engine_of(
        spec,
        channel,
        ClassifierPool(spec["pool"]),
        predict_batch_size=spec["batch_size"],
        train_batch_size=1,
        train_steps=1,  # which makes the checkpoint to predict with
    )
    engine.train()
    while True:
        channel.next_request()
        started = time.perf_counter()
        engine.predict()
        channel.reply(seconds=time.perf_counter() - started)


def convert(spec, channel):
    """Converts training texts to a feature file: {} -> {"seconds", "memory"}."""
    tokenizer = data.tokenizer_of(types.SimpleNamespace(**spec))
    while True:
        channel.next_request()
        memory = ResidentMemory()
        with tempfile.TemporaryDirectory(dir=spec["work_dir"]) as folder:
            started = time.perf_counter()
            task = data.make_task(spec["task"], tokenizer, spec["data_dir"], spec["squad_file"])
            config = FinetuneConfig(AlbertConfig(**spec["model"]), output_dir=folder)
            training.feature_file(task, config, "train")
            seconds = time.perf_counter() - started
        channel.reply(seconds=seconds, memory=memory.peak_growth())


def limits(spec, channel):
    """Measures the machine: {} -> {"flops", "bandwidth"}, per second."""
    devices.prepare()
    device = devices.choose(spec["device_type"], 1)
    dtype = {"fp32": tf.float32, "bf16": tf.bfloat16, "fp16": tf.float16}[spec["precision"]]
    rows = _ROWS[device[0][1:4]]
    num_gpus = len(tf.config.experimental.list_physical_devices("GPU"))
    machine = {"Python": platform.python_version(), "TensorFlow": tf.__version__, "GPUs": num_gpus}
    with tf.Graph().as_default(), tf.device(device[0]):
        left = tf.Variable(tf.ones([rows, _INNER], dtype))
        right = tf.Variable(tf.ones([_INNER, _COLUMNS], dtype))
        product = tf.matmul(left, right).op
        numbers = tf.Variable(tf.ones([spec["num_numbers"]]))
        added = tf.Variable(tf.ones([spec["num_numbers"]]))
        addition = tf.assign_add(numbers, added).op  # in place
        with tf.Session(config=devices.session_config(device)) as session:
            session.run(tf.global_variables_initializer())
            while True:
                channel.next_request()
                try:
                    seconds = fastest(lambda: session.run(product))
                except tf.errors.OpError as error:  # no such product here
                    channel.skip(error.message.split("\n")[0])
                added_in = fastest(lambda: session.run(addition))
                channel.reply(
                    flops=2 * rows * _INNER * _COLUMNS / seconds,
                    bandwidth=3 * 4 * spec["num_numbers"] / added_in,  # reads two, writes one
                    machine=machine,
                )


MODES = {"train": train, "predict": predict, "convert": convert, "limits": limits}


def main():
    spec = json.loads(sys.argv[1])
    channel = Channel()
    logging.basicConfig(level=logging.INFO)
    try:
        MODES[spec["mode"]](spec, channel)
    except UsageError as error:
        channel.skip(str(error))


if __name__ == "__main__":
    main()
