"""Classification tasks, GLUE's and one's own, and the head they share."""

import abc
import dataclasses
import hashlib
import json
import logging
import os
from typing import Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert import modeling, tokenization
from albert.common import files
from albert.common.errors import UsageError
from albert.engine.task import INPUT_IDS, Feature, ModelOutput, Task
from albert.glue import metrics
from albert.glue.files import cannot_read, read_tsv
from albert.glue.table import GLUE_ROWS

# Texts that are handed to the tokenizer at once: enough to be fast, few enough to be cheap.
_TEXTS_AT_ONCE = 1024

_log = logging.getLogger(__name__)


class InputExample:
    """One labelled or unlabelled text, or pair of texts.

    Args:
        guid: str, unique within its split.
        text_a: str.
        text_b: str, or None for a single text.
        label: str, or None in test data.
    """

    def __init__(self, guid, text_a, text_b=None, label=None):
        self.guid = guid
        self.text_a = text_a
        self.text_b = text_b
        self.label = label


class DataProcessor(abc.ABC):
    """A task of one's own: how to read its data, and its labels.

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
        best_metric: which metric decides on the best checkpoint (higher is better).
    """

    best_metric = "accuracy"

    @abc.abstractmethod
    def get_train_examples(self, data_dir):
        """Returns a list of InputExample with labels."""

    @abc.abstractmethod
    def get_dev_examples(self, data_dir):
        """Returns a list of InputExample with labels."""

    @abc.abstractmethod
    def get_test_examples(self, data_dir):
        """Returns a list of InputExample without labels."""

    @abc.abstractmethod
    def get_labels(self):
        """Returns the labels, a list of str; None for a regression, whose labels are numbers."""

    def get_metrics(self, labels, predictions):
        """Returns {name: float}, given label ids, or scores in a regression. Here: accuracy."""
        return metrics.accuracy(labels, predictions)

    @staticmethod
    def _read_tsv(path):
        """Returns the cells of each line of a tab-separated file without quoting."""
        return [cells for _, cells in read_tsv(path, has_header=False)]


_PROCESSORS = {}


def register(task_name):
    """Returns a class decorator that makes a DataProcessor known as --task_name=task_name.

    Raises:
        ValueError: the name is that of another task.
    """

    def decorate(processor_class):
        name = task_name.lower()
        if name in GLUE_ROWS or _PROCESSORS.get(name, processor_class) is not processor_class:
            raise ValueError(f"There is a task called {name} already.")
        _PROCESSORS[name] = processor_class
        return processor_class

    return decorate


def make_task(name, *args, **kwargs):
    """Returns the ClassifierTask of that name, with the arguments of its constructor.

    Raises:
        UsageError: there is no such task.
    """
    name = name.lower()
    if name in _PROCESSORS:
        return ProcessorTask(name, *args, **kwargs)
    if name in GLUE_ROWS:
        return GlueTask(name, *args, **kwargs)
    known = ", ".join(sorted((*GLUE_ROWS, *_PROCESSORS)))
    raise UsageError(f"--task_name={name} is unknown; it must be one of {known}.")


class ClassifierTask(Task):
    """Classification of, or regression on, a text or a pair of texts.

    Args:
        name: str, the task's name in lower case.
        data_dir: folder of the data.
        tokenizer: tokenization.FullTokenizer.
        max_seq_length: int, longest sequence in tokens, special tokens included.
        classifier_dropout_prob: float, dropout on the pooled output.

    Attributes:
        labels: tuple of str in the order of their ids; None for a regression.
    """

    labels: Optional[Tuple[str, ...]]
    _label_range = (-np.inf, np.inf)

    def __init__(self, name, data_dir, tokenizer, max_seq_length, classifier_dropout_prob=0.1):
        self.name = name
        self._data_dir = data_dir
        self._tokenizer = tokenizer
        self._max_seq_length = max_seq_length
        self._classifier_dropout_prob = classifier_dropout_prob
        self._examples = {}

    @abc.abstractmethod
    def _read_examples(self, split):
        """Returns the InputExamples of a split, in the order of the file."""

    @abc.abstractmethod
    def _origin(self, split):
        """Returns what the examples of a split come from, as a dict for JSON."""

    @abc.abstractmethod
    def _metrics(self, split, labels, decisions):
        """Returns the metrics of one dev split."""

    def _submission(self, split):
        """Returns the name of the file to hand in."""
        return f"{self.name}_{split}.tsv"

    @property
    def is_regression(self):
        """Whether the label is a float."""
        return self.labels is None

    def examples(self, split):
        """Returns the InputExamples of a split, in the order of the file.

        Raises:
            UsageError: there are none, or one has a label that is not allowed.
        """
        if split not in self._examples:
            self._examples[split] = self._read_examples(split)
        return self._examples[split]

    def fingerprint(self, split):
        """Returns what shapes the features of a split, as a dict for JSON."""
        return {
            "task": self.name,
            "split": split,
            "origin": self._origin(split),
            "labels": self.labels,
            "tokenizer": self._tokenizer.fingerprint(),
            "max_seq_length": self._max_seq_length,
        }

    def settings(self):
        """Returns {name: value} to show among the hyperparameters."""
        return {"Task": self.name, "Max sequence length": self._max_seq_length}

    def feature_spec(self):
        """Returns {name: Feature}; the label is an id, or the score of a regression."""
        return {
            INPUT_IDS: Feature(tf.int32),
            "segment_ids": Feature(tf.int32),
            "label_ids": Feature(tf.float32 if self.is_regression else tf.int32, is_sequence=False),
        }

    def features(self, split):
        """Yields one dict an example; test examples bear label 0."""
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

    def head(self, model, features, is_training):
        """Returns softmax cross-entropy, or the squared error of a regression, on [CLS]."""
        rate = self._classifier_dropout_prob if is_training else 0.0
        num_outputs = 1 if self.is_regression else len(self.labels)
        logits = classification_logits(model, num_outputs, rate)  # [batch, num_outputs]
        labels = features["label_ids"]  # [batch]
        if not self.is_regression:
            return softmax_output(logits, labels)
        scores = tf.squeeze(logits, axis=-1)
        losses = tf.squared_difference(scores, labels)
        return ModelOutput(tf.reduce_mean(losses), {"scores": scores, "losses": losses})

    def evaluate(self, predictions):
        """Returns the task's metrics, and the mean loss over all dev splits."""
        values, losses = {}, []
        for split, rows in predictions.items():
            labels = [self._label_value(example.label) for example in self.examples(split)]
            values.update(self._metrics(split, labels, self._decisions(rows)))
            losses += [row["losses"] for row in rows]
        return dict(values, loss=float(np.mean(losses, dtype=np.float64)))

    def write_predictions(self, predictions, output_dir):
        """Writes test_results.tsv, submit_results.tsv and the files to hand in; returns the paths.

        test_results.tsv holds the probabilities (or the score) of each test example and
        submit_results.tsv its id and label, both of the first test split. Each split has a file to
        hand in, with the number from 0 and the label of each example.
        """
        first, *_ = predictions
        paths = []
        for split, rows in predictions.items():
            answers = [self._answer(decision) for decision in self._decisions(rows)]
            tables = {self._submission(split): [("index", "prediction"), *enumerate(answers)]}
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

    def _check_label(self, label, place):
        """Raises UsageError, naming the place, unless the label is one of the task's."""
        if self.is_regression:
            try:
                is_allowed = np.isfinite(float(label))
            except (TypeError, ValueError):
                is_allowed = False
            if not is_allowed:
                raise UsageError(f"{place}: label {label!r} is not a number.")
        elif label not in self.labels:
            raise UsageError(f"{place}: label {label!r} is not one of {', '.join(self.labels)}.")

    def _label_value(self, label):
        if self.is_regression:
            return float(label or 0.0)
        return self.labels.index(label) if label is not None else 0

    def _decisions(self, rows):
        """Returns one label id, or score, for each row of predictions."""
        if self.is_regression:
            return [float(row["scores"]) for row in rows]
        return [int(np.argmax(row["probabilities"])) for row in rows]

    def _answer(self, decision):
        if self.is_regression:
            return float(np.clip(decision, *self._label_range))
        return self.labels[decision]


class GlueTask(ClassifierTask):
    """A GLUE task, by the row of its name in GLUE_ROWS."""

    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self._row = row = GLUE_ROWS[name]
        self.labels = row.labels
        self.best_metric = row.best_metric
        self._label_range = row.label_range
        self.dev_splits = tuple(split for split in row.splits if split.startswith("dev"))
        self.test_splits = tuple(
            split
            for split, place in row.splits.items()
            if place.submission and not (place.is_optional and not self._exists(split))
        )

    @property
    def model_name(self):
        """The task whose models predict this one."""
        return self._row.model_of or self.name

    def _path(self, split):
        if split not in self._row.splits:
            raise UsageError(
                f"--task_name={self.name} has no labelled data: it is for --do_predict alone, "
                f"with a model of {self.model_name}."
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
        wanted = [columns.text_a, columns.text_b, columns.label, columns.guid]
        num_needed = 1 + max(column for column in wanted if column is not None)
        if columns.label == -1:  # the last column, which must not be one of the texts
            num_needed += 1
        found, num_short = [], 0
        for number, cells in read_tsv(path, columns.has_header):
            if len(cells) < num_needed:
                if not columns.skips_short_rows:
                    raise UsageError(
                        f"{path}:{number}: {len(cells)} columns found, "
                        f"at least {num_needed} expected."
                    )
                num_short += 1
                continue
            text_a, text_b, label, guid = (None if c is None else cells[c] for c in wanted)
            if columns.label is not None:
                self._check_label(label, f"{path}:{number}")
            found.append(InputExample(guid or f"{split}-{len(found)}", text_a, text_b, label))
        if num_short:
            _log.warning("%s: %d rows with too few columns are left out.", path, num_short)
        if not found:
            raise UsageError(f"{path} holds no examples.")
        return found

    def _metrics(self, split, labels, decisions):
        suffix = self._row.splits[split].suffix
        values = self._row.metric_function(labels, decisions)
        return {name + suffix: value for name, value in values.items()}

    def _submission(self, split):
        return self._row.splits[split].submission


class ProcessorTask(ClassifierTask):
    """A task whose data a registered DataProcessor reads."""

    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self._processor = _PROCESSORS[name]()
        labels = self._processor.get_labels()
        # The original's regression returned [None].
        self.labels = tuple(labels) if labels and labels[0] is not None else None
        self.best_metric = self._processor.best_metric

    def _read_examples(self, split):
        reader = f"get_{split}_examples"
        found = list(getattr(self._processor, reader)(self._data_dir))
        place = f"{type(self._processor).__name__}.{reader}"
        if not found:
            raise UsageError(f"{place} found no examples in --data_dir={self._data_dir}.")
        if split not in self.test_splits:
            for example in found:
                self._check_label(example.label, f"{place}: example {example.guid}")
        return found

    def _origin(self, split):
        digest = hashlib.sha256()
        for example in self.examples(split):
            digest.update(json.dumps([example.text_a, example.text_b, example.label]).encode())
        return {"examples": digest.hexdigest()}

    def _metrics(self, split, labels, decisions):
        return self._processor.get_metrics(labels, decisions)


def classification_logits(model, num_outputs, dropout_rate):
    """Returns pooled output @ output_weights^T + output_bias: float [batch, num_outputs]."""
    pooled = model.dropout(model.get_pooled_output(), dropout_rate)  # [batch, hidden]
    width = pooled.shape.as_list()[-1]
    weights = tf.get_variable(
        "output_weights", [num_outputs, width], initializer=modeling.create_initializer()
    )
    bias = tf.get_variable("output_bias", [num_outputs], initializer=tf.zeros_initializer())
    return tf.nn.bias_add(tf.matmul(pooled, weights, transpose_b=True), bias)


def softmax_output(logits, labels):
    """Returns the ModelOutput of one choice among classes: logits [batch, n], labels [batch]."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    predictions = {"probabilities": tf.nn.softmax(logits), "losses": losses}
    return ModelOutput(tf.reduce_mean(losses), predictions)
