"""Tagging as a task: every token of a sentence gets a tag, such as the names of people."""

import hashlib
import json
import logging
import math
import os
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert.common import json_files, parallel
from albert.common.errors import UsageError
from albert.common.tables import LINE, TAGS, Row, shown
from albert.engine.task import (
    INPUT_IDS,
    RECORD,
    Change,
    DataSource,
    Feature,
    ModelOutput,
    Predictions,
    Setting,
    Task,
    settings_of,
)
from albert.glue.split_files import SplitFiles
from albert.nn.layers import ClassLogits
from albert.tagging import metrics as tag_metrics
from albert.tagging import tags as tag_lib
from albert.tagging.features import NO_TAG, NUM_SPECIALS, TAG_IDS, windows_of
from albert.tagging.files import (
    Sentence,
    loose_sentence_of,
    sentence_of,
    where_is,
    write_conll,
)
from albert.tokenization import FullTokenizer

RESULTS = "test_predictions.conll"

_log = logging.getLogger(__name__)


class TaggingSettings(NamedTuple):
    """What shapes features, head and choice of the best; each field is named as its flag.

    Attributes:
        best_metric: None for the usual one: f1, or accuracy where tags are plain.
    """

    max_seq_length: int = 512
    classifier_dropout_prob: float = 0.1
    best_metric: Optional[str] = None


class _Tagged(NamedTuple):
    """What is predicted of a sentence: one value for each token."""

    tags: List[str]
    probabilities: List[float]
    losses: List[float]


class TaggingTask(Task):
    """A tag for every token of a sentence.

    The training file decides which tags there are. Without one they are those of the run whose
    model is used.

    Args:
        recorded: {name: value} of the settings of that run; empty if there is none.

    Raises:
        UsageError: the training file cannot be read, or there is neither one nor a run.
    """

    name = "tagging"
    input_columns = {LINE: 1}

    def __init__(
        self,
        files: SplitFiles,
        recorded: Mapping[str, Any],
        tokenizer: FullTokenizer,
        settings: TaggingSettings,
    ) -> None:
        if settings.max_seq_length <= NUM_SPECIALS:
            raise UsageError(
                f"<max_seq_length> must be above {NUM_SPECIALS}, for [CLS] and [SEP].",
                max_seq_length=settings.max_seq_length,
            )
        self._files = files
        self._tokenizer = tokenizer
        self._settings = settings
        self._sentences: Dict[str, List[Sentence]] = {}
        if files.are_for_training:
            self._tags = self._tags_of_training_file()
        elif TAGS in recorded:
            self._tags = json_files.texts_of(recorded, TAGS, RECORD, "the run")
        else:
            raise UsageError(
                "<train_file> is required: there is no trained run that knows the tags.",
                train_file=None,
            )
        self._tag_ids = {tag: number for number, tag in enumerate(self._tags)}
        self._scheme = tag_lib.scheme_of(self._tags)
        is_plain = self._scheme == tag_lib.PLAIN
        self.best_metric = "accuracy" if is_plain else "f1"
        self.shown_metrics = ("precision", "recall", "f1", "accuracy", "macro_f1", "loss")
        if settings.best_metric:
            known = list(self._metrics([self._tags], [self._tags]))
            self.choose_best_by(settings.best_metric, known)

    def _tags_of_training_file(self):
        path, rows = self._files.path("train"), self._files.file_rows("train")
        sentences = [_tagged_sentence_of(row) for row in rows]
        found = {tag for each in sentences for tag in each.tags or ()}
        scheme = tag_lib.scheme_of(found)
        for row, sentence in zip(rows, sentences):
            _check_tags(row, sentence, lambda tag: tag_lib.is_tag(tag, scheme), _allowed(scheme))
        if len(found) < 2:
            raise UsageError(
                f"{path}: two tags or more are needed, but there is only {shown(found)}."
            )
        tags = tag_lib.all_tags(found, scheme)
        types = sorted({tag_lib.type_of(tag) for tag in tags} - {tag_lib.OUTSIDE})
        _log.info(
            "%s: %d sentences; %s: %s.",
            path,
            len(sentences),
            "plain tags, each scored alone" if scheme == tag_lib.PLAIN else f"{scheme} tags of",
            shown(types),
        )
        self._files.hold_out([""] * len(rows))
        return tags

    def sentences(self, split: str) -> List[Sentence]:
        """Returns the sentences of a split, in the order of the file, up to its max_samples.

        Raises:
            UsageError: there are none, or one is malformed or has an unknown tag.
        """
        if split not in self._sentences:
            rows = [row for _, row in self._files.rows(split)]
            if split in self.test_splits:
                self._sentences[split] = [sentence_of(row) for row in rows]
            else:
                known = self._tag_ids
                found = [_tagged_sentence_of(row) for row in rows]
                for row, sentence in zip(rows, found):
                    _check_tags(row, sentence, known.__contains__, f"one of {shown(self._tags)}")
                self._sentences[split] = found
        return self._sentences[split][: self.max_samples.get(split)]

    def _digest(self, split):
        digest = hashlib.sha256()
        for sentence in self.sentences(split):
            digest.update(json.dumps([sentence.tokens, sentence.tags]).encode())
        return digest.hexdigest()

    def fingerprint(self, split: str) -> Dict[str, Any]:
        """Returns everything that the features of a split depend on, as JSON values."""
        return {
            "task": self.name,
            "split": split,
            "data": self._digest(split),
            "tags": self._tags,
            "tokenizer": self._tokenizer.fingerprint(),
            "max_seq_length": self._settings.max_seq_length,
        }

    def source(self, split: str) -> DataSource:
        """Returns the file, and the hash of the split's sentences."""
        return DataSource.of(self._files.path(split), self._digest(split))

    def settings(self) -> Dict[str, Any]:
        """Returns what to record with the engine's settings."""
        return {
            "task": self.name,
            "max_seq_length": self._settings.max_seq_length,
            "scheme": self._scheme,
            TAGS: self._tags,
        }

    def run_settings(self) -> Dict[str, Setting]:
        """Returns the tags, what the pieces depend on, and what acts only in training."""
        settings = self._settings
        training = {
            "classifier_dropout_prob": settings.classifier_dropout_prob,
            "num_held_out": len(self._files.held_out),
        }
        return {
            **settings_of({TAGS: self._tags}, Change.REFUSED, "{} of the task"),
            **settings_of(self._tokenizer.fingerprint(), Change.REFUSED, "{} of the task"),
            **settings_of({"max_seq_length": settings.max_seq_length}, Change.WARNED),
            **settings_of(training, Change.WARNED_IN_TRAINING),
        }

    def feature_spec(self) -> Dict[str, Feature]:
        """Returns how a window is stored."""
        return {
            INPUT_IDS: Feature(tf.int32),
            "segment_ids": Feature(tf.int32),
            TAG_IDS: Feature(tf.int32, padding=NO_TAG),
            "sentence_index": Feature(tf.int32, is_sequence=False, is_input=False),
        }

    def features(self, split: str) -> Iterator[Dict[str, Any]]:
        """Yields one dict per window; the tags of test sentences are the first one."""
        sentences = self.sentences(split)
        return _numbered(parallel.ordered_map(self._windows, sentences))

    def features_of(self, examples: Sequence[Sentence]) -> Iterator[Dict[str, Any]]:
        """Yields one dict per window."""
        return _numbered(map(self._windows, examples))

    def _windows(self, sentence: Sentence) -> List[Dict[str, Any]]:
        tags = sentence.tags or [self._tags[0]] * len(sentence.tokens)
        tag_ids = [self._tag_ids.get(tag, 0) for tag in tags]  # of test data they mean nothing
        length = self._settings.max_seq_length
        return list(windows_of(self._tokenizer, sentence.tokens, tag_ids, length))

    def metadata(self, metrics: Optional[Dict[str, float]]) -> Dict[str, Any]:
        """Returns the tags and their scheme, and the length of a window."""
        return {
            "task_type": "tagging",
            "labels": list(self._tags),
            "scheme": self._scheme,
            "max_seq_length": self._settings.max_seq_length,
        }

    def head(self, model: Any, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Returns the sum of the cross-entropies of the tokens' tags, and the predictions.

        Predictions, [batch, seq] each and meaningful at first pieces, where `tags` is not NO_TAG:
        - `tags`: the ids of the most likely tags.
        - `probabilities`: theirs.
        - `tag_losses`: the cross-entropies of the right tags.
        """
        del is_training
        rate = self._settings.classifier_dropout_prob
        sequence = model.dropout(model.get_sequence_output(), rate)  # [batch, seq, hidden]
        logits = ClassLogits(sequence.shape.as_list()[-1], len(self._tags))(sequence)
        tag_ids = features[TAG_IDS]
        is_token = tf.not_equal(tag_ids, NO_TAG)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.maximum(tag_ids, 0), logits=logits
        )
        losses = tf.where(is_token, losses, tf.zeros_like(losses))  # [batch, seq]
        best = tf.argmax(logits, axis=-1, output_type=tf.int32)
        probabilities = tf.nn.softmax(logits)
        predictions = {
            "tags": tf.where(is_token, best, tf.fill(tf.shape(best), NO_TAG)),
            "probabilities": tf.reduce_max(probabilities, axis=-1),
            "tag_losses": losses,
        }
        exported = {"logits": logits, "probabilities": probabilities}
        return ModelOutput([tf.reduce_sum(losses)], predictions, exported=exported)

    def loss_weights(self, features: Dict[str, Any]) -> Sequence[Any]:
        """Returns the number of tokens: the loss is the mean over those of the global batch."""
        is_token = tf.not_equal(features[TAG_IDS], NO_TAG)
        return [tf.reduce_sum(tf.cast(is_token, tf.float32))]

    def evaluate(
        self, predictions: Predictions, metrics: Optional[Dict[str, float]] = None
    ) -> Dict[str, float]:
        """Returns the scores of entities, or of plain tags, and the mean loss of the tokens.

        They are NaN if a prediction is not finite.
        """
        ((split, rows),) = predictions.items()
        sentences = self.sentences(split)
        gold = [list(each.tags or ()) for each in sentences]
        found = self._tagged(sentences, rows)
        values = self._metrics(gold, [each.tags for each in found])
        values["loss"] = float(np.mean([loss for each in found for loss in each.losses]))
        if not math.isfinite(sum(value for each in found for value in each.probabilities)):
            values = dict.fromkeys(values, math.nan)
        return values

    def _metrics(self, gold, predicted):
        if self._scheme == tag_lib.PLAIN:
            return tag_metrics.of_plain(gold, predicted)
        types = dict.fromkeys(map(tag_lib.type_of, self._tags))
        return tag_metrics.of_entities(gold, predicted, [*types][1:])  # without O

    def write_predictions(
        self,
        predictions: Predictions,
        output_dir: str,
        metrics: Optional[Dict[str, float]] = None,
    ) -> List[str]:
        """Writes test_predictions.conll: token, the file's own tag if it has any, predicted tag."""
        ((split, rows),) = predictions.items()
        sentences = self.sentences(split)
        path = os.path.join(output_dir, RESULTS)
        found = [each.tags for each in self._tagged(sentences, rows)]
        columns: List[Sequence[Any]] = [[each.tokens for each in sentences]]
        if all(each.tags for each in sentences):  # every line has the same columns
            columns.append([each.tags for each in sentences])
        write_conll(path, zip(*columns, found))
        return [path]

    def comparisons(
        self,
        split: str,
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields the tokens, the right and the predicted tags, their probabilities and the loss."""
        sentences = self.sentences(split)
        numbers = [number for number, _ in self._files.rows(split)]
        for number, each, found in zip(numbers, sentences, self._tagged(sentences, rows)):
            yield {
                "index": number,
                "tokens": each.tokens,
                "gold": each.tags,
                "predicted": found.tags,
                "probabilities": found.probabilities,
                "loss": float(np.mean(found.losses)),
            }

    def example_of(self, row: Row) -> Sentence:
        """Returns the sentence in a row that has `tokens`, or else a `text`."""
        return loose_sentence_of(row)

    def results_of(
        self,
        examples: Sequence[Sentence],
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields the tags, and the entities with their first and last token and mean probability.

        Of a text, they have their first character and the one after the last, and the tokens that
        the text was cut into come first.
        """
        for sentence, found in zip(examples, self._tagged(examples, rows)):
            tokens = {} if sentence.text is None else {"tokens": list(sentence.tokens)}
            result = {**tokens, TAGS: found.tags, "probabilities": found.probabilities}
            if self._scheme != tag_lib.PLAIN:
                result["entities"] = [
                    _entity(sentence, entity, found.probabilities)
                    for entity in tag_lib.entities(found.tags)
                ]
            yield result

    def _tagged(self, sentences, rows):
        """Returns a _Tagged for each sentence, given the rows of all their windows."""
        found: List[_Tagged] = [_Tagged([], [], []) for _ in sentences]
        for row in rows:
            is_token = row["tags"] != NO_TAG
            tagged = found[int(row["sentence_index"])]
            tagged.tags.extend(self._tags[number] for number in row["tags"][is_token])
            tagged.probabilities.extend(row["probabilities"][is_token].tolist())
            tagged.losses.extend(row["tag_losses"][is_token].tolist())
        return found


def _tagged_sentence_of(row: Row) -> Sentence:
    sentence = sentence_of(row)
    if sentence.tags is None:
        raise UsageError(f"{row.where}: the sentence has no tags.")
    return sentence


def _allowed(scheme: str) -> str:
    if scheme == tag_lib.PLAIN:
        return "a text"
    places = "B-, I-, E- or S-" if scheme == tag_lib.BIOES else "B- or I-"
    return f"O, or {places} and a type"


def _check_tags(row, sentence, is_allowed, allowed):
    for number, tag in enumerate(sentence.tags):
        if not is_allowed(tag):
            raise UsageError(f"{where_is(row, number)}: tag {tag!r:.50} is not {allowed}.")


def _numbered(windows_of_sentences):
    """Yields the features of windows, with the number of the sentence."""
    for index, windows in enumerate(windows_of_sentences):
        for window in windows:
            yield dict(window, sentence_index=index)


def _entity(
    sentence: Sentence, entity: tag_lib.Entity, probabilities: List[float]
) -> Dict[str, Any]:
    kind, first, last = entity
    tokens = sentence.tokens[first : last + 1]
    found: Dict[str, Any] = {"type": kind, "text": " ".join(tokens)}
    if sentence.text is not None:
        start, end = sentence.starts[first], sentence.starts[last] + len(tokens[-1])
        found.update(text=sentence.text[start:end], start=start, end=end)
    score = float(np.mean(probabilities[first : last + 1]))
    return {**found, "first": first, "last": last, "score": score}
