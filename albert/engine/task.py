"""The interface between tasks and the engine. A new task needs no change to the engine."""

import abc
import enum
import hashlib
import json
import os
from types import MappingProxyType
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np

from albert.common.errors import UsageError
from albert.common.tables import Row

INPUT_IDS = "input_ids"
INPUT_MASK = "input_mask"  # made by the input pipeline, not stored: 1 for real tokens
LOSSES = "losses"
RECORD = "run.json"  # the file in an output_dir that records the settings of its run

# {split: one dict per feature, {name: NumPy array or scalar}}, in the order of `Task.features`.
# A dict holds the predictions of the head, and the features that are not inputs of the model.
Predictions = Dict[str, List[Dict[str, Any]]]


class Feature(NamedTuple):
    """How one feature is stored and batched.

    Attributes:
        dtype: tf.int32 or tf.float32, of the batched tensor.
        is_sequence: True for one value per token (batched to [batch, longest]), False for a single
            value ([batch]).
        padding: the value that fills a sequence up to the longest of its batch.
        num_sequences: if more than 1, an example has this many sequences (batched to
            [batch, num_sequences, longest]).
        is_input: whether the model reads it. A feature that it does not read is for evaluation and
            result files: it is skipped in training and returned, padded, with the predictions.
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
    """What a head returns. `batch` is the number of features, however many sequences each has.

    Attributes:
        loss_sums: the terms of the loss, each a scalar float32 summed over the batch; the engine
            divides each by its weight, see `Task.loss_weights`. May be empty outside training.
        predictions: {name: tensor [batch, ...]}, for `evaluate` and `write_predictions`.
        losses: float32 [batch], the loss of each feature; evaluations report its mean as `loss`.
            None if the task has no loss outside training.
        exported: {name: tensor [batch, ...]} that an exported model returns, computed without
            labels, such as `logits`; None for the predictions.
    """

    loss_sums: Sequence[Any]
    predictions: Dict[str, Any]
    losses: Any = None
    exported: Optional[Dict[str, Any]] = None


class Shard(NamedTuple):
    """A file of serialized features.

    Attributes:
        path: of the file.
        num_features: how many it has.
        num_bytes: its size.
    """

    path: str
    num_features: int
    num_bytes: int


class PreparedFeatures(NamedTuple):
    """Features that another command has made, in any number of files.

    Attributes:
        shards: the files.
        fingerprint: a hash; equal for equal features.
        spec: {name: how that feature is stored}.
        as_batch: returns the batch that the head takes, {name: tensor}, given the batch as it is
            stored and the epoch of each feature, int64 [batch]. It is called in the input pipeline
            and may draw what must differ from epoch to epoch.
    """

    shards: Sequence[Shard]
    fingerprint: str
    spec: Mapping[str, Feature]
    as_batch: Callable[[Dict[str, Any], Any], Dict[str, Any]]

    @property
    def num_features(self) -> int:
        """How many there are in all shards."""
        return sum(shard.num_features for shard in self.shards)

    def content(self) -> Dict[str, Any]:
        """Returns {what it is: value} of all that makes them equal to others."""
        return {
            "the origin of the features": self.fingerprint,
            "the number of features": self.num_features,
        }

    def find_change(self) -> Optional[str]:
        """Returns what has happened to the files since they were opened, or None."""
        for path, _, num_bytes in self.shards:
            if not os.path.exists(path) or os.path.getsize(path) != num_bytes:
                return (
                    f"{path} was removed or changed while it was in use. Make it again; then the "
                    "same command goes on from the last checkpoint."
                )
        return None


class Change(enum.Enum):
    """What a start does where a setting is not what it was at the last start in that output_dir.

    | member              | example            | training | evaluation and prediction |
    |---------------------|--------------------|----------|---------------------------|
    | REFUSED             | labels, vocabulary | refused  | refused                   |
    | REFUSED_IN_TRAINING | seed               | refused  | allowed                   |
    | WARNED              | max_seq_length     | warned   | warned                    |
    | WARNED_IN_TRAINING  | learning_rate      | warned   | allowed                   |
    | ALLOWED             | paths, devices     | allowed  | allowed                   |
    """

    REFUSED = "refused"
    REFUSED_IN_TRAINING = "refused in training"
    WARNED = "warned"
    WARNED_IN_TRAINING = "warned in training"
    ALLOWED = "allowed"

    def is_refused(self, is_training: bool) -> bool:
        """Returns whether such a change is an error."""
        return self is Change.REFUSED or (is_training and self is Change.REFUSED_IN_TRAINING)

    def is_warned(self, is_training: bool) -> bool:
        """Returns whether the log must warn of such a change."""
        return self is Change.WARNED or (is_training and self is Change.WARNED_IN_TRAINING)


class Setting(NamedTuple):
    """A setting of a run, to be recorded and compared.

    Attributes:
        value: a JSON value; None if it is not given.
        change: what to do where it has changed.
        shown: what an error calls it.
    """

    value: Any
    change: Change
    shown: str


def settings_of(values: Dict[str, Any], change: Change, shown: str = "<{}>") -> Dict[str, Setting]:
    """Returns {name: Setting}; `shown` is the format of what an error calls a name."""
    return {name: Setting(value, change, shown.format(name)) for name, value in values.items()}


class DataSource(NamedTuple):
    """Where the examples of a split come from.

    Attributes:
        name: a short one, for names of folders, such as a file's without its suffix.
        content: a hash; equal for equal data, wherever they are and whatever is made of them.
    """

    name: str
    content: str

    @classmethod
    def of(cls, path: str, data: Any) -> "DataSource":
        """Returns the source named after a file or folder, given JSON values that identify data."""
        name, _ = os.path.splitext(os.path.basename(os.path.abspath(path)))
        return cls(name, hash_of(data))


def hash_of(data: Any) -> str:
    """Returns a hash that is equal for equal JSON values."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


class Task(abc.ABC):
    """One fine-tuning job: its data, head, metrics and result files.

    A split is a name such as "train" or "dev".

    Attributes:
        name: in lower case; part of file names.
        best_metric: the key of `evaluate` that decides which checkpoint is best.
        greater_is_better: whether its highest value is best; False for losses and errors.
        shown_metrics: the keys of `evaluate` to show in logs and curves; empty means all.
        max_samples: {split: how many of its examples, the first ones, the task is to use}; what is
            not in it is used whole. The engine sets it and makes it part of what identifies data.
        train_split: the split to train on.
        dev_splits: evaluated together.
        test_splits: predicted together.
        starts_from_scratch: whether training without a pre-trained model is what is expected.
    """

    name: str
    best_metric: str
    greater_is_better: bool = True
    shown_metrics: Tuple[str, ...] = ()
    max_samples: Mapping[str, int] = MappingProxyType({})
    train_split: str = "train"
    dev_splits: Tuple[str, ...] = ("dev",)
    test_splits: Tuple[str, ...] = ("test",)
    starts_from_scratch: bool = False

    @property
    def model_name(self) -> str:
        """Name of the task whose models this one uses; by default its own."""
        return self.name

    @property
    def num_segments(self) -> int:
        """How many segments the model must tell apart: 2 for pairs, by default 1."""
        return 1

    @property
    def input_columns(self) -> Mapping[str, int]:
        """{column of loose input: how many texts it holds}; by default there are none."""
        return {}

    def choose_best_by(self, metric: str, known: Iterable[str]) -> None:
        """Lets a metric decide which checkpoint is best; of losses and errors the lowest is.

        Args:
            known: the metrics that evaluations have, beside the loss.

        Raises:
            UsageError: the metric is not among them.
        """
        names = [*known, "loss"]
        if metric not in names:
            raise UsageError(
                f"<best_metric> must be one of {', '.join(names)}.", best_metric=metric
            )
        self.best_metric = metric
        self.greater_is_better = metric not in ("loss", "mse")

    @abc.abstractmethod
    def fingerprint(self, split: str) -> Dict[str, Any]:
        """Returns everything that the features of a split depend on, as JSON values."""

    def settings(self) -> Dict[str, Any]:
        """Returns {key: value} to record in eval_results.json with the engine's own settings."""
        return {}

    @abc.abstractmethod
    def source(self, split: str) -> DataSource:
        """Returns where the examples of a split come from."""

    def run_settings(self) -> Dict[str, Setting]:
        """Returns {name: Setting} of what a model of this task depends on, beside its name."""
        return {}

    @abc.abstractmethod
    def features(self, split: str) -> Iterable[Dict[str, Any]]:
        """Yields one dict per feature, {name: list of int, int or float}, unpadded.

        A feature of several sequences, such as the options of a question, has a list of lists.
        """

    def prepared(self, split: str) -> Optional[PreparedFeatures]:
        """Returns the features of a split that need not be made, or None, which is the default."""
        del split
        return None

    def example_of(self, row: Row) -> Any:
        """Returns the example in a row of loose input, for albert.predict.

        Raises:
            UsageError: a column is missing or holds something else than is needed.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot predict loose input")

    def features_of(self, examples: Sequence[Any]) -> Iterable[Dict[str, Any]]:
        """Yields the features of loose examples, as `features` does of those of a split."""
        raise NotImplementedError

    def results_of(
        self,
        examples: Sequence[Any],
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterable[Dict[str, Any]]:
        """Yields what is predicted of each loose example, as JSON values.

        Args:
            rows: the predictions of their features, in order.
            metrics: those of the checkpoint on the data it was chosen with, for thresholds.
        """
        raise NotImplementedError

    def metadata(self, metrics: Optional[Dict[str, float]]) -> Dict[str, Any]:
        """Returns what a program needs to use an exported model of this task, as JSON values.

        These are its `task_type`, labels in the order of the logits, and what texts are cut to.

        Args:
            metrics: as for `results_of`.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be exported")

    @abc.abstractmethod
    def feature_spec(self) -> Dict[str, Feature]:
        """Returns {name: how that feature is stored and batched}."""

    @abc.abstractmethod
    def head(self, model: Any, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Builds the head on an AlbertModel, given a batch of features.

        If a feature has n sequences, the model's batch consists of batch * n sequences, in order.
        A head uses `model.dropout`: it acts only in training, and its masks are reproducible.
        """

    def loss_weights(self, features: Dict[str, Any]) -> Optional[Sequence[Any]]:
        """Returns what the sum of each loss term is divided by, or None, which is the default.

        None divides every term by the number of examples. Otherwise there is a scalar float32 for
        each term, computed from a batch of features alone, such as the number of labelled tokens.
        The engine adds them up over all replicas and micro-batches before it divides, so that the
        loss is that of the global batch, however it is shared out.
        """
        del features
        return None

    @abc.abstractmethod
    def evaluate(
        self, predictions: Predictions, metrics: Optional[Dict[str, float]] = None
    ) -> Dict[str, float]:
        """Returns the metrics of the dev splits.

        Args:
            metrics: those of the checkpoint on the data it was chosen with, where other data are
                scored: thresholds are taken from there. None chooses them on these data.
        """

    @abc.abstractmethod
    def comparisons(
        self,
        split: str,
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterable[Dict[str, Any]]:
        """Yields what is right and what is predicted of each example of a dev split.

        These are JSON values for dev_predictions.jsonl: at least `gold` and `predicted`, and
        `index` where the example has another number in its file than in the split.

        Args:
            rows: the predictions of the split's features, in order.
            metrics: as for `results_of`.
        """

    @abc.abstractmethod
    def write_predictions(
        self,
        predictions: Predictions,
        output_dir: str,
        metrics: Optional[Dict[str, float]] = None,
    ) -> List[str]:
        """Writes the result files of the test splits and returns their paths.

        Args:
            metrics: those of the checkpoint on the data it was chosen with, for thresholds; None
                if it was never evaluated.
        """


def model_inputs(spec: Mapping[str, Feature]) -> Dict[str, Feature]:
    """Returns {name: Feature} of what the model reads, the mask included."""
    inputs = {name: feature for name, feature in spec.items() if feature.is_input}
    return dict(inputs, **{INPUT_MASK: spec[INPUT_IDS]})


def mean_loss(predictions: Predictions) -> Dict[str, float]:
    """Returns {"loss": mean over all splits}; {} if the head returns no losses."""
    losses = [row[LOSSES] for rows in predictions.values() for row in rows if LOSSES in row]
    return {"loss": float(np.mean(losses, dtype=np.float64))} if losses else {}
