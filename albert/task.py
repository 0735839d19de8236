"""The contract between a task and the engine. A new task touches no line of the engine."""

import abc
from typing import Any, Dict, NamedTuple

import tensorflow.compat.v1 as tf

from albert import modeling
from albert.input_pipeline import INPUT_IDS, INPUT_MASK


class ModelOutput(NamedTuple):
    """What a head returns.

    Attributes:
        loss: scalar float32, the mean over the batch; may be None outside training.
        predictions: {name: tensor [batch, ...]}, what `evaluate` and `write_predictions` need;
            a batch is one of features, however many sequences a feature has.
    """

    loss: Any
    predictions: Dict[str, Any]


class Task(abc.ABC):
    """One fine-tuning job: its data, its head, its metrics, its result files.

    A split is a name such as "train" or "dev". Predictions of a split come as a list with one dict
    a feature, {name: NumPy array or scalar}, in the order in which `features` yielded them.

    Attributes:
        name: str, lower case, part of file names.
        model_name: str, name of the task whose models it can use; mostly its own.
        best_metric: str, the key of `evaluate` that decides which checkpoint is best (higher wins).
        shown_metrics: tuple of str, the keys of `evaluate` to show on the screen and in curves;
            none for all.
        train_split: str.
        dev_splits: tuple of str, all evaluated together.
        test_splits: tuple of str, all predicted together.
    """

    name: str
    best_metric: str
    shown_metrics = ()
    train_split = "train"
    dev_splits = ("dev",)
    test_splits = ("test",)

    @property
    def model_name(self):
        return self.name

    @abc.abstractmethod
    def fingerprint(self, split):
        """Returns everything that shapes the features of a split, as a dict for JSON."""

    def settings(self):
        """Returns {name: value} to show among the hyperparameters in eval_results.txt."""
        return {}

    @abc.abstractmethod
    def features(self, split):
        """Yields one dict per feature, {name: list of int, int or float}, unpadded.

        A feature of several sequences, such as the options of a question, has a list of lists.
        """

    @abc.abstractmethod
    def feature_spec(self):
        """Returns {name: input_pipeline.Feature} of what `features` yields."""

    @abc.abstractmethod
    def head(self, model, features, is_training):
        """Returns the ModelOutput, given an AlbertModel and a batch of features.

        Where a feature has n sequences the model has seen batch * n of them, one after another.
        Dropout in a head goes through `model.dropout`, which makes it repeatable.
        """

    @abc.abstractmethod
    def evaluate(self, predictions):
        """Returns {metric: float}, given {dev split: its predictions}."""

    @abc.abstractmethod
    def write_predictions(self, predictions, output_dir):
        """Writes the result files and returns their paths, given {test split: predictions}."""


def build(task, albert_config, features, is_training, dropout_seed=None, packed_tokens=True):
    """Returns the task's ModelOutput on a new AlbertModel in the current graph.

    Args:
        features: {name: tensor}, a batch as `input_pipeline` makes it.
        dropout_seed: int64 tensor [2], used if `is_training`.
        packed_tokens: compute real tokens only, not padding.
    """
    if not is_training:
        dropout_seed = tf.zeros([2], tf.int64)
    model = modeling.AlbertModel(
        albert_config,
        is_training,
        *(_sequences(features[name]) for name in (INPUT_IDS, INPUT_MASK, "segment_ids")),
        dropout_seed=dropout_seed,
        packed_tokens=packed_tokens,
    )
    return task.head(model, features, is_training)


def _sequences(tensor):
    """Returns what the model sees: [batch, seq] as it is, [batch, n, seq] -> [batch * n, seq]."""
    if tensor.shape.ndims == 2:
        return tensor
    return tf.reshape(tensor, [-1, tf.shape(tensor)[-1]])
