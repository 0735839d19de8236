"""The contract between a task and the engine. A new task touches no line of the engine."""

import abc
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy as np

INPUT_IDS = "input_ids"
INPUT_MASK = "input_mask"  # made by the input pipeline, 1 where input_ids has a token; never stored
LOSSES = "losses"

# {split: one dict a feature, {name: NumPy array or scalar}}, in the order of `Task.features`.
# Beside what the head predicts, a dict holds the features that are no input of the model.
Predictions = Dict[str, List[Dict[str, Any]]]


class Feature(NamedTuple):
    """How one feature is stored and batched.

    Attributes:
        dtype: tf.int32 or tf.float32, of the batched tensor.
        is_sequence: one value a token (batched to [batch, longest]) or a single one ([batch]).
        padding: what fills a sequence up to the longest of its batch.
        num_sequences: if more than 1, a feature is a list of so many sequences, all for one
            example (batched to [batch, num_sequences, longest]).
        is_input: whether the model reads it. One that it does not read serves evaluation and result
            files: it is not read in training, and comes back with the predictions, padded.
    """

    dtype: Any
    is_sequence: bool = True
    padding: int = 0
    num_sequences: int = 1
    is_input: bool = True

    @property
    def shape(self) -> List[Optional[int]]:
        """The shape of the batched tensor, None where it depends on the batch."""
        if not self.is_sequence:
            return [None]
        return [None, None] if self.num_sequences == 1 else [None, self.num_sequences, None]


class ModelOutput(NamedTuple):
    """What a head returns. A batch is one of features, however many sequences a feature has.

    Attributes:
        loss: scalar float32, the mean over the batch; may be None outside training.
        predictions: {name: tensor [batch, ...]}, what `evaluate` and `write_predictions` need.
        losses: float32 [batch], the loss of each feature, where the loss is their mean outside
            training too; evaluations then report their mean as `loss`.
    """

    loss: Any
    predictions: Dict[str, Any]
    losses: Any = None


class Task(abc.ABC):
    """One fine-tuning job: its data, its head, its metrics, its result files.

    A split is a name such as "train" or "dev".

    Attributes:
        name: lower case, part of file names.
        best_metric: the key of `evaluate` that decides which checkpoint is best (higher is better).
        shown_metrics: the keys of `evaluate` to show on the screen and in curves; none for all.
        train_split: the split to train on.
        dev_splits: evaluated together.
        test_splits: predicted together.
    """

    name: str
    best_metric: str
    shown_metrics: Tuple[str, ...] = ()
    train_split: str = "train"
    dev_splits: Tuple[str, ...] = ("dev",)
    test_splits: Tuple[str, ...] = ("test",)

    @property
    def model_name(self) -> str:
        """Name of the task whose models this one can use; mostly its own."""
        return self.name

    @abc.abstractmethod
    def fingerprint(self, split: str) -> Dict[str, Any]:
        """Returns everything that shapes the features of a split, for JSON."""

    def settings(self) -> Dict[str, Any]:
        """Returns {key: value} of what to record in eval_results.json beside the engine's own."""
        return {}

    @abc.abstractmethod
    def features(self, split: str) -> Iterable[Dict[str, Any]]:
        """Yields one dict a feature, {name: list of int, int or float}, unpadded.

        A feature of several sequences, such as the options of a question, has a list of lists.
        """

    @abc.abstractmethod
    def feature_spec(self) -> Dict[str, Feature]:
        """Returns how each of what `features` yields is stored and batched."""

    @abc.abstractmethod
    def head(self, model: Any, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Builds the head on an AlbertModel, given a batch of features.

        Where a feature has n sequences the model has seen batch * n of them, one after another.
        Dropout in a head goes through `model.dropout`, which acts in training only and repeats.
        """

    @abc.abstractmethod
    def evaluate(self, predictions: Predictions) -> Dict[str, float]:
        """Returns the metrics of the dev splits."""

    @abc.abstractmethod
    def write_predictions(self, predictions: Predictions, output_dir: str) -> List[str]:
        """Writes the result files of the test splits and returns their paths."""


def mean_loss(predictions: Predictions) -> Dict[str, float]:
    """Returns {"loss": mean over all splits}; {} where the head gives no losses."""
    losses = [row[LOSSES] for rows in predictions.values() for row in rows if LOSSES in row]
    return {"loss": float(np.mean(losses, dtype=np.float64))} if losses else {}
