"""Tests of the task of pre-training: its losses, and what it makes of stored sequences."""

import json
import math

import numpy as np
import pytest
import sample_sequences
import tensorflow.compat.v1 as tf
import tiny

from albert.common.errors import UsageError
from albert.engine.model_fn import build
from albert.pretraining.inputs import open_inputs
from albert.pretraining.masking import MaskSettings
from albert.pretraining.task import PretrainingSettings, PretrainingTask

MASK = sample_sequences.MASK


def make_task(tokenizer, train=None, dev=None, **settings):
    inputs = {}
    if train:
        inputs["train"] = open_inputs(str(train), "input_file")
    if dev:
        inputs["dev"] = open_inputs(str(dev), "eval_file")
    return PretrainingTask(inputs, tokenizer, PretrainingSettings(64, **settings))


@pytest.fixture(scope="module")
def data(tmp_path_factory, tokenizer_of_fifty):
    folder = tmp_path_factory.mktemp("sequences")
    return folder, sample_sequences.write_sequences(folder / "set", tokenizer_of_fifty, (30, 10))


def padded(rows, name, padding):
    longest = max(len(row[name]) for row in rows)
    return np.array([row[name] + [padding] * (longest - len(row[name])) for row in rows])


def as_batch(rows):
    ids = padded(rows, "input_ids", 0)
    return {
        "input_ids": ids,
        "input_mask": padded([{"x": [1] * len(row["input_ids"])} for row in rows], "x", 0),
        "segment_ids": padded(rows, "segment_ids", 0),
        "masked_lm_labels": padded(rows, "masked_lm_labels", -1),
        "next_sentence_labels": np.array([row["next_sentence_labels"][0] for row in rows]),
    }


def log_softmax(logits):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("packed", [True, False])
def test_losses_and_predictions_agree_with_numpy(data, tokenizer_of_fifty, packed):
    task = make_task(tokenizer_of_fifty, dev=data[0] / "set*")
    batch = as_batch(list(task.features("dev"))[:9])
    with tf.Graph().as_default(), tf.Session() as session:
        features = {name: tf.constant(value, tf.int32) for name, value in batch.items()}
        tf.set_random_seed(1)
        config = tiny.config(initializer_range=0.3, hidden_act="relu")
        model = []
        head = task.head
        task.head = lambda each, *args: model.append(each) or head(each, *args)
        output = build(task, config, features, is_training=False, packed_tokens=packed)
        weights = task.loss_weights(features)
        session.run(tf.global_variables_initializer())
        values = {v.op.name: session.run(v) for v in tf.trainable_variables()}
        sequence, pooled, sums, weights, predictions = session.run(
            [
                model[0].get_sequence_output(),
                model[0].get_pooled_output(),
                output.loss_sums,
                weights,
                output.predictions,
            ]
        )
    is_masked = batch["masked_lm_labels"] >= 0
    x = sequence[is_masked] @ values["cls/predictions/transform/dense/kernel"]
    x = np.maximum(x + values["cls/predictions/transform/dense/bias"], 0)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    logits = x @ values["bert/embeddings/word_embeddings"].T  # gamma 1, beta 0 and bias 0
    labels = batch["masked_lm_labels"][is_masked]
    losses = -log_softmax(logits)[np.arange(len(labels)), labels]
    rows = np.nonzero(is_masked)[0]
    order_logits = pooled @ values["cls/seq_relationship/output_weights"].T
    orders = batch["next_sentence_labels"]
    order_losses = -log_softmax(order_logits)[np.arange(9), orders]
    np.testing.assert_allclose(sums, [losses.sum(), order_losses.sum()], rtol=2e-5)
    np.testing.assert_allclose(weights, [len(labels) + 1e-5, 9])
    expected = {
        "masked_lm_losses": np.bincount(rows, losses, 9),
        "num_masked": np.bincount(rows, minlength=9),
        "num_correct": np.bincount(rows, logits.argmax(-1) == labels, 9),
        "sentence_order_losses": order_losses,
        "sentence_orders": order_logits.argmax(-1),
        "next_sentence_labels": orders,
    }
    assert predictions.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(predictions[name], value, rtol=5e-5, atol=1e-5, err_msg=name)


def test_evaluation_weighs_every_masked_token_alike(tokenizer_of_fifty):
    task = make_task(tokenizer_of_fifty)
    rows = [
        {
            "masked_lm_losses": 6.0,
            "num_masked": 3,
            "num_correct": 1,
            "sentence_order_losses": 0.5,
            "sentence_orders": 1,
            "next_sentence_labels": 1,
        },
        {
            "masked_lm_losses": 1.0,
            "num_masked": 1,
            "num_correct": 1,
            "sentence_order_losses": 1.5,
            "sentence_orders": 0,
            "next_sentence_labels": 1,
        },
    ]
    assert task.evaluate({"dev": rows}) == pytest.approx(
        {
            "masked_lm_loss": 1.75,
            "masked_lm_accuracy": 0.5,
            "perplexity": math.exp(1.75),
            "sentence_order_loss": 1.0,
            "sentence_order_accuracy": 0.5,
            "loss": 2.75,
        }
    )
    rows[0]["masked_lm_losses"] = math.nan
    assert all(math.isnan(value) for value in task.evaluate({"dev": rows}).values())


def drawn(task, rows, epochs):
    """Returns what the input pipeline makes of stored sequences in their epochs."""
    prepared = task.prepared("train")
    with tf.Graph().as_default(), tf.Session() as session:
        batch = as_batch([dict(row, masked_lm_labels=[]) for row in rows])
        batch["token_boundary"] = padded(rows, "token_boundary", 0)
        batch["sequence_id"] = np.array([row["sequence_id"][0] for row in rows])
        return session.run(
            prepared.as_batch(
                {name: tf.constant(value) for name, value in batch.items()},
                tf.constant(epochs, tf.int64),
            )
        )


def test_training_masks_anew_in_every_epoch(data, tokenizer_of_fifty):
    folder, rows = data
    task = make_task(tokenizer_of_fifty, train=folder / "set*")
    first, second, again = (drawn(task, rows, [e] * 40) for e in (0, 1, 0))
    assert set(first) == {
        "input_ids",
        "input_mask",
        "segment_ids",
        "masked_lm_labels",
        "next_sentence_labels",
    }
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert (first["masked_lm_labels"] != second["masked_lm_labels"]).any(axis=1).mean() > 0.5
    for batch in (first, second):
        is_masked = batch["masked_lm_labels"] >= 0
        original = padded(rows, "input_ids", 0)
        np.testing.assert_array_equal(batch["masked_lm_labels"][is_masked], original[is_masked])
        np.testing.assert_array_equal(batch["input_ids"][~is_masked], original[~is_masked])
        assert 0.7 < (batch["input_ids"][is_masked] == MASK).mean() < 0.9


def test_evaluation_has_masks_of_its_own_that_depend_on_the_seed_alone(data, tokenizer_of_fifty):
    folder, rows = data
    first, again, other = (
        [
            row["masked_lm_labels"]
            for row in make_task(tokenizer_of_fifty, dev=folder / "set*", seed=s).features("dev")
        ]
        for s in (1, 1, 2)
    )
    assert first == again != other
    assert [len(labels) for labels in first] == [len(row["input_ids"]) for row in rows]
    training = drawn(make_task(tokenizer_of_fifty, train=folder / "set*", seed=1), rows, [0] * 40)
    assert first != [r[: len(f)].tolist() for r, f in zip(training["masked_lm_labels"], first)]


def static_rows(rows, length=40, num_predictions=6):
    """Returns stored sequences in the layout of google-research/albert, and their labels."""
    static, labels = [], []
    for number, row in enumerate(rows):
        ids, size = list(row["input_ids"]), len(row["input_ids"])
        positions = [p for p in range(size) if ids[p] > 4][: 1 + number % num_predictions]
        found = [-1] * size
        true_ids = [ids[p] for p in positions]
        for p in positions:
            found[p], ids[p] = ids[p], MASK
        missing = num_predictions - len(positions)
        static.append(
            {
                "input_ids": ids + [0] * (length - size),
                "input_mask": [1] * size + [0] * (length - size),
                "segment_ids": row["segment_ids"] + [0] * (length - size),
                "token_boundary": row["token_boundary"] + [0] * (length - size),
                "masked_lm_positions": positions + [0] * missing,
                "masked_lm_ids": true_ids + [0] * missing,
                "masked_lm_weights": [1.0] * len(positions) + [0.0] * missing,
                "next_sentence_labels": row["next_sentence_labels"],
            }
        )
        labels.append(found)
    return static, labels


def test_files_of_the_original_program_are_read_without_a_manifest(
    tmp_path, data, tokenizer_of_fifty
):
    static, labels = static_rows(data[1])
    sample_sequences.write_records(tmp_path / "a.tfrecord", static[:25])
    sample_sequences.write_records(tmp_path / "b.tfrecord", static[25:])
    task = make_task(tokenizer_of_fifty, tmp_path / "*.tfrecord", tmp_path / "*.tfrecord")
    found = list(task.features("dev"))
    assert [row["masked_lm_labels"] for row in found] == labels
    assert [row["input_ids"] for row in found] == [
        row["input_ids"][: sum(row["input_mask"])] for row in static
    ]
    prepared = task.prepared("train")
    assert [shard.num_features for shard in prepared.shards] == [25, 15]
    stored = {name: np.array([row[name] for row in static]) for name in prepared.spec}
    stored["next_sentence_labels"] = stored["next_sentence_labels"][:, 0]
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = {
            name: tf.constant(value, prepared.spec[name].dtype) for name, value in stored.items()
        }
        batch = session.run(prepared.as_batch(tensors, tf.zeros([40], tf.int64)))
    longest = max(len(each) for each in labels)
    expected = [each + [-1] * (longest - len(each)) for each in labels]
    np.testing.assert_array_equal(batch["masked_lm_labels"], expected)
    assert batch["input_ids"].shape == batch["segment_ids"].shape == (40, longest)
    np.testing.assert_array_equal(batch["input_mask"].sum(axis=1), [len(each) for each in labels])


def test_what_does_not_fit_is_refused_in_one_line(tmp_path, data, tokenizer_of_fifty):
    folder, rows = data
    sample_sequences.write_records(tmp_path / "static", static_rows(rows)[0])
    sample_sequences.write_records(tmp_path / "foreign", [{"label": [1]}])
    sample_sequences.write_records(tmp_path / "empty", [])
    (tmp_path / "text").write_text("no records\n" * 9, encoding="utf-8")
    other = tmp_path / "vocab.txt"
    other.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "x"]) + "\n")
    tokenizer = type(tokenizer_of_fifty)
    for patterns, message in {
        tmp_path / "none": "input_file: no file matches",
        tmp_path / "foreign": "is not for pre-training: its records have label",
        tmp_path / "empty": "has no sequences",
        tmp_path / "text": "text cannot be read as a TFRecord file",
        f"{folder}/set*,{tmp_path}/static": "static has masks, and other files have none",
    }.items():
        with pytest.raises(UsageError) as error:
            make_task(tokenizer_of_fifty, train=patterns)
        assert message in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(UsageError, match="made with another vocabulary"):
        make_task(tokenizer(str(other)), train=folder / "set*")
    with pytest.raises(UsageError, match="of up to 30 tokens, more than max_seq_length=20"):
        PretrainingTask(
            {"train": open_inputs(str(folder / "set*"), "input_file")},
            tokenizer_of_fifty,
            PretrainingSettings(20),
        )


def test_a_vocabulary_without_mask_is_refused(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n", encoding="utf-8")
    from albert.tokenization import FullTokenizer

    with pytest.raises(UsageError, match=r"has no \[MASK\], which pre-training needs"):
        make_task(FullTokenizer(str(path)))


def test_the_settings_of_masks_are_recorded(data, tokenizer_of_fifty):
    masks = MaskSettings(0.2, ngram=1)
    task = make_task(tokenizer_of_fifty, train=data[0] / "set*", masks=masks)
    assert task.settings()["masked_lm_prob"] == 0.2
    assert json.dumps(task.fingerprint("train")) != json.dumps(
        make_task(tokenizer_of_fifty, train=data[0] / "set*").fingerprint("train")
    )


def test_training_masks_depend_on_the_seed(data, tokenizer_of_fifty):
    folder, rows = data
    first, other = (
        drawn(make_task(tokenizer_of_fifty, train=folder / "set*", seed=seed), rows, [0] * 40)
        for seed in (1, 2)
    )
    assert (first["masked_lm_labels"] != other["masked_lm_labels"]).any(axis=1).mean() > 0.5
