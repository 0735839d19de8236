"""Classification tasks, those of GLUE and your own, and the head they share."""

import abc
import dataclasses
import hashlib
import json
import os
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Type

import numpy as np
import tensorflow.compat.v1 as tf

from albert import tokenization
from albert.common import files
from albert.common.errors import UsageError
from albert.engine.task import INPUT_IDS, Feature, ModelOutput, Predictions, Task
from albert.glue import metrics
from albert.glue.files import cannot_read, read_rows, read_tsv
from albert.glue.table import GLUE_ROWS, OWN_TASKS, check_task_name
from albert.nn.layers import ClassLogits

# How many texts to tokenize at once: enough to be fast, few enough to need little memory.
_TEXTS_AT_ONCE = 1024


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

    Attributes:
        best_metric: the metric that decides which checkpoint is best (higher is better).
    """

    best_metric = "accuracy"

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
        return metrics.accuracy(labels, predictions)

    @staticmethod
    def _read_tsv(path):
        """Returns the cells of each line of a tab-separated file in which quotes are plain text."""
        return [cells for _, cells in read_tsv(path, has_header=False)]


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
    name = name.lower()
    check_task_name(name, _PROCESSORS)
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

    def evaluate(self, predictions: Predictions) -> Dict[str, float]:
        """Returns the task's metrics."""
        values: Dict[str, float] = {}
        for split, rows in predictions.items():
            labels = [self._label_value(example.label) for example in self.examples(split)]
            values.update(self._metrics(split, labels, self._decisions(rows)))
        return values

    def write_predictions(
        self,
        predictions: Predictions,
        output_dir: str,
        metrics: Optional[Dict[str, float]] = None,
    ) -> List[str]:
        """Writes these files, with a row for each test example, and returns their paths:

        - test_results.tsv, for the first test split: the probabilities, or the score.
        - submit_results.tsv, for the first test split: the id and the label.
        - a submission file for each split: the number, from 0, and the label.
        """
        first, *_ = predictions
        paths = []
        for split, rows in predictions.items():
            answers = [self._answer(decision) for decision in self._decisions(rows)]
            tables: Dict[str, List[Sequence[Any]]] = {
                self._submission_name(split): [("index", "prediction"), *enumerate(answers)]
            }
            if split == first:
                guids = [example.guid for example in self.examples(split)]
                tables["submit_results.tsv"] = [("index", "prediction"), *zip(guids, answers)]
                tables["test_results.tsv"] = [
                    [row["scores"]] if self.is_regression else row["probabilities"] for row in rows
                ]
            for name, table in tables.items():
                paths.append(os.path.join(output_dir, name))
                files.write_tsv(paths[-1], table)
        return paths

    def _check_label(self, label, where):
        """Raises UsageError, with the location of the example, unless the label is valid."""
        if self.labels is None:
            try:
                is_number = np.isfinite(float(label))
            except (TypeError, ValueError):
                is_number = False
            if not is_number:
                raise UsageError(f"{where}: label {label!r} is not a number.")
        elif label not in self.labels:
            raise UsageError(f"{where}: label {label!r} is not one of {', '.join(self.labels)}.")

    def _label_value(self, label):
        if self.labels is None:
            return float(label or 0.0)
        return self.labels.index(label) if label is not None else 0

    def _decisions(self, rows):
        """Returns the predicted label id, or score, for each row of predictions."""
        if self.is_regression:
            return [float(row["scores"]) for row in rows]
        return [int(np.argmax(row["probabilities"])) for row in rows]

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
        return {"data": digest, "columns": dataclasses.asdict(self._row.splits[split])}

    def _read_examples(self, split):
        path, columns = self._path(split), self._row.splits[split]
        found: List[InputExample] = []
        for row in read_rows(path, columns):
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
        self._processor = _PROCESSORS[name]()
        labels = self._processor.get_labels()
        # In the original a regression returns [None].
        self.labels = tuple(labels) if labels and labels[0] is not None else None
        self.best_metric = self._processor.best_metric

    def _read_examples(self, split):
        reader = f"get_{split}_examples"
        found = list(getattr(self._processor, reader)(self._data_dir))
        method = f"{type(self._processor).__name__}.{reader}"
        if not found:
            raise UsageError(f"{method} found no examples in <data_dir>.", data_dir=self._data_dir)
        if split not in self.test_splits:
            for example in found:
                self._check_label(example.label, f"{method}: example {example.guid}")
        return found

    def _origin(self, split):
        digest = hashlib.sha256()
        for example in self.examples(split):
            digest.update(json.dumps([example.text_a, example.text_b, example.label]).encode())
        return {"examples": digest.hexdigest()}

    def _metrics(self, split, labels, decisions):
        return self._processor.get_metrics(labels, decisions)


def classification_logits(model: Any, num_outputs: int, dropout_prob: float) -> Any:
    """Returns dropout and a linear layer on the pooled output: float [batch, num_outputs]."""
    pooled = model.dropout(model.get_pooled_output(), dropout_prob)  # [batch, hidden]
    return ClassLogits(pooled.shape.as_list()[-1], num_outputs)(pooled)


def softmax_output(logits: Any, labels: Any) -> ModelOutput:
    """Returns the output for a choice among n classes: logits [batch, n], labels [batch]."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return ModelOutput(tf.reduce_mean(losses), {"probabilities": tf.nn.softmax(logits)}, losses)
