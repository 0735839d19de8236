"""The RACE task: questions on an article, each with four options that the model scores."""

import hashlib
import json
import logging
import os
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert import tokenization
from albert.common import console, files, json_files
from albert.common.errors import UsageError
from albert.common.tables import Row, as_list, as_text, text_in
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
    mean_loss,
    settings_of,
)
from albert.glue import metrics as glue_metrics
from albert.glue.classification import classification_logits
from albert.glue.labels import Classes, softmax_output
from albert.race.files import LETTERS, LEVELS, RacePassage, RaceQuestion, read_race
from albert.squad.files import first_questions

_NUM_OPTIONS = len(LETTERS)
_NUM_SPECIALS = 3  # [CLS] and two [SEP]

_log = logging.getLogger(__name__)


class RaceSettings(NamedTuple):
    """Settings of the features and the head, named like the flags."""

    max_seq_length: int = 512
    max_qa_length: int = 128
    high_only: bool = False
    middle_only: bool = False
    dropout_prob: float = 0.1


class RaceTask(Task):
    """Multiple choice: a feature is a question, and each of its sequences is one option.

    Args:
        data_dir: folder that holds RACE/.

    Raises:
        UsageError: the settings leave no room for the article, or contradict each other.
    """

    name = "race"
    best_metric = "accuracy"
    input_columns = {"article": 1, "question": 1, "options": _NUM_OPTIONS}
    num_segments = 2

    def __init__(
        self, data_dir: str, tokenizer: tokenization.FullTokenizer, settings: RaceSettings
    ) -> None:
        if settings.max_qa_length < 1:
            raise UsageError(
                "<max_qa_length> must be 1 or more.", max_qa_length=settings.max_qa_length
            )
        if settings.max_seq_length <= settings.max_qa_length + _NUM_SPECIALS:
            raise UsageError(
                f"<max_seq_length> leaves no room for the article: it must be above "
                f"<max_qa_length> and {_NUM_SPECIALS} for [CLS] and [SEP].",
                max_seq_length=settings.max_seq_length,
                max_qa_length=settings.max_qa_length,
            )
        if settings.high_only and settings.middle_only:
            raise UsageError(
                "<high_only> and <middle_only> exclude each other: give one or none.",
                high_only=None,
                middle_only=None,
            )
        is_excluded = {"high": settings.middle_only, "middle": settings.high_only}
        self._levels = [level for level in LEVELS if not is_excluded[level]]
        self._data_dir = data_dir
        self._tokenizer = tokenizer
        self._settings = settings
        self._passages: Dict[str, List[RacePassage]] = {}

    def settings(self) -> Dict[str, Any]:
        """Returns what to record with the engine's settings."""
        return {
            "task": "RACE" if len(self._levels) > 1 else f"RACE {self._levels[0]}",
            "max_seq_length": self._settings.max_seq_length,
        }

    def source(self, split: str) -> DataSource:
        """Returns the data folder with its level, and the hash of the split's passages."""
        level = "" if len(self._levels) > 1 else f"-{self._levels[0]}"
        return DataSource.of(os.path.abspath(self._data_dir) + level, self._digest(split))

    def run_settings(self) -> Dict[str, Setting]:
        """Returns what the tokens depend on, what is read, and the dropout rate."""
        inputs = self._settings._asdict()
        dropout = {"dropout_prob": inputs.pop("dropout_prob")}
        return {
            **settings_of(self._tokenizer.fingerprint(), Change.REFUSED, "{} of the task"),
            **settings_of(dict(inputs), Change.WARNED),
            **settings_of(dropout, Change.WARNED_IN_TRAINING),
        }

    def _digest(self, split):
        digest = hashlib.sha256()
        for passage in self._read(split):
            digest.update(json.dumps(passage).encode())
        return digest.hexdigest()

    def fingerprint(self, split: str) -> Dict[str, Any]:
        """Returns everything that the features of a split depend on, as JSON values."""
        return {
            "task": self.name,
            "split": split,
            "data": self._digest(split),
            "tokenizer": self._tokenizer.fingerprint(),
            "max_seq_length": self._settings.max_seq_length,
            "max_qa_length": self._settings.max_qa_length,
        }

    def feature_spec(self) -> Dict[str, Feature]:
        """Returns how a question is stored; the label is the number of the right option."""
        return {
            INPUT_IDS: Feature(tf.int32, num_sequences=_NUM_OPTIONS),
            "segment_ids": Feature(tf.int32, num_sequences=_NUM_OPTIONS),
            "label_ids": Feature(tf.int32, is_sequence=False),
        }

    def features(self, split: str) -> Iterator[Dict[str, Any]]:
        """Yields one dict per question; the label is 0 if there is no answer."""
        return self.features_of(self._read(split))

    def features_of(self, examples: Iterable[RacePassage]) -> Iterator[Dict[str, Any]]:
        """Yields one dict per question of the passages."""
        for passage in examples:
            texts = [text for question in passage.questions for text in _filled_in(question)]
            article, *endings = self._tokenizer.encode_batch([passage.article, *texts])
            sequences = iter([self._sequence(article, ending) for ending in endings])
            for question in passage.questions:
                options = [next(sequences) for _ in question.options]
                yield {
                    INPUT_IDS: [option.input_ids for option in options],
                    "segment_ids": [option.segment_ids for option in options],
                    "label_ids": question.label or 0,
                }

    def example_of(self, row: Row) -> RacePassage:
        """Returns the article, the question and its options in a row, as a passage."""
        options = as_list(row.cells.get("options"))
        if options is None or len(options) != _NUM_OPTIONS:
            raise UsageError(f"{row.where}: 'options' must be a JSON list of {_NUM_OPTIONS} texts.")
        texts = tuple(as_text(option, row.where, "options") for option in options)
        question = RaceQuestion(row.where, LEVELS[0], text_in(row, "question"), texts, None)
        return RacePassage(text_in(row, "article"), [question])

    def results_of(
        self,
        examples: Sequence[RacePassage],
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields the option chosen for each question, by its letter, and all probabilities."""
        kind = Classes(LETTERS)
        return (kind.result(output, metrics) for output in kind.outputs(rows))

    def metadata(self, metrics: Optional[Dict[str, float]]) -> Dict[str, Any]:
        """Returns the letters of the options, and what texts are cut to."""
        return {
            "task_type": "multiple_choice",
            "labels": list(LETTERS),
            "max_seq_length": self._settings.max_seq_length,
            "max_qa_length": self._settings.max_qa_length,
        }

    def head(self, model: Any, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Returns the softmax cross-entropy over the options, each scored by its own [CLS]."""
        del is_training
        scores = classification_logits(
            model, 1, self._settings.dropout_prob
        )  # [batch * options, 1]
        logits = tf.reshape(scores, [-1, _NUM_OPTIONS])  # [batch, options]
        return softmax_output(logits, features["label_ids"])

    def evaluate(
        self, predictions: Predictions, metrics: Optional[Dict[str, float]] = None
    ) -> Dict[str, float]:
        """Returns the accuracy on all questions and on each level."""
        ((split, rows),) = predictions.items()
        questions = self._questions(split)
        labels = [question.label for question in questions]
        chosen = _choices(rows)
        values = glue_metrics.accuracy(labels, chosen)
        for level in self._levels:
            numbers = [number for number, row in enumerate(questions) if row.level == level]
            if not numbers:  # of the first questions none may be of this level
                continue
            part = glue_metrics.accuracy([labels[n] for n in numbers], [chosen[n] for n in numbers])
            values[f"accuracy_{level}"] = part["accuracy"]
        return values

    def comparisons(
        self,
        split: str,
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields article, question and options, the letters, the probabilities and the loss."""
        kind = Classes(LETTERS)
        passages = [(each.article, one) for each in self._read(split) for one in each.questions]
        for (article, question), row, output in zip(passages, rows, kind.outputs(rows)):
            result = kind.result(output, metrics)
            yield {
                "id": question.id,
                "text": article,
                "question": question.question,
                "options": list(question.options),
                "gold": LETTERS[question.label],
                "predicted": result["label"],
                "probabilities": result["probabilities"],
                "loss": float(row[LOSSES]),
            }

    def write_predictions(
        self,
        predictions: Predictions,
        output_dir: str,
        metrics: Optional[Dict[str, float]] = None,
    ) -> List[str]:
        """Writes these files and returns their paths:

        - test_results.tsv: the four probabilities of each question.
        - submit_results.tsv: the id of each question and the letter chosen. An id that could break
          the table is written as a JSON string.
        - test_metrics.json, if the test set has answers: the metrics, which are logged too.
        """
        ((split, rows),) = predictions.items()
        questions = self._questions(split)
        answers = [(files.as_cell(row.id), LETTERS[n]) for row, n in zip(questions, _choices(rows))]
        tables = {
            "submit_results.tsv": [("index", "prediction"), *answers],
            "test_results.tsv": [row["probabilities"] for row in rows],
        }
        paths = []
        for name, table in tables.items():
            paths.append(os.path.join(output_dir, name))
            files.write_tsv(paths[-1], table)
        if all(question.label is not None for question in questions):
            values = dict(self.evaluate(predictions), **mean_loss(predictions))
            _log.info("Test set: %s.", console.format_metrics(values))
            paths.append(os.path.join(output_dir, "test_metrics.json"))
            json_files.write_json(paths[-1], values)
        return paths

    def _read(self, split):
        if split not in self._passages:
            needs_answers = split not in self.test_splits
            self._passages[split] = read_race(self._data_dir, split, self._levels, needs_answers)
        return first_questions(self._passages[split], self.max_samples.get(split))

    def _questions(self, split):
        return [question for passage in self._read(split) for question in passage.questions]

    def _sequence(self, article, ending):
        """Returns [CLS] article [SEP] ending [SEP]; a long ending loses its first pieces."""
        ending = ending[-self._settings.max_qa_length :]
        length = self._settings.max_seq_length
        room = length - len(ending) - _NUM_SPECIALS
        return tokenization.build_sequence(self._tokenizer, article[:room], ending, length)


def _filled_in(question):
    """Returns the question once per option, with the option in its gap or after it."""
    text = question.question.replace(
        "\uff3f", "_"
    )  # a full-width `_`, which tokenization turns into a plain one
    if "_" in text:
        return [text.replace("_", option) for option in question.options]
    return [f"{text} {option}" for option in question.options]


def _choices(rows):
    """Returns the number of the most likely option for each row of predictions."""
    return [int(np.argmax(row["probabilities"])) for row in rows]
