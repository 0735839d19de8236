"""What labels a classification task has: one class, a number, or any number of labels.

A kind of labels decides how a label is stored, which loss trains the model, and what a prediction
means. `outputs` are the predictions of the head for n examples.
"""

import abc
import json
import math
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert.common import files
from albert.engine.task import Feature, ModelOutput
from albert.glue.columns import CLASSIFICATION, MULTI_LABEL, REGRESSION

THRESHOLD = "threshold"  # the metric that says from which probability on a label is predicted


def kind_of(task_type: str, names: Sequence[str]) -> "LabelKind":
    """Returns the kind of labels of one of columns.TASK_TYPES."""
    if task_type == REGRESSION:
        return Scores()
    return (Classes if task_type == CLASSIFICATION else LabelSets)(tuple(names))


class LabelKind(abc.ABC):
    """One kind of labels.

    Attributes:
        task_type: one of columns.TASK_TYPES.
        names: the labels in the order of their ids; empty for numbers.
        feature: how a label is stored.
    """

    task_type: str
    names: Tuple[str, ...] = ()
    feature: Feature
    _output: str  # the prediction of the head

    @property
    def num_outputs(self) -> int:
        """How many logits a text has."""
        return len(self.names)

    @property
    @abc.abstractmethod
    def allowed(self) -> str:
        """What a label may be, for errors."""

    @abc.abstractmethod
    def is_label(self, label: Any) -> bool:
        """Returns whether an example may have this label."""

    @abc.abstractmethod
    def value(self, label: Any) -> Any:
        """Returns what is stored for a label; None, as of test data, counts as the first."""

    def as_json(self, label: Any) -> Any:
        """Returns a label as JSON value, as `result` returns what is predicted."""
        return label

    @abc.abstractmethod
    def output(self, logits: Any, values: Any) -> ModelOutput:
        """Returns the losses and predictions: logits [batch, num_outputs], values [batch, ...]."""

    @abc.abstractmethod
    def decisions(self, outputs: np.ndarray, metrics: Optional[Dict[str, float]]) -> List[Any]:
        """Returns the predicted value of each of n outputs.

        Args:
            metrics: of the checkpoint, for what was chosen with them.
        """

    @abc.abstractmethod
    def answer(self, decision: Any) -> str:
        """Returns a predicted value as the text of a label."""

    @abc.abstractmethod
    def result(self, output: Any, metrics: Optional[Dict[str, float]]) -> Dict[str, Any]:
        """Returns what is predicted of one text, as JSON values."""

    def chosen(self, outputs: np.ndarray, values: Sequence[Any]) -> Dict[str, float]:
        """Returns the metrics that decisions depend on, chosen on labelled examples."""
        del outputs, values
        return {}

    def choices_in(self, metrics: Optional[Dict[str, float]]) -> Dict[str, float]:
        """Returns what decisions depend on, of a checkpoint's metrics."""
        del metrics
        return {}

    def outputs(self, rows: Sequence[Dict[str, Any]]) -> np.ndarray:
        """Returns the outputs in n rows of predictions: float [n] or [n, num_outputs]."""
        return np.array([row[self._output] for row in rows])


class Classes(LabelKind):
    """One of several labels, by softmax."""

    task_type = CLASSIFICATION
    feature = Feature(tf.int32, is_sequence=False)
    _output = "probabilities"

    def __init__(self, names: Tuple[str, ...]) -> None:
        self.names = names

    @property
    def allowed(self) -> str:
        return f"one of {', '.join(map(files.as_cell, self.names))}"

    def is_label(self, label: Any) -> bool:
        return label in self.names

    def value(self, label: Any) -> Any:
        return self.names.index(label) if label is not None else 0

    def output(self, logits: Any, values: Any) -> ModelOutput:
        return softmax_output(logits, values)

    def decisions(self, outputs: np.ndarray, metrics: Optional[Dict[str, float]]) -> List[Any]:
        return outputs.argmax(axis=-1).tolist()

    def answer(self, decision: Any) -> str:
        return self.names[decision]

    def result(self, output: Any, metrics: Optional[Dict[str, float]]) -> Dict[str, Any]:
        best = int(np.argmax(output))
        return {
            "label": self.names[best],
            "score": float(output[best]),
            "probabilities": dict(zip(self.names, map(float, output))),
        }


class Scores(LabelKind):
    """A number, by the squared error.

    Args:
        low, high: the limits of a label, to which answers are cut.
    """

    task_type = REGRESSION
    feature = Feature(tf.float32, is_sequence=False)
    num_outputs = 1
    _output = "scores"

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        self._low, self._high = low, high

    @property
    def allowed(self) -> str:
        is_limited = math.isfinite(self._high)
        return f"a number from {self._low:g} to {self._high:g}" if is_limited else "a number"

    def is_label(self, label: Any) -> bool:
        try:
            return self._low <= float(label) <= self._high and math.isfinite(float(label))
        except (TypeError, ValueError):
            return False

    def value(self, label: Any) -> Any:
        return float(label or 0.0)

    def as_json(self, label: Any) -> Any:
        return float(label)

    def output(self, logits: Any, values: Any) -> ModelOutput:
        scores = tf.squeeze(logits, axis=-1)
        losses = tf.squared_difference(scores, values)
        return ModelOutput([tf.reduce_sum(losses)], {"scores": scores}, losses, {"logits": logits})

    def decisions(self, outputs: np.ndarray, metrics: Optional[Dict[str, float]]) -> List[Any]:
        return outputs.tolist()

    def answer(self, decision: Any) -> str:
        return str(float(np.clip(decision, self._low, self._high)))

    def result(self, output: Any, metrics: Optional[Dict[str, float]]) -> Dict[str, Any]:
        return {"score": float(output)}


class LabelSets(LabelKind):
    """Any number of labels, each by a sigmoid of its own; a label of an example is a tuple.

    The loss of an example is the mean over the labels, as Hugging Face's and PyTorch's.
    """

    task_type = MULTI_LABEL
    feature = Feature(tf.float32)
    _output = "probabilities"

    def __init__(self, names: Tuple[str, ...]) -> None:
        self.names = names

    @property
    def allowed(self) -> str:
        return f"of {', '.join(map(files.as_cell, self.names))}"

    def is_label(self, label: Any) -> bool:
        return label is not None and set(label) <= set(self.names)

    def value(self, label: Any) -> Any:
        return [float(name in (label or ())) for name in self.names]

    def as_json(self, label: Any) -> Any:
        return [name for name in self.names if name in label]

    def output(self, logits: Any, values: Any) -> ModelOutput:
        each = tf.nn.sigmoid_cross_entropy_with_logits(labels=values, logits=logits)
        losses = tf.reduce_mean(each, axis=-1)
        predictions = {"probabilities": tf.nn.sigmoid(logits)}
        exported = {"logits": logits, **predictions}
        return ModelOutput([tf.reduce_sum(losses)], predictions, losses, exported)

    def decisions(self, outputs: np.ndarray, metrics: Optional[Dict[str, float]]) -> List[Any]:
        return (outputs >= _threshold(metrics)).astype(int).tolist()

    def answer(self, decision: Any) -> str:
        names = [name for name, is_there in zip(self.names, decision) if is_there]
        return json.dumps(names, ensure_ascii=False)

    def result(self, output: Any, metrics: Optional[Dict[str, float]]) -> Dict[str, Any]:
        probabilities = dict(zip(self.names, map(float, output)))
        threshold = _threshold(metrics)
        return {
            "label": [name for name, value in probabilities.items() if value >= threshold],
            "probabilities": probabilities,
        }

    def choices_in(self, metrics: Optional[Dict[str, float]]) -> Dict[str, float]:
        return {THRESHOLD: _threshold(metrics)}

    def chosen(self, outputs: np.ndarray, values: Sequence[Any]) -> Dict[str, float]:
        """Returns the threshold with the best micro-averaged F1, the highest of equal ones.

        It lies half-way between two probabilities, so that rounding does not decide.
        """
        probabilities, is_true = np.ravel(outputs), np.ravel(values)
        order = np.argsort(-probabilities, kind="stable")
        ordered = probabilities[order].astype(np.float64)
        num_predicted = np.arange(1, len(ordered) + 1)
        f1 = 2.0 * np.cumsum(is_true[order]) / (num_predicted + is_true.sum())
        following = np.append(ordered[1:], 0.0)
        f1[ordered == following] = -1.0  # no threshold separates them
        best = int(np.argmax(f1))
        return {THRESHOLD: float((ordered[best] + following[best]) / 2.0)}


def softmax_output(logits: Any, labels: Any) -> ModelOutput:
    """Returns the output for a choice among n classes: logits [batch, n], labels [batch]."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    predictions = {"probabilities": tf.nn.softmax(logits)}
    exported = {"logits": logits, **predictions}
    return ModelOutput([tf.reduce_sum(losses)], predictions, losses, exported)


def training_losses(
    logits: Any, labels: Any, class_weights: Optional[Sequence[float]], label_smoothing: float
) -> Any:
    """Returns the cross-entropy with smoothed labels, times the weight of the label: float [batch].

    The target is 1 - label_smoothing for the label, and label_smoothing / classes more for each
    class (arXiv 1512.00567, section 7).

    Args:
        logits: float [batch, classes].
        labels: int32 [batch].
        class_weights: [classes]; None for equal weights.
    """
    num_classes = logits.shape.as_list()[-1]
    share = label_smoothing / num_classes
    targets = tf.one_hot(
        labels, num_classes, on_value=1.0 - label_smoothing + share, off_value=share
    )
    losses = tf.nn.softmax_cross_entropy_with_logits_v2(labels=targets, logits=logits)
    if class_weights is None:
        return losses
    return losses * tf.gather(tf.constant(class_weights, tf.float32), labels)


def _threshold(metrics: Optional[Dict[str, float]]) -> float:
    return (metrics or {}).get(THRESHOLD, 0.5)
