"""Classification tasks, those of GLUE and your own, and the head they share."""

import abc
import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import os
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple, Type

import numpy as np
import tensorflow.compat.v1 as tf

from albert import tokenization
from albert.common import files
from albert.common.errors import UsageError
from albert.engine.task import (
    INPUT_IDS,
    Change,
    DataSource,
    Feature,
    ModelOutput,
    Predictions,
    Setting,
    Task,
    settings_of,
)
from albert.glue import metrics as glue_metrics
from albert.glue.files import TsvRow, cannot_read, read_rows, read_tsv
from albert.glue.table import GLUE_ROWS, OWN_TASKS, check_task_name
from albert.nn.layers import ClassLogits

# How many texts to tokenize at once: enough to be fast, few enough to need little memory.
_TEXTS_AT_ONCE = 1024

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class InputExample:
    """One labelled or unlabelled text, or pair of texts.

    Attributes:
        guid: unique within its split.
        text_b: None for a single text.
        label: None in test data.
    """

    guid: str
    text_a: str
    text_b: Optional[str] = None
    label: Optional[str] = None


class DataProcessor(abc.ABC):
    """Base class for a task of your own: reads its data and lists its labels.

        @classifier_utils.register("polarity")
        class Polarity(classifier_utils.DataProcessor):
            def get_train_examples(self, data_dir): ...
            def get_dev_examples(self, data_dir): ...
            def get_test_examples(self, data_dir): ...
            def get_labels(self):
                return ["negative", "positive"]

        if __name__ == "__main__":
            run_multigpus_classifier.run()

    Labels may be numbers, too: they are compared as text. What a method raises ends the program in
    one line; --verbosity=1 shows its traceback.

    Attributes:
        best_metric: the metric that decides which checkpoint is best: a key of `get_metrics`, or
            "loss".
        greater_is_better: whether its highest value is best; False for losses and errors.
    """

    best_metric = "accuracy"
    greater_is_better = True

    @abc.abstractmethod
    def get_train_examples(self, data_dir: str) -> List[InputExample]:
        """Returns the training examples, with labels."""

    @abc.abstractmethod
    def get_dev_examples(self, data_dir: str) -> List[InputExample]:
        """Returns the dev examples, with labels."""

    @abc.abstractmethod
    def get_test_examples(self, data_dir: str) -> List[InputExample]:
        """Returns the test examples, without labels."""

    @abc.abstractmethod
    def get_labels(self) -> Optional[List[str]]:
        """Returns the labels, or None for a regression, whose labels are numbers."""

    def get_metrics(self, labels: Sequence[Any], predictions: Sequence[Any]) -> Dict[str, float]:
        """Returns the metrics, given label ids, or scores for a regression; by default accuracy."""
        return glue_metrics.accuracy(labels, predictions)

    @staticmethod
    def _read_tsv(path):
        """Returns the cells of each line of a tab-separated file in which quotes are plain text."""
        return list(read_tsv(path))


_PROCESSORS: Dict[str, Type[DataProcessor]] = OWN_TASKS


def register(task_name: str) -> Callable[[Type[DataProcessor]], Type[DataProcessor]]:
    """Returns a class decorator that registers a DataProcessor as the task of that name.

    Raises:
        ValueError: the name is taken by another task.
    """

    def decorate(processor_class):
        name = task_name.lower()
        if name in GLUE_ROWS or _PROCESSORS.get(name, processor_class) is not processor_class:
            raise ValueError(f"There is already a task called {name}.")
        _PROCESSORS[name] = processor_class
        return processor_class

    return decorate


def make_task(name: str, *args: Any, **kwargs: Any) -> "ClassifierTask":
    """Returns the ClassifierTask of that name; the arguments are those of its constructor.

    Raises:
        UsageError: there is no such task.
    """
    check_task_name(name, _PROCESSORS)
    name = name.lower()
    return (ProcessorTask if name in _PROCESSORS else GlueTask)(name, *args, **kwargs)


class ClassifierTask(Task):
    """Classification or regression of a text or a pair of texts.

    Args:
        name: the task's name in lower case.
        data_dir: folder of the data.
        max_seq_length: longest sequence, in tokens including special tokens.
        classifier_dropout_prob: dropout rate on the pooled output.

    Attributes:
        labels: in the order of their ids; None for a regression.
    """

    labels: Optional[Tuple[str, ...]]
    _label_range = (-np.inf, np.inf)

    def __init__(
        self,
        name: str,
        data_dir: str,
        tokenizer: tokenization.FullTokenizer,
        max_seq_length: int,
        classifier_dropout_prob: float = 0.1,
    ) -> None:
        self.name = name
        self._data_dir = data_dir
        self._tokenizer = tokenizer
        self._max_seq_length = max_seq_length
        self._classifier_dropout_prob = classifier_dropout_prob
        self._examples: Dict[str, List[InputExample]] = {}

    @abc.abstractmethod
    def _read_examples(self, split):
        """Returns the InputExamples of a split, in the order of the file."""

    @abc.abstractmethod
    def _origin(self, split):
        """Returns what identifies the data of a split, as JSON values."""

    @abc.abstractmethod
    def _metrics(self, split, labels, decisions):
        """Returns the metrics of a dev split."""

    def _submission_name(self, split):
        """Returns the name of the submission file for a test split."""
        return f"{self.name}_{split}.tsv"

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers."""
        return self.labels is None

    def examples(self, split: str) -> List[InputExample]:
        """Returns the InputExamples of a split, in the order of the file.

        Raises:
            UsageError: there are none, or one has an invalid label.
        """
        if split not in self._examples:
            self._examples[split] = self._read_examples(split)
        return self._examples[split]

    @property
    def num_segments(self) -> int:
        """2 if an example read so far is a pair, else 1."""
        examples = (example for split in self._examples.values() for example in split)
        return 2 if any(example.text_b for example in examples) else 1

    def fingerprint(self, split: str) -> Dict[str, Any]:
        """Returns everything that the features of a split depend on, as JSON values."""
        return {
            "task": self.name,
            "split": split,
            "origin": self._origin(split),
            "labels": self.labels,
            "tokenizer": self._tokenizer.fingerprint(),
            "max_seq_length": self._max_seq_length,
        }

    def source(self, split: str) -> DataSource:
        """Returns the data folder, and the hash of the split's data."""
        return DataSource.of(self._data_dir, self._origin(split))

    def run_settings(self) -> Dict[str, Setting]:
        """Returns the labels, what the tokens depend on, and the dropout rate."""
        model = {"labels": list(self.labels or ()), **self._tokenizer.fingerprint()}
        dropout = {"classifier_dropout_prob": self._classifier_dropout_prob}
        return {
            **settings_of(model, Change.REFUSED, "{} of the task"),
            **settings_of({"max_seq_length": self._max_seq_length}, Change.WARNED),
            **settings_of(dropout, Change.WARNED_IN_TRAINING),
        }

    def settings(self) -> Dict[str, Any]:
        """Returns what to record with the engine's settings."""
        return {"task": self.name, "max_seq_length": self._max_seq_length}

    def feature_spec(self) -> Dict[str, Feature]:
        """Returns how an example is stored; its label is an id, or the score for a regression."""
        return {
            INPUT_IDS: Feature(tf.int32),
            "segment_ids": Feature(tf.int32),
            "label_ids": Feature(tf.float32 if self.is_regression else tf.int32, is_sequence=False),
        }

    def features(self, split: str) -> Iterator[Dict[str, Any]]:
        """Yields one dict per example; test examples have label 0."""
        examples = self.examples(split)
        for start in range(0, len(examples), _TEXTS_AT_ONCE):
            chunk = examples[start : start + _TEXTS_AT_ONCE]
            ids_a = self._tokenizer.encode_batch([example.text_a for example in chunk])
            ids_b = self._tokenizer.encode_batch([example.text_b or "" for example in chunk])
            for example, first, second in zip(chunk, ids_a, ids_b):
                sequence = tokenization.build_sequence(
                    self._tokenizer, first, second or None, self._max_seq_length
                )
                yield dict(sequence._asdict(), label_ids=self._label_value(example.label))

    def head(self, model: Any, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Returns the softmax cross-entropy, or the squared error for a regression, on [CLS]."""
        del is_training
        num_outputs = 1 if self.labels is None else len(self.labels)
        logits = classification_logits(model, num_outputs, self._classifier_dropout_prob)
        labels = features["label_ids"]  # [batch]
        if not self.is_regression:
            return softmax_output(logits, labels)
        scores = tf.squeeze(logits, axis=-1)
        losses = tf.squared_difference(scores, labels)
        return ModelOutput(tf.reduce_mean(losses), {"scores": scores}, losses)

    def evaluate(
        self, predictions: Predictions, metrics: Optional[Dict[str, float]] = None
    ) -> Dict[str, float]:
        """Returns the task's metrics, all NaN for a split with predictions that are not finite.

        It logs a warning if every prediction is the same label, and the examples' are not.
        """
        values: Dict[str, float] = {}
        outcomes: Set[Tuple[Any, Any]] = set()  # label and decision
        for split, rows in predictions.items():
            labels = self._label_values(split)
            if self._num_not_finite(rows):
                names = self._metrics(split, labels, labels)
                values.update(dict.fromkeys(names, math.nan))
            else:
                decisions = self._decisions(rows)
                values.update(self._metrics(split, labels, decisions))
                outcomes.update(zip(labels, decisions))
        self._warn_of_one_class(outcomes)
        return values

    def _warn_of_one_class(self, outcomes):
        labels, decisions = ({pair[index] for pair in outcomes} for index in (0, 1))
        if self.labels is not None and len(decisions) == 1 and len(labels) > 1:
            _log.warning(
                "Every prediction is %r: the model does not tell the labels apart.",
                self.labels[decisions.pop()],
            )

    def write_predictions(
        self,
        predictions: Predictions,
        output_dir: str,
        metrics: Optional[Dict[str, float]] = None,
    ) -> List[str]:
        """Writes these files, with a row for each test example, and returns their paths:

        - test_results.tsv, for the first test split: the probabilities, or the score.
        - submit_results.tsv, for the first test split: the id and the label; one that could break
          the table stands there as a JSON string.
        - a submission file for each split: the number, from 0, and the label.

        Predictions that are not finite, whose labels mean nothing, are counted and logged.
        """
        first, *_ = predictions
        paths = []
        for split, rows in predictions.items():
            num_not_finite = self._num_not_finite(rows)
            if num_not_finite:
                _log.warning(
                    "%s: %d of %d predictions are not finite: the model has diverged.",
                    split,
                    num_not_finite,
                    len(rows),
                )
            answers = [files.as_cell(self._answer(each)) for each in self._decisions(rows)]
            tables: Dict[str, List[Sequence[Any]]] = {
                self._submission_name(split): [("index", "prediction"), *enumerate(answers)]
            }
            if split == first:
                guids = [files.as_cell(example.guid) for example in self.examples(split)]
                tables["submit_results.tsv"] = [("index", "prediction"), *zip(guids, answers)]
                tables["test_results.tsv"] = [
                    [row["scores"]] if self.is_regression else row["probabilities"] for row in rows
                ]
            for name, table in tables.items():
                paths.append(os.path.join(output_dir, name))
                files.write_tsv(paths[-1], table)
        return paths

    def _is_label(self, text):
        """Returns whether a text can be a label."""
        if self.labels is not None:
            return text in self.labels
        low, high = self._label_range
        try:
            return low <= float(text) <= high and math.isfinite(float(text))
        except (TypeError, ValueError):
            return False

    def _check_label(self, label, where):
        """Raises UsageError, with the location of the example, unless the label is valid."""
        if self._is_label(label):
            return
        if self.labels is not None:
            allowed = f"one of {', '.join(map(files.as_cell, self.labels))}"
        elif math.isfinite(self._label_range[1]):
            allowed = "a number from {:g} to {:g}".format(*self._label_range)
        else:
            allowed = "a number"
        raise UsageError(f"{where}: label {label!r} is not {allowed}.")

    def _label_value(self, label):
        if self.labels is None:
            return float(label or 0.0)
        return self.labels.index(label) if label is not None else 0

    def _label_values(self, split):
        return [self._label_value(example.label) for example in self.examples(split)]

    def _outputs(self, rows):
        """Returns the scores [n], or the probabilities [n, classes], of n rows of predictions."""
        name = "scores" if self.is_regression else "probabilities"
        return np.array([row[name] for row in rows])

    def _num_not_finite(self, rows):
        is_finite = np.isfinite(self._outputs(rows)).reshape(len(rows), -1).all(axis=1)
        return int(np.count_nonzero(~is_finite))

    def _decisions(self, rows):
        """Returns the predicted label id, or score, for each row of predictions."""
        outputs = self._outputs(rows)
        return (outputs if self.is_regression else outputs.argmax(axis=-1)).tolist()

    def _answer(self, decision):
        if self.labels is None:
            return float(np.clip(decision, *self._label_range))
        return self.labels[decision]


class GlueTask(ClassifierTask):
    """A GLUE task, defined by its row in GLUE_ROWS."""

    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self._row = row = GLUE_ROWS[name]
        self.labels = row.labels
        self.best_metric = row.best_metric
        self._label_range = row.label_range or self._label_range
        self.dev_splits = tuple(split for split in row.splits if split.startswith("dev"))
        # An optional split is predicted only if its file exists.
        self.test_splits = tuple(
            split
            for split, file in row.splits.items()
            if file.submission and not (file.is_optional and not self._exists(split))
        )

    @property
    def model_name(self) -> str:
        """Name of the task whose models predict this one."""
        return self._row.model_of or self.name

    @property
    def num_segments(self) -> int:
        """2 for a task of pairs, else 1."""
        return 2 if any(split.text_b for split in self._row.splits.values()) else 1

    def _path(self, split):
        if split not in self._row.splits:
            raise UsageError(
                "<task_name> has no labelled data: it is for <do_predict> alone, with a model of "
                f"{self.model_name}.",
                task_name=self.name,
                do_predict=None,
            )
        return os.path.join(self._data_dir, *self._row.splits[split].path.split("/"))

    def _exists(self, split):
        return os.path.exists(self._path(split))

    def _origin(self, split):
        path = self._path(split)
        try:
            digest = files.sha256(path)
        except OSError as error:
            raise cannot_read(path, error) from error
        columns = dataclasses.asdict(self._row.splits[split])
        # Its name in earlier releases, so that what they have cached and evaluated still counts.
        columns["skips_short_rows"] = columns.pop("skips_uneven_rows")
        return {"data": digest, "columns": columns}

    def _read_examples(self, split):
        path, columns = self._path(split), self._row.splits[split]
        found: List[InputExample] = []
        for row in read_rows(path, columns, self._is_label):
            if columns.label is not None:
                self._check_label(row.label, row.where)
            guid = row.guid or f"{split}-{len(found)}"
            found.append(InputExample(guid, row.text_a, row.text_b, row.label))
        return found

    def _metrics(self, split, labels, decisions):
        suffix = self._row.splits[split].suffix
        values = self._row.metric_function(labels, decisions)
        return {name + suffix: value for name, value in values.items()}

    def _submission_name(self, split):
        return self._row.splits[split].submission


class ProcessorTask(ClassifierTask):
    """A task whose data is read by a registered DataProcessor."""

    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self._class = _PROCESSORS[name].__name__
        with _one_line(self._class):
            self._processor = _PROCESSORS[name]()
        self.labels = self._read_labels()
        self.best_metric = self._processor.best_metric
        self.greater_is_better = self._processor.greater_is_better

    def _read_labels(self):
        method = f"{self._class}.get_labels"
        with _one_line(method):
            found = self._processor.get_labels()
            if found is None:
                return None
            labels = [None if label is None else str(label) for label in found]
        if labels[:1] == [None]:  # what a regression returns in the original
            return None
        if not labels:
            raise UsageError(f"{method} returned no labels; a regression returns None.")
        if len(set(labels)) < len(labels):
            raise UsageError(f"{method} returned a label twice: {', '.join(map(repr, labels))}.")
        return tuple(labels)

    def _read_examples(self, split):
        reader = f"get_{split}_examples"
        method = f"{self._class}.{reader}"
        has_labels = split not in self.test_splits
        with _one_line(method):
            read = getattr(self._processor, reader)(self._data_dir)
            found = [_with_text_as_label(example, has_labels) for example in read]
        if not found:
            raise UsageError(f"{method} found no examples in <data_dir>.", data_dir=self._data_dir)
        for example in found:
            where = f"{method}: example {files.as_cell(example.guid)}"
            for text in (example.text_a, example.text_b or ""):
                if not isinstance(text, str):
                    raise UsageError(
                        f"{where}: {text!r:.50} is not text, but {type(text).__name__}."
                    )
            if has_labels:
                self._check_label(example.label, where)
        if split in self.dev_splits:
            self._check_best_metric(split, [self._label_value(each.label) for each in found])
        return found

    def _check_best_metric(self, split, labels):
        """Raises UsageError unless the evaluation of a split will have the best metric."""
        names = [*self._metrics(split, labels, labels), "loss"]
        if self.best_metric not in names:
            raise UsageError(
                f"{self._class}.best_metric is {self.best_metric!r}, but the metrics are "
                f"{', '.join(names)}."
            )
        if self.best_metric == "loss" and self.greater_is_better:
            raise UsageError(
                f"{self._class}.best_metric is 'loss', of which the lowest is best: set "
                "greater_is_better = False in the class."
            )

    def _origin(self, split):
        digest = hashlib.sha256()
        for example in self.examples(split):
            digest.update(json.dumps([example.text_a, example.text_b, example.label]).encode())
        return {"examples": digest.hexdigest()}

    def _metrics(self, split, labels, decisions):
        with _one_line(f"{self._class}.get_metrics"):
            found = self._processor.get_metrics(labels, decisions)
            return {str(name): float(value) for name, value in found.items()}


def _with_text_as_label(example, has_label):
    """Returns an example of a user's class as an InputExample, without a label in a test split."""
    label = str(example.label) if has_label and example.label is not None else None
    return InputExample(example.guid, example.text_a, example.text_b, label)


@contextlib.contextmanager
def _one_line(method: str) -> Iterator[None]:
    """Turns what a user's own code raises into a UsageError that names the method and the row."""
    TsvRow.last_read = ""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # anything can be wrong with code that we do not know
        message = " ".join(f"{type(error).__name__}: {error}".split())
        row = f" (last row read: {TsvRow.last_read})" if TsvRow.last_read else ""
        raise UsageError(
            f"{method} failed{row}: {message} (<verbosity>=1 shows the traceback)", verbosity=None
        ) from error


def classification_logits(model: Any, num_outputs: int, dropout_prob: float) -> Any:
    """Returns dropout and a linear layer on the pooled output: float [batch, num_outputs]."""
    pooled = model.dropout(model.get_pooled_output(), dropout_prob)  # [batch, hidden]
    return ClassLogits(pooled.shape.as_list()[-1], num_outputs)(pooled)


def softmax_output(logits: Any, labels: Any) -> ModelOutput:
    """Returns the output for a choice among n classes: logits [batch, n], labels [batch]."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return ModelOutput(tf.reduce_mean(losses), {"probabilities": tf.nn.softmax(logits)}, losses)
