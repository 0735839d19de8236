"""Pre-training as a task: the masked language model and the order of two segments."""

import functools
import math
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert.engine.task import (
    INPUT_IDS,
    INPUT_MASK,
    Change,
    DataSource,
    Feature,
    ModelOutput,
    Predictions,
    PreparedFeatures,
    Setting,
    Task,
    hash_of,
    settings_of,
)
from albert.pretraining import heads
from albert.pretraining.inputs import Inputs, sequences_of
from albert.pretraining.masking import (
    NO_LABEL,
    MaskSettings,
    Vocabulary,
    keys_of,
    mask_tokens,
)
from albert.tokenization import FullTokenizer

LABELS = "masked_lm_labels"
SEGMENT_IDS = "segment_ids"
ORDER_LABELS = "next_sentence_labels"
METRICS = (
    "masked_lm_loss",
    "masked_lm_accuracy",
    "perplexity",
    "sentence_order_loss",
    "sentence_order_accuracy",
)

_EPOCH_OF_EVALUATION = -1  # no epoch of training has its masks
_SEQUENCES_AT_ONCE = 256
_EPSILON = 1e-5  # of the original, for batches without masked tokens


class PretrainingSettings(NamedTuple):
    """What a run depends on besides its data.

    Attributes:
        max_seq_length: the longest sequence that is expected.
        masks: how sequences without masks are masked.
        seed: decides the masks, with epoch and sequence.
    """

    max_seq_length: int = 512
    masks: MaskSettings = MaskSettings()
    seed: int = 0


class PretrainingTask(Task):
    """Masked tokens and swapped segments are predicted (arXiv 1909.11942, sections 3.1 and 4.1).

    Args:
        inputs: {split: what to read}, of "train" and "dev"; either may be missing.

    Raises:
        UsageError: an input does not fit the vocabulary or max_seq_length, or there is no [MASK].
    """

    name = "pretraining"
    best_metric = "masked_lm_loss"
    greater_is_better = False
    shown_metrics = (*METRICS, "loss")
    test_splits = ()
    num_segments = 2
    starts_from_scratch = True

    def __init__(
        self,
        inputs: Mapping[str, Inputs],
        tokenizer: FullTokenizer,
        settings: PretrainingSettings,
    ) -> None:
        for each in inputs.values():
            each.check(tokenizer, settings.max_seq_length)
        self._inputs = inputs
        self._tokenizer = tokenizer
        self._settings = settings
        self._vocabulary = Vocabulary.of(tokenizer)

    def fingerprint(self, split: str) -> Dict[str, Any]:
        """Returns everything that the features of a split depend on, as JSON values."""
        return {
            "task": self.name,
            "data": self._inputs[split].content,
            "masks": self._settings.masks._asdict(),
            "seed": self._settings.seed,
        }

    def source(self, split: str) -> DataSource:
        """Returns the name of the first file, and the hash of all."""
        inputs = self._inputs[split]
        return DataSource.of(inputs.shards[0].path, inputs.content)

    def settings(self) -> Dict[str, Any]:
        """Returns what to record with the engine's settings."""
        return {
            "task": self.name,
            "max_seq_length": self._settings.max_seq_length,
            **self._settings.masks._asdict(),
        }

    def run_settings(self) -> Dict[str, Setting]:
        """Returns the vocabulary, how tokens are masked, and the training data."""
        training: Dict[str, Any] = dict(self._settings.masks._asdict())
        if "train" in self._inputs:
            training["training_data"] = self._inputs["train"].content
        return {
            **settings_of(self._tokenizer.fingerprint(), Change.REFUSED, "{} of the task"),
            **settings_of({"max_seq_length": self._settings.max_seq_length}, Change.ALLOWED),
            **settings_of(training, Change.WARNED_IN_TRAINING),
        }

    def feature_spec(self) -> Dict[str, Feature]:
        """Returns what the head reads: sequences whose tokens are masked."""
        return {
            INPUT_IDS: Feature(tf.int32),
            SEGMENT_IDS: Feature(tf.int32),
            LABELS: Feature(tf.int32, padding=NO_LABEL),
            ORDER_LABELS: Feature(tf.int32, is_sequence=False),
        }

    def prepared(self, split: str) -> Optional[PreparedFeatures]:
        """Returns the sequences to train on, which are masked when they are read."""
        inputs = self._inputs[split]
        spec, as_batch = _UNMASKED_SPEC, self._drawn_masks
        if inputs.has_masks:
            spec, as_batch = _MASKED_SPEC, _stored_masks
        return PreparedFeatures(inputs.shards, hash_of(self.fingerprint(split)), spec, as_batch)

    def _drawn_masks(self, batch, epochs):
        """Returns a batch of sequences with the masks of their epochs."""
        ids, labels = tf.numpy_function(
            functools.partial(_masked, self._settings, self._vocabulary),
            [
                batch[INPUT_IDS],
                batch["token_boundary"],
                tf.reduce_sum(batch[INPUT_MASK], axis=1),
                batch["sequence_id"],
                epochs,
            ],
            [tf.int32, tf.int32],
        )
        masked = {INPUT_IDS: ids, LABELS: labels}
        for tensor in masked.values():
            tensor.set_shape(batch[INPUT_IDS].shape)
        kept = {name: batch[name] for name in (INPUT_MASK, SEGMENT_IDS, ORDER_LABELS)}
        return dict(kept, **masked)

    def features(self, split: str) -> Iterator[Dict[str, Any]]:
        """Yields the sequences of a split that is evaluated, masked by the seed alone."""
        inputs = self._inputs[split]
        if inputs.has_masks:
            yield from map(_with_labels, sequences_of(inputs))
            return
        for rows in _chunks(sequences_of(inputs), _SEQUENCES_AT_ONCE):
            lengths = [len(row[INPUT_IDS]) for row in rows]
            ids, labels = _masked(
                self._settings,
                self._vocabulary,
                _padded([row[INPUT_IDS] for row in rows]),
                _padded([row["token_boundary"] for row in rows]),
                np.array(lengths),
                np.array([row["sequence_id"][0] for row in rows]),
                np.full(len(rows), _EPOCH_OF_EVALUATION),
            )
            for row, length, row_ids, row_labels in zip(rows, lengths, ids, labels):
                yield {
                    INPUT_IDS: row_ids[:length].tolist(),
                    SEGMENT_IDS: row[SEGMENT_IDS],
                    LABELS: row_labels[:length].tolist(),
                    ORDER_LABELS: row[ORDER_LABELS],
                }

    def head(self, model: Any, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Returns the sums of the cross-entropies of masked tokens and of orders, and predictions.

        Predictions, [batch] each:
        - `masked_lm_losses`: the sum over the masked tokens of a sequence.
        - `num_masked`, `num_correct`: how many tokens were to be predicted, and were.
        - `sentence_order_losses`, `sentence_orders`: the cross-entropy, and what is predicted.
        - `next_sentence_labels`: the true order.
        """
        del is_training
        with tf.device("/cpu:0"):  # which has the batch: a GPU would make it wait for the indices
            is_masked = features[LABELS] >= 0  # [batch, seq]
            places = tf.where(is_masked)  # [num_masked, 2]
            labels = tf.gather_nd(features[LABELS], places)  # [num_masked]
        logits = heads.masked_lm_logits(model, is_masked)  # [num_masked, vocab]
        losses = _cross_entropy(labels, logits)
        order_logits = heads.sentence_order_logits(model)  # [batch, 2]
        orders = features[ORDER_LABELS]
        order_losses = _cross_entropy(orders, order_logits)
        is_right = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)

        def by_sequence(values):
            return tf.math.unsorted_segment_sum(values, places[:, 0], tf.size(orders))

        predictions = {
            "masked_lm_losses": by_sequence(losses),
            "num_masked": by_sequence(tf.ones_like(labels)),
            "num_correct": by_sequence(tf.cast(is_right, tf.int32)),
            "sentence_order_losses": order_losses,
            "sentence_orders": tf.argmax(order_logits, axis=-1, output_type=tf.int32),
            ORDER_LABELS: orders,
        }
        return ModelOutput([tf.reduce_sum(losses), tf.reduce_sum(order_losses)], predictions)

    def loss_weights(self, features: Dict[str, Any]) -> Sequence[Any]:
        """Returns the numbers of masked tokens and of sequences, the first with 1e-5 added.

        The loss is sum(masked) / (number + 1e-5) + mean(order), as google-research/albert has it,
        but of the global batch.
        """
        is_masked = tf.greater_equal(features[LABELS], 0)
        num_masked = tf.reduce_sum(tf.cast(is_masked, tf.float32))
        return [num_masked + _EPSILON, tf.cast(tf.size(features[ORDER_LABELS]), tf.float32)]

    def evaluate(
        self, predictions: Predictions, metrics: Optional[Dict[str, float]] = None
    ) -> Dict[str, float]:
        """Returns METRICS and the loss, the sum of both; losses are means, in nats."""
        rows = [row for of_split in predictions.values() for row in of_split]
        columns = {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
        num_masked = max(columns["num_masked"].sum(), 1.0)
        masked_lm_loss = float(columns["masked_lm_losses"].sum() / num_masked)
        order_loss = float(columns["sentence_order_losses"].mean())
        values = {
            "masked_lm_loss": masked_lm_loss,
            "masked_lm_accuracy": float(columns["num_correct"].sum() / num_masked),
            "perplexity": float(np.exp(min(masked_lm_loss, 700.0))),
            "sentence_order_loss": order_loss,
            "sentence_order_accuracy": float(
                np.mean(columns["sentence_orders"] == columns[ORDER_LABELS])
            ),
            "loss": masked_lm_loss + order_loss,
        }
        return values if math.isfinite(values["loss"]) else dict.fromkeys(values, math.nan)

    def comparisons(
        self,
        split: str,
        rows: Sequence[Dict[str, Any]],
        metrics: Optional[Dict[str, float]],
    ) -> Iterator[Dict[str, Any]]:
        """Yields the order of each sequence's segments, 1 if they are swapped, and the losses."""
        for row in rows:
            yield {
                "gold": int(row[ORDER_LABELS]),
                "predicted": int(row["sentence_orders"]),
                "loss": float(row["sentence_order_losses"]),
                "masked_lm_loss": float(row["masked_lm_losses"] / max(row["num_masked"], 1)),
                "num_masked": int(row["num_masked"]),
                "num_correct": int(row["num_correct"]),
            }

    def write_predictions(
        self,
        predictions: Predictions,
        output_dir: str,
        metrics: Optional[Dict[str, float]] = None,
    ) -> List[str]:
        """Writes nothing: there are no test splits."""
        return []


_UNMASKED_SPEC = {
    INPUT_IDS: Feature(tf.int32),
    SEGMENT_IDS: Feature(tf.int32),
    "token_boundary": Feature(tf.int32),
    ORDER_LABELS: Feature(tf.int32, is_sequence=False),
    "sequence_id": Feature(tf.int64, is_sequence=False),
}
# The layout of google-research/albert, padded; see albert.create_pretraining_data.
_MASKED_SPEC = {
    INPUT_IDS: Feature(tf.int32),
    INPUT_MASK: Feature(tf.int32),
    SEGMENT_IDS: Feature(tf.int32),
    "masked_lm_positions": Feature(tf.int32),
    "masked_lm_ids": Feature(tf.int32),
    "masked_lm_weights": Feature(tf.float32),
    ORDER_LABELS: Feature(tf.int32, is_sequence=False),
}


def _masked(settings, vocabulary, input_ids, token_boundary, lengths, sequence_ids, epochs):
    """Returns (input_ids with masks, labels), of NumPy arrays; see `mask_tokens`."""
    keys = keys_of(settings.seed, epochs, sequence_ids)
    return mask_tokens(input_ids, token_boundary, lengths, keys, settings.masks, vocabulary)


def _stored_masks(batch, epochs):
    """Returns a batch of sequences that have been masked and padded, without needless padding."""
    del epochs
    places = tf.where(batch["masked_lm_weights"] > 0)  # [num_masked, 2]
    columns = tf.cast(tf.gather_nd(batch["masked_lm_positions"], places), tf.int64)
    indices = tf.stack([places[:, 0], columns], axis=1)
    shape = tf.shape(batch[INPUT_IDS], out_type=tf.int64)
    # Nothing is added to what is scattered but zeros, so that NO_LABEL is where nothing is.
    shifted = tf.gather_nd(batch["masked_lm_ids"], places) - NO_LABEL
    labels = tf.scatter_nd(indices, shifted, shape) + NO_LABEL
    longest = tf.reduce_max(tf.reduce_sum(batch[INPUT_MASK], axis=1))
    sequences = {name: batch[name] for name in (INPUT_IDS, INPUT_MASK, SEGMENT_IDS)}
    return {
        **{name: value[:, :longest] for name, value in dict(sequences, **{LABELS: labels}).items()},
        ORDER_LABELS: batch[ORDER_LABELS],
    }


def _with_labels(row):
    """Returns the features of a sequence that was masked and padded, {name: list}."""
    length = sum(row[INPUT_MASK])
    labels = [NO_LABEL] * length
    for position, label, weight in zip(
        row["masked_lm_positions"], row["masked_lm_ids"], row["masked_lm_weights"]
    ):
        if weight > 0:
            labels[position] = label
    return {
        INPUT_IDS: row[INPUT_IDS][:length],
        SEGMENT_IDS: row[SEGMENT_IDS][:length],
        LABELS: labels,
        ORDER_LABELS: row[ORDER_LABELS],
    }


def _chunks(rows, size):
    """Yields lists of so many rows, the last one shorter."""
    chunk: List[Any] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _padded(lists):
    array = np.zeros((len(lists), max(map(len, lists))), np.int32)
    for row, values in zip(array, lists):
        row[: len(values)] = values
    return array


def _cross_entropy(labels, logits):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
