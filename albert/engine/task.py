"""The contract between a task and the engine. A new task touches no line of the engine."""

import abc
from typing import Any, Dict, NamedTuple

INPUT_IDS = "input_ids"
INPUT_MASK = "input_mask"  # made by the input pipeline, 1 where input_ids has a token; never stored


class Feature(NamedTuple):
    """How one feature is stored and batched.

    Attributes:
        dtype: tf.int32 or tf.float32, of the batched tensor.
        is_sequence: one value a token (batched to [batch, longest]) or a single one ([batch]).
        padding: what fills a sequence up to the longest of its batch.
        num_sequences: if more than 1, a feature is a list of so many sequences, all for one
            example (batched to [batch, num_sequences, longest]).
        is_input: whether the model reads it. One that the model does not read is only needed to
            evaluate or to write predictions: it is not there in training, and comes back among the
            predictions, as it was batched.
    """

    dtype: Any
    is_sequence: bool = True
    padding: int = 0
    num_sequences: int = 1
    is_input: bool = True

    @property
    def shape(self):
        """The shape of the batched tensor, None where it is up to the batch."""
        if not self.is_sequence:
            return [None]
        return [None, None] if self.num_sequences == 1 else [None, self.num_sequences, None]


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
    a feature, {name: NumPy array or scalar}, in the order in which `features` yielded them. Beside
    what the head predicts a dict holds the features that are no input of the model.

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
        """Returns {name: Feature} of what `features` yields."""

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
