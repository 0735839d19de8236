"""GLUE tasks as rows of a table, and the classification head they share."""

import dataclasses
import os
from typing import Callable, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert import files, metrics, modeling, tokenization
from albert.errors import UsageError
from albert.input_pipeline import INPUT_IDS, Feature
from albert.task import ModelOutput, Task

# Texts that are handed to the tokenizer at once: enough to be fast, few enough to be cheap.
_TEXTS_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class GlueRow:
    """What sets one GLUE task apart: its files' columns, labels and metrics.

    Attributes:
        folder: name of the folder in the data directory.
        labels: the labels in the order of their ids; None for a regression to a float.
        text_a, text_b, label: columns of train and dev (text_b None: one sentence).
        test_id, test_text_a, test_text_b: columns of test.
        metric_function: (labels, predictions) -> {name: float}.
        best_metric: which of them decides on the best checkpoint.
        has_header: whether train and dev begin with a header (test always does).
        label_range: lowest and highest score of a regression, for submissions.
    """

    folder: str
    labels: Optional[Tuple[str, ...]]
    text_a: int
    label: int
    test_text_a: int
    metric_function: Callable
    best_metric: str
    text_b: Optional[int] = None
    test_text_b: Optional[int] = None
    test_id: int = 0
    has_header: bool = True
    label_range: Optional[Tuple[float, float]] = None


GLUE_ROWS = {
    "cola": GlueRow(
        folder="CoLA",
        labels=("0", "1"),
        text_a=3,
        label=1,
        test_text_a=1,
        metric_function=metrics.matthews,
        best_metric="matthews_corr",
        has_header=False,
    ),
    "sst-2": GlueRow(
        folder="SST-2",
        labels=("0", "1"),
        text_a=0,
        label=1,
        test_text_a=1,
        metric_function=metrics.accuracy,
        best_metric="accuracy",
    ),
    "sts-b": GlueRow(
        folder="STS-B",
        labels=None,
        text_a=7,
        text_b=8,
        label=-1,
        test_text_a=7,
        test_text_b=8,
        metric_function=metrics.correlations,
        best_metric="pearson",
        label_range=(0.0, 5.0),
    ),
}


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


class GlueTask(Task):
    """A GLUE task on the engine.

    Args:
        name: key of GLUE_ROWS, in any case.
        data_dir: folder that holds the task's folder.
        tokenizer: tokenization.FullTokenizer.
        max_seq_length: int, longest sequence in tokens, special tokens included.
        classifier_dropout_prob: float, dropout on the pooled output.

    Raises:
        UsageError: there is no such task.
    """

    def __init__(self, name, data_dir, tokenizer, max_seq_length, classifier_dropout_prob=0.1):
        self.name = name.lower()
        if self.name not in GLUE_ROWS:
            known = ", ".join(sorted(GLUE_ROWS))
            raise UsageError(f"--task_name={name} is unknown; it must be one of {known}.")
        self._row = GLUE_ROWS[self.name]
        self._folder = os.path.join(data_dir, self._row.folder)
        self._tokenizer = tokenizer
        self._max_seq_length = max_seq_length
        self._classifier_dropout_prob = classifier_dropout_prob
        self.best_metric = self._row.best_metric
        self._examples = {}

    @property
    def is_regression(self):
        """Whether the label is a float."""
        return self._row.labels is None

    def examples(self, split):
        """Returns the InputExamples of a split, in the order of the file.

        Raises:
            UsageError: the file is missing or empty, or a row has too few columns or an unknown
                label.
        """
        if split not in self._examples:
            self._examples[split] = self._read_examples(split)
        return self._examples[split]

    def _read_examples(self, split):
        row, path = self._row, self._path(split)
        is_test = split in self.test_splits
        columns = (
            (row.test_text_a, row.test_text_b, None)
            if is_test
            else (row.text_a, row.text_b, row.label)
        )
        found = []
        for number, cells in read_tsv(path, has_header=is_test or row.has_header):
            try:
                text_a, text_b, label = (None if c is None else cells[c] for c in columns)
                guid = cells[row.test_id] if is_test else f"{split}-{len(found)}"
            except IndexError:
                needed = 1 + max(column for column in columns if column is not None)
                raise UsageError(
                    f"{path}:{number}: {len(cells)} columns found, at least {needed} expected."
                ) from None
            self._check_label(label, path, number)
            found.append(InputExample(guid, text_a, text_b, label))
        if not found:
            raise UsageError(f"{path} holds no examples.")
        return found

    def fingerprint(self, split):
        """Returns what shapes the features of a split, as a dict for JSON."""
        path = self._path(split)
        return {
            "task": self.name,
            "split": split,
            "data": _hash_of_data(path),
            "row": repr(dataclasses.replace(self._row, metric_function=None)),
            "tokenizer": self._tokenizer.fingerprint(),
            "max_seq_length": self._max_seq_length,
        }

    def settings(self):
        """Returns {name: value} to show among the hyperparameters."""
        return {"Task": self._row.folder, "Max sequence length": self._max_seq_length}

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
        num_outputs = 1 if self.is_regression else len(self._row.labels)
        logits = classification_logits(model, num_outputs, rate)  # [batch, num_outputs]
        labels = features["label_ids"]  # [batch]
        if self.is_regression:
            scores = tf.squeeze(logits, axis=-1)
            losses = tf.squared_difference(scores, labels)
            predictions = {"scores": scores, "losses": losses}
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            predictions = {"probabilities": tf.nn.softmax(logits), "losses": losses}
        return ModelOutput(tf.reduce_mean(losses), predictions)

    def evaluate(self, predictions):
        """Returns the task's metrics and the mean loss over the dev set."""
        (split,) = self.dev_splits
        rows = predictions[split]
        labels = [self._label_value(example.label) for example in self.examples(split)]
        values = self._row.metric_function(labels, self._decisions(rows))
        return dict(values, loss=float(np.mean([row["losses"] for row in rows], dtype=np.float64)))

    def write_predictions(self, predictions, output_dir):
        """Writes test_results.tsv, submit_results.tsv and the file to hand in; returns the paths.

        test_results.tsv holds the probabilities (or the score) of each test example,
        submit_results.tsv its id and label, and the last, named after the task, its number from 0
        and label.
        """
        (split,) = self.test_splits
        rows = predictions[split]
        if self.is_regression:
            outputs = [[row["scores"]] for row in rows]
        else:
            outputs = [row["probabilities"] for row in rows]
        answers = [self._answer(decision) for decision in self._decisions(rows)]
        guids = [example.guid for example in self.examples(split)]
        tables = {
            "test_results.tsv": outputs,
            "submit_results.tsv": [("index", "prediction"), *zip(guids, answers)],
            f"{self._row.folder}.tsv": [("index", "prediction"), *enumerate(answers)],
        }
        paths = []
        for name, table in tables.items():
            paths.append(os.path.join(output_dir, name))
            lines = ("\t".join(str(cell) for cell in line) + "\n" for line in table)
            files.write_text(paths[-1], "".join(lines))
        return paths

    def _path(self, split):
        return os.path.join(self._folder, f"{split}.tsv")

    def _check_label(self, label, path, number):
        if label is None:
            return
        if not self.is_regression:
            if label not in self._row.labels:
                known = ", ".join(self._row.labels)
                raise UsageError(f"{path}:{number}: label {label!r} is not one of {known}.")
            return
        try:
            is_score = np.isfinite(float(label))
        except ValueError:
            is_score = False
        if not is_score:
            raise UsageError(f"{path}:{number}: label {label!r} is not a number.")

    def _label_value(self, label):
        if self.is_regression:
            return float(label or 0.0)
        return self._row.labels.index(label) if label is not None else 0

    def _decisions(self, rows):
        """Returns one label id, or score, for each row of predictions."""
        if self.is_regression:
            return [float(row["scores"]) for row in rows]
        return [int(np.argmax(row["probabilities"])) for row in rows]

    def _answer(self, decision):
        if self.is_regression:
            return float(np.clip(decision, *self._row.label_range))
        return self._row.labels[decision]


def classification_logits(model, num_outputs, dropout_rate):
    """Returns pooled output @ output_weights^T + output_bias: float [batch, num_outputs]."""
    pooled = model.dropout(model.get_pooled_output(), dropout_rate)  # [batch, hidden]
    width = pooled.shape.as_list()[-1]
    weights = tf.get_variable(
        "output_weights", [num_outputs, width], initializer=modeling.create_initializer()
    )
    bias = tf.get_variable("output_bias", [num_outputs], initializer=tf.zeros_initializer())
    return tf.nn.bias_add(tf.matmul(pooled, weights, transpose_b=True), bias)


def read_tsv(path, has_header):
    """Yields (line number from 1, list of cells) for each row of a GLUE file.

    Quoting is off, a byte order mark is skipped, and so are empty lines.

    Raises:
        UsageError: the file cannot be read or is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as reader:
            for number, line in enumerate(reader, 1):
                line = line.rstrip("\r\n")
                if line and not (has_header and number == 1):
                    yield number, line.split("\t")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Is --data_dir right?") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text: {error.reason}.") from error


def _hash_of_data(path):
    try:
        return files.sha256(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}. Is --data_dir right?") from error
