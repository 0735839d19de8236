"""Predicts with checkpoints on all local devices, in the order of the input.

The strategy used for training would lose examples here: a mirrored graph drops the last batches if
there is not one for every device. Instead each device runs its own session on its own copy of the
graph and takes the next batch when it is free. Batches do not depend on the number of devices, so
neither do the predictions. They hold features of similar length; see read_batches.
"""

import concurrent.futures
import threading
from typing import Any, Dict, List, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert import modeling
from albert.engine import checkpoints, pretrained
from albert.engine import devices as devices_lib
from albert.engine.input_pipeline import FeatureFile, batches_of, read_batches
from albert.engine.model_fn import build
from albert.engine.task import INPUT_IDS, LOSSES, Task, model_inputs
from albert.modeling import AlbertConfig


class Predictor:
    """Runs a task's model for inference. The graphs are built at the first call and then reused.

    Args:
        devices: names of the devices to use.
        packed_tokens: compute only real tokens, not padding.
        precision: of products and activations, a key of nn.precision.COMPUTE_TYPES.
        use_xla: see AlbertModel.
    """

    def __init__(
        self,
        task: Task,
        albert_config: AlbertConfig,
        devices: Sequence[str],
        packed_tokens: bool = True,
        precision: str = "fp32",
        use_xla: bool = False,
    ) -> None:
        self._task = task
        self._albert_config = albert_config
        self._devices = devices
        self._packed_tokens = packed_tokens
        self._precision = precision
        self._use_xla = use_xla
        self._spec = task.feature_spec()
        self._workers: List[_Worker] = []
        self._shapes: Dict[str, List[int]] = {}

    def predict(
        self,
        checkpoint: str,
        feature_file: FeatureFile,
        batch_size: Optional[int] = None,
        setting: str = "predict_batch_size",
    ) -> List[Dict[str, Any]]:
        """Returns one dict per feature, {name: value}, in the order of the file.

        Args:
            checkpoint: prefix of the checkpoint to restore.
            batch_size: features that a device takes at a time; None for as many as suit it.
            setting: that of the batch size, for an error.

        Raises:
            UsageError: the checkpoint is damaged, the feature file has changed, or a device has not
                enough memory for the weights or for a batch.
        """
        self.restore(checkpoint)
        batches = read_batches(feature_file, self._spec, batch_size, self.num_tokens)
        return self._run(batches, setting)

    def restore(self, checkpoint: str) -> None:
        """Reads a checkpoint, for all calls of `predict_features` that follow.

        Raises:
            UsageError: the checkpoint is damaged, or a device has not enough memory for it.
        """
        if not self._workers:
            self._workers = self._make_workers()
        try:
            for worker in self._workers:
                worker.restore(checkpoint)
        except tf.errors.ResourceExhaustedError as error:
            raise devices_lib.no_memory_for_weights(self._devices) from error
        except tf.errors.OpError:
            checkpoints.check(checkpoint)
            raise

    def predict_features(
        self, features: Sequence[Dict[str, Any]], batch_size: Optional[int] = None
    ) -> List[Dict[str, Any]]:
        """Returns one dict per feature, as `predict`; a checkpoint has been restored."""
        batches = batches_of(features, self._spec, batch_size, self.num_tokens)
        return self._run(batches, "predict_batch_size")

    @property
    def num_tokens(self) -> int:
        """How many tokens, padding included, a batch has on a device by default."""
        return devices_lib.tokens_to_predict(self._devices[0])

    def _run(self, iterator, setting):
        """Returns the rows of all batches, (positions, batch), in the order of the positions."""
        batches = _SharedIterator(iterator)
        rows: Dict[int, Dict[str, Any]] = {}
        with concurrent.futures.ThreadPoolExecutor(len(self._workers)) as pool:
            futures = [pool.submit(worker.run, batches, rows, setting) for worker in self._workers]
            try:
                done, _ = concurrent.futures.wait(futures, return_when="FIRST_EXCEPTION")
                for future in done:
                    future.result()
            except BaseException:  # including Ctrl-C: the other devices stop after their batch
                batches.stop()
                raise
        return [rows[position] for position in sorted(rows)]

    def check(self, checkpoint: str, setting: str) -> None:
        """Raises UsageError unless a checkpoint holds every variable of the task's model.

        Args:
            setting: the one that names it.
        """
        if not self._workers:
            self._workers = self._make_workers()
        pretrained.check_complete(checkpoint, self._shapes, setting)

    def _make_workers(self):
        """Builds the graph once and copies it to the other devices, which is faster."""
        config = devices_lib.session_config(self._devices)
        with tf.Graph().as_default() as graph, tf.device(self._devices[0]):
            tf.set_random_seed(1)  # of initial values, never used, for devices.make_deterministic
            inputs = {
                name: tf.placeholder(feature.dtype, feature.shape)
                for name, feature in model_inputs(self._spec).items()
            }
            output = build(
                self._task,
                self._albert_config,
                inputs,
                is_training=False,
                packed_tokens=self._packed_tokens,
                precision=self._precision,
                use_xla=self._use_xla,
            )
            fetches = {name: tensor.name for name, tensor in _output_tensors(output).items()}
            feeds = {name: tensor.name for name, tensor in inputs.items()}
            self._shapes = {
                modeling.name_of(variable): variable.shape.as_list()
                for variable in tf.global_variables()
            }
            saver_def = tf.train.Saver(tf.global_variables()).as_saver_def()
        graph_def = graph.as_graph_def()
        workers = [_Worker(graph, config, feeds, fetches, saver_def)]
        for device in self._devices[1:]:
            with tf.Graph().as_default() as copy:
                tf.import_graph_def(_on_device(graph_def, self._devices[0], device), name="")
            workers.append(_Worker(copy, config, feeds, fetches, saver_def))
        return workers


class _Worker:
    """A session on one device."""

    def __init__(self, graph, config, feeds, fetches, saver_def):
        self._session = tf.Session(graph=graph, config=config)
        self._feeds = feeds
        self._fetches = fetches
        self._saver_def = saver_def

    def restore(self, checkpoint: str) -> None:
        """Reads the values of all variables."""
        self._session.run(
            self._saver_def.restore_op_name, {self._saver_def.filename_tensor_name: checkpoint}
        )

    def run(
        self, batches: "_SharedIterator", rows: Dict[int, Dict[str, Any]], setting: str
    ) -> None:
        """Adds {position in the file: predictions} to `rows`, of batch after batch."""
        for positions, batch in batches:
            feed = {self._feeds[name]: batch[name] for name in self._feeds}
            not_fed = {name: batch[name] for name in batch if name not in self._feeds}
            try:
                outputs = self._session.run(self._fetches, feed)
            except tf.errors.ResourceExhaustedError as error:
                num_features, *_, length = batch[INPUT_IDS].shape
                raise devices_lib.no_memory_to_predict(num_features, length, setting) from error
            rows.update(zip(positions.tolist(), _split_batch(dict(not_fed, **outputs))))


class _SharedIterator:
    """An iterator that several threads can share, and that can be stopped."""

    def __init__(self, iterator):
        self._iterator = iterator
        self._lock = threading.Lock()
        self._stopped = False

    def __iter__(self):
        return self

    def __next__(self):
        with self._lock:
            if self._stopped:
                raise StopIteration
            return next(self._iterator)

    def stop(self) -> None:
        """Ends the iteration for all threads."""
        self._stopped = True


def _output_tensors(output):
    """Returns {name: tensor} of everything in a ModelOutput that is returned as a prediction."""
    losses = {} if output.losses is None else {LOSSES: output.losses}
    return dict(output.predictions, **losses)


def _on_device(graph_def, first, device):
    """Returns a copy of the graph with every node on the first device moved to another one.

    What is pinned to the host stays there.
    """
    pinned = tf.DeviceSpec.from_string(first).to_string()
    moved = tf.GraphDef()
    moved.CopyFrom(graph_def)
    for node in moved.node:
        if node.device == pinned:
            node.device = device
    return moved


def _split_batch(batch):
    """Yields one dict per feature: {name: [batch, ...]} -> {name: [...]}."""
    names = list(batch)
    for values in zip(*batch.values()):
        yield dict(zip(names, values))
