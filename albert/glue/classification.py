"""Classification or regression of a text or a pair of texts, and the head that it shares."""

import abc
import dataclasses
import hashlib
import json
import logging
import math
import os
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

import numpy as np
import tensorflow.compat.v1 as tf

from albert import tokenization
from albert.common import files, json_files
from albert.common.errors import UsageError
from albert.engine.task import (
    INPUT_IDS,
    LOSSES,
    Change,
    DataSource,
    Feature,
    ModelOutput,
    Predictions,
    Setting,
    Task,
    settings_of,
)
from albert.glue.columns import CLASSIFICATION, MULTI_LABEL
from albert.glue.labels import Classes, LabelKind, Scores, training_losses
from albert.nn.layers import ClassLogits

# How many texts to tokenize at once: enough to be fast, few enough to need little memory.
_TEXTS_AT_ONCE = 1024

BALANCED = "balanced"

_log = logging.getLogger(__name__)


class TrainingLoss(NamedTuple):
    """What distinguishes the loss in training from that of evaluations, the mean cross-entropy.

    Attributes:
        class_weights: BALANCED for weights that are inverse to the number of a label's training
            examples, or the path of a JSON file, {label: weight}; None for equal weights. They are
            scaled so that their mean over the training examples is 1.
        label_smoothing: the share of the target that is spread over all labels, below 1.
    """

    class_weights: Optional[str] = None
    label_smoothing: float = 0.0


_PLAIN_LOSS = TrainingLoss()


@dataclasses.dataclass
class InputExample:
    """One labelled or unlabelled text, or pair of texts.

    Attributes:
        guid: unique within its split.
        text_b: None for a single text.
        label: None in test data; the labels of a text that may have any number of them.
    """

    guid: str
    text_a: str
    text_b: Optional[str] = None
    label: Union[str, Tuple[str, ...], None] = None


class ClassifierTask(Task):
    """Classification or regression of a text or a pair of texts.

    Args:
        name: the task's name in lower case.
        data_dir: folder of the data.
        max_seq_length: longest sequence, in tokens including special tokens.
        classifier_dropout_prob: dropout rate on the pooled output.
        training_loss: of a classification; what it says is checked by `run_settings`.

    Attributes:
        labels: in the order of their ids; None for a regression.
    """

    labels: Optional[Tuple[str, ...]]
    _label_range = (-math.inf, math.inf)

    def __init__(
        self,
        name: str,
        data_dir: str,
        tokenizer: tokenization.FullTokenizer,
        max_seq_length: int,
        classifier_dropout_prob: float = 0.1,
        training_loss: TrainingLoss = _PLAIN_LOSS,
    ) -> None:
        self.name = name
        self._data_dir = data_dir
        self._tokenizer = tokenizer
        self._max_seq_length = max_seq_length
        self._classifier_dropout_prob = classifier_dropout_prob
        self._training_loss = training_loss
        self._examples: Dict[str, List[InputExample]] = {}

    @abc.abstractmethod
    def _read_examples(self, split):
        """Returns the InputExamples of a split, in the order of the file."""

    def _origin(self, split):
        """Returns what identifies the data of a split, as JSON values: here a hash of them."""
        digest = hashlib.sha256()
        for example in self.examples(split):
            digest.update(json.dumps([example.text_a, example.text_b, example.label]).encode())
        return {"examples": digest.hexdigest()}

    @abc.abstractmethod
    def _metrics(self, split, labels, decisions):
        """Returns the metrics of a dev split."""

    def _submission_name(self, split):
        """Returns the name of the submission file for a test split."""
        return f"{self.name}_{split}.tsv"

    @property
    def kind(self) -> LabelKind:
        """What labels are: here classes, or numbers where there are none."""
        return Scores(*self._label_range) if self.labels is None else Classes(self.labels)

    def metric_names(self) -> List[str]:
        """Returns the names of the metrics of all dev splits."""
        kind = self.kind
        values: List[Any] = [0, 1]
        if kind.task_type == MULTI_LABEL:
            values = [kind.value(()), kind.value(kind.names)]
        return [name for split in self.dev_splits for name in self._metrics(split, values, values)]

    def examples(self, split: str) -> List[InputExample]:
        """Returns the InputExamples of a split, in the order of the file, up to its max_samples.

        Raises:
            UsageError: there are none, or one has an invalid label.
        """
        if split not in self._examples:
            self._examples[split] = self._read_examples(split)
        return self._examples[split][: self.max_samples.get(split)]

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
        """Returns the labels, what the tokens depend on, the dropout rate and the training loss.

        Raises:
            UsageError: the training loss does not fit the task.
        """
        model = {"labels": list(self.labels or ()), **self._tokenizer.fingerprint()}
        training = {
            "classifier_dropout_prob": self._classifier_dropout_prob,
            "class_weights": self._given_weights(),
            "label_smoothing": self._checked_smoothing(),
        }
        return {
            **settings_of(model, Change.REFUSED, "{} of the task"),
            **settings_of({"max_seq_length": self._max_seq_length}, Change.WARNED),
            **settings_of(training, Change.WARNED_IN_TRAINING),
        }

    def settings(self) -> Dict[str, Any]:
        """Returns what to record with the engine's settings."""
        return {"task": self.name, "max_seq_length": self._max_seq_length}

    def feature_spec(self) -> Dict[str, Feature]:
        """Returns how an example is stored; its label is an id, or the score for a regression."""
        return {
            INPUT_IDS: Feature(tf.int32),
            "segment_ids": Feature(tf.int32),
            "label_ids": self.kind.feature,
        }

    def features(self, split: str) -> Iterator[Dict[str, Any]]:
        """Yields one dict per example; test examples have label 0."""
        return self.features_of(self.examples(split))

    def features_of(self, examples: Sequence[InputExample]) -> Iterator[Dict[str, Any]]:
        """Yields one dict per example."""
        value = self.kind.value
        for start in range(0, len(examples), _TEXTS_AT_ONCE):
            chunk = examples[start : start + _TEXTS_AT_ONCE]
            ids_a = self._tokenizer.encode_batch([example.text_a for example in chunk])
            ids_b = self._tokenizer.encode_batch([example.text_b or "" for example in chunk])
            for example, first, second in zip(chunk, ids_a, ids_b):
                sequence = tokenization.build_sequence(
                    self._tokenizer, first, second or None, self._max_seq_length
                )
                yield dict(sequence._asdict(), label_ids=value(example.label))

    def metadata(self, metrics: Optional[Dict[str, float]]) -> Dict[str, Any]:
        """Returns the type of the task, its labels, the length, and what was chosen with labels."""
        kind = self.kind
        return {
            **self.settings(),
            "task_type": kind.task_type,
            "labels": list(kind.names),
            **kind.choices_in(metrics),
        }

    def head(self, model: Any, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Returns the losses and predictions of the kind of labels, on [CLS].

        Class weights and label smoothing are part of the loss in training only.
        """
        kind = self.kind
        logits = classification_logits(model, kind.num_outputs, self._classifier_dropout_prob)
        labels = features["label_ids"]  # [batch]
        output = kind.output(logits, labels)
        if not is_training or self._training_loss == _PLAIN_LOSS:
            return output
        losses = training_losses(
            logits, labels, self._scaled_weights(), self._training_loss.label_smoothing
        )
        return output._replace(loss_sums=[tf.reduce_sum(losses)])

    def evaluate(
        self, predictions: Predictions, metrics: Optional[Dict[str, float]] = None
    ) -> Dict[str, float]:
        """Returns the task's metrics, all NaN for a split with predictions that are not finite.

        It logs a warning if every prediction is the same label, and the examples' are not.
        """
        kind = self.kind
        values: Dict[str, float] = {}
        outcomes: Set[Tuple[int, int]] = set()  # classes: label and decision
        for split, rows in predictions.items():
            labels = self._label_values(split)
            outputs = kind.outputs(rows)
            if _num_not_finite(outputs):
                names = self._metrics(split, labels, labels)
                values.update(dict.fromkeys(names, math.nan))
            else:
                chosen = kind.chosen(outputs, labels) if metrics is None else metrics
                decisions = kind.decisions(outputs, chosen)
                values.update(self._metrics(split, labels, decisions))
                values.update(chosen if metrics is None else {})
                if kind.task_type == CLASSIFICATION:
                    outcomes.update(zip(labels, decisions))
        self._warn_of_one_class(outcomes)
        return values

    def _warn_of_one_class(self, outcomes):
        labels, decisions = ({pair[index] for pair in outcomes} for index in (0, 1))
        if len(decisions) == 1 and len(labels) > 1:
            _log.warning(
                "Every prediction is %r: the model does not tell the labels apart.",
                self.kind.answer(decisions.pop()),
            )

    def comparisons(
        self,
        split: str,
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields the texts, the right and the predicted label, the probabilities and the loss."""
        kind = self.kind
        for example, row, output in zip(self.examples(split), rows, kind.outputs(rows)):
            result = kind.result(output, metrics)
            yield {
                "text": example.text_a,
                **({} if example.text_b is None else {"text_pair": example.text_b}),
                "gold": kind.as_json(example.label),
                "predicted": result["label"] if "label" in result else result["score"],
                **({"probabilities": result["probabilities"]} if kind.names else {}),
                "loss": float(row[LOSSES]),
            }

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
        kind = self.kind
        first, *_ = predictions
        paths = []
        for split, rows in predictions.items():
            outputs = kind.outputs(rows)
            num_not_finite = _num_not_finite(outputs)
            if num_not_finite:
                _log.warning(
                    "%s: %d of %d predictions are not finite: the model has diverged.",
                    split,
                    num_not_finite,
                    len(rows),
                )
            decisions = kind.decisions(outputs, metrics)
            answers = [files.as_cell(kind.answer(each)) for each in decisions]
            tables: Dict[str, Iterable[Sequence[Any]]] = {
                self._submission_name(split): [("index", "prediction"), *enumerate(answers)]
            }
            if split == first:
                guids = [files.as_cell(example.guid) for example in self.examples(split)]
                tables["submit_results.tsv"] = [("index", "prediction"), *zip(guids, answers)]
                tables["test_results.tsv"] = self._results_table(outputs)
            for name, table in tables.items():
                paths.append(os.path.join(output_dir, name))
                files.write_tsv(paths[-1], table)
        return paths

    def _results_table(self, outputs):
        """Returns the rows of test_results.tsv, which has no header in the original."""
        return outputs.reshape(len(outputs), -1)

    def _check_label(self, label, where):
        """Raises UsageError, with the location of the example, unless the label is valid."""
        kind = self.kind
        if not kind.is_label(label):
            raise UsageError(f"{where}: label {label!r} is not {kind.allowed}.")

    def _given_weights(self):
        """Returns None, BALANCED or the file's {label: weight}.

        Raises:
            UsageError: they do not fit the labels.
        """
        path = self._training_loss.class_weights
        if path is None:
            return None
        self._check_has_classes("class_weights", path)
        if path == BALANCED:
            return path
        weights = json_files.load_json(path, "class_weights")
        labels = list(map(files.as_cell, self.labels or ()))
        if sorted(weights) != sorted(self.labels or ()):
            raise UsageError(
                f"<class_weights> has weights for {', '.join(map(repr, weights)) or 'no label'}; "
                f"it must have one for each of {', '.join(labels)}.",
                class_weights=path,
            )
        for label, weight in weights.items():
            if type(weight) not in (int, float) or weight <= 0:
                raise UsageError(
                    f"<class_weights>: the weight of {label!r} is {weight!r}; it must be a number "
                    "above 0.",
                    class_weights=path,
                )
        return weights

    def _checked_smoothing(self):
        share = self._training_loss.label_smoothing
        if not 0 <= share < 1:
            raise UsageError("<label_smoothing> must be from 0 to below 1.", label_smoothing=share)
        if share:
            self._check_has_classes("label_smoothing", share)
        return share

    def _check_has_classes(self, setting, value):
        if self.kind.task_type != CLASSIFICATION:
            raise UsageError(
                f"<{setting}> is for one label of several, but {self.name} is of the type "
                f"{self.kind.task_type}.",
                **{setting: value},
            )

    def _scaled_weights(self):
        """Returns the weights of the classes, float [classes], or None for equal ones."""
        given = self._given_weights()
        if given is None:
            return None
        labels = self.labels or ()
        counts = np.bincount(self._label_values(self.train_split), minlength=len(labels))
        if given == BALANCED:
            weights = 1.0 / np.maximum(counts, 1)
        else:
            weights = np.array([given[label] for label in labels])
        return weights * counts.sum() / (weights * counts).sum()

    def _label_values(self, split):
        return [self.kind.value(example.label) for example in self.examples(split)]


def _num_not_finite(outputs):
    is_finite = np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
    return int(np.count_nonzero(~is_finite))


def classification_logits(model: Any, num_outputs: int, dropout_prob: float) -> Any:
    """Returns dropout and a linear layer on the pooled output: float [batch, num_outputs]."""
    pooled = model.dropout(model.get_pooled_output(), dropout_prob)  # [batch, hidden]
    return ClassLogits(pooled.shape.as_list()[-1], num_outputs)(pooled)
