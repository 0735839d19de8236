"""Tests of albert.glue.classification: features, fingerprints, the head and the result files."""

import copy
import dataclasses
import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tiny_glue import (
    STSB_HEADER,
    VOCABULARY,
    make_task,
    make_tokenizer,
    shown_log,
    stsb_line,
    write_tsv,
)

from albert import modeling
from albert.classifier_utils import GlueTask
from albert.common.errors import UsageError
from albert.engine.task import Change, Setting
from albert.glue import classification, table

# --- Features


def write_pair(tmp_path, text_a="The cats sat.", text_b="A cat", score="3.8"):
    content = STSB_HEADER + "\tscore\n" + stsb_line(0, text_a, text_b, score)
    write_tsv(tmp_path, "STS-B", "dev", content)


def test_a_pair_is_cls_a_sep_b_sep_with_segments_0_and_1(tmp_path):
    write_pair(tmp_path)
    assert list(make_task(tmp_path, "sts-b").features("dev")) == [
        {
            "input_ids": [2, 5, 6, 10, 7, 11, 3, 8, 6, 3],
            "segment_ids": [0, 0, 0, 0, 0, 0, 0, 1, 1, 1],
            "label_ids": 3.8,
        }
    ]


def test_a_long_pair_loses_the_end_of_the_longer_text(tmp_path):
    write_pair(tmp_path)
    (feature,) = make_task(tmp_path, "sts-b", max_seq_length=7).features("dev")
    assert feature["input_ids"] == [2, 5, 6, 3, 8, 6, 3]
    assert feature["segment_ids"] == [0, 0, 0, 0, 1, 1, 1]


def test_a_single_text_is_one_segment_and_its_label_an_id(tmp_path):
    write_tsv(tmp_path, "SST-2", "dev", "sentence\tlabel\nthe cat\t1\nzebra\t0\n")
    assert list(make_task(tmp_path, "sst-2").features("dev")) == [
        {"input_ids": [2, 5, 6, 3], "segment_ids": [0, 0, 0, 0], "label_ids": 1},
        {"input_ids": [2, 1, 3], "segment_ids": [0, 0, 0], "label_ids": 0},
    ]


def test_test_examples_have_label_0(tmp_path):
    write_tsv(tmp_path, "SST-2", "test", "index\tsentence\n0\tthe cat\n")
    write_tsv(tmp_path, "STS-B", "test", STSB_HEADER + "\n" + stsb_line(0, "a", "b"))
    (classified,) = make_task(tmp_path, "sst-2").features("test")
    (scored,) = make_task(tmp_path, "sts-b").features("test")
    assert classified["label_ids"] == 0 and isinstance(classified["label_ids"], int)
    assert scored["label_ids"] == 0.0 and isinstance(scored["label_ids"], float)


def test_features_come_in_the_order_of_the_file_over_all_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "_TEXTS_AT_ONCE", 3)
    lines = "".join(f"{'cat ' * (n + 1)}\t{n % 2}\n" for n in range(8))
    write_tsv(tmp_path, "SST-2", "dev", "sentence\tlabel\n" + lines)
    features = list(make_task(tmp_path, "sst-2").features("dev"))
    assert [len(feature["input_ids"]) for feature in features] == [n + 3 for n in range(8)]
    assert [feature["label_ids"] for feature in features] == [0, 1] * 4


def test_the_label_of_a_regression_is_a_float_in_the_spec(tmp_path):
    labels = {
        name: make_task(tmp_path, name).feature_spec()["label_ids"].dtype
        for name in ("cola", "sts-b")
    }
    assert labels == {"cola": tf.int32, "sts-b": tf.float32}


# --- Fingerprints, and what a model belongs to


def fingerprint(folder, split="dev", max_seq_length=16, name="sst-2", **tokenizer):
    own = GlueTask(name, str(folder), make_tokenizer(folder, **tokenizer), max_seq_length)
    return json.dumps(own.fingerprint(split), sort_keys=True)


@pytest.fixture
def sst2_folder(tmp_path):
    for split in ("train", "dev"):
        write_tsv(tmp_path, "SST-2", split, "sentence\tlabel\nthe cat\t1\n")
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        {"vocabulary": [*VOCABULARY, "new"]},
        {"do_lower_case": False},
        {"max_seq_length": 17},
        {"split": "train"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_changes_with_every_setting_that_shapes_features(sst2_folder, change):
    assert fingerprint(sst2_folder, **change) != fingerprint(sst2_folder)


def test_the_fingerprint_changes_with_the_data(sst2_folder):
    before = fingerprint(sst2_folder)
    write_tsv(sst2_folder, "SST-2", "dev", "sentence\tlabel\nthe cat\t0\n")
    assert fingerprint(sst2_folder) != before


def test_the_fingerprint_changes_with_the_task(sst2_folder):
    write_tsv(sst2_folder, "CoLA", "dev", (sst2_folder / "SST-2" / "dev.tsv").read_bytes())
    assert fingerprint(sst2_folder, name="cola") != fingerprint(sst2_folder)


def test_the_fingerprint_changes_with_the_columns_that_are_read(sst2_folder, monkeypatch):
    before = fingerprint(sst2_folder)
    row = dataclasses.replace(table.GLUE_ROWS["sst-2"], labels=("1", "0"))
    monkeypatch.setitem(table.GLUE_ROWS, "sst-2", row)
    assert fingerprint(sst2_folder) != before


def test_the_fingerprint_does_not_depend_on_where_the_files_are(sst2_folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_tsv(elsewhere, "SST-2", "dev", "sentence\tlabel\nthe cat\t1\n")
    assert fingerprint(elsewhere) == fingerprint(sst2_folder)


def test_a_model_belongs_to_its_labels_and_vocabulary(tmp_path):
    compared = make_task(tmp_path, "rte", classifier_dropout_prob=0.25).run_settings()
    fixed = {name for name, setting in compared.items() if setting.change is Change.REFUSED}
    assert fixed == {"labels", "vocabulary", "do_lower_case"}
    assert compared["labels"].value == ["entailment", "not_entailment"]
    assert compared["max_seq_length"] == Setting(16, Change.WARNED, "<max_seq_length>")
    dropout = Setting(0.25, Change.WARNED_IN_TRAINING, "<classifier_dropout_prob>")
    assert compared["classifier_dropout_prob"] == dropout


# --- The head

HEAD_FEATURES = {
    "input_ids": [[2, 5, 6, 3], [2, 8, 3, 0], [2, 9, 11, 3]],
    "input_mask": [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]],
    "segment_ids": [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1]],
}


def run_head(own_task, config, labels, is_training=False):
    """Returns (loss, losses, predictions, pooled output, weights, bias) of the head."""
    config = copy.copy(config)
    config.initializer_range = 0.5  # so that the examples differ
    dtype = own_task.feature_spec()["label_ids"].dtype
    with tf.Graph().as_default():
        tf.set_random_seed(4)
        features = {name: tf.constant(value) for name, value in HEAD_FEATURES.items()}
        features["label_ids"] = tf.constant(labels, dtype)
        model = modeling.AlbertModel(
            config,
            False,
            features["input_ids"],
            features["input_mask"],
            features["segment_ids"],
        )
        output = own_task.head(model, features, is_training)
        variables = {variable.op.name: variable for variable in tf.trainable_variables()}
        weights, bias = variables["output_weights"], variables["output_bias"]
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            random = np.random.RandomState(6)  # also the bias, since a bias of 0 would hide
            weights.load(random.normal(size=weights.shape.as_list()), session)
            bias.load(random.normal(size=bias.shape.as_list()), session)
            return session.run(
                (
                    output.loss_sums[0] / len(labels),
                    output.losses,
                    output.predictions,
                    model.get_pooled_output(),
                    weights,
                    bias,
                )
            )


def test_classification_is_softmax_cross_entropy_on_the_pooled_output(tmp_path, tiny_config):
    labels = [1, 0, 1]
    own = make_task(tmp_path, "sst-2", classifier_dropout_prob=0.5)
    loss, per_example, predictions, pooled, weights, bias = run_head(own, tiny_config, labels)
    assert weights.shape == (2, 16) and bias.shape == (2,)
    exponentials = np.exp(pooled.astype(np.float64) @ weights.T + bias)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    losses = -np.log(probabilities[np.arange(3), labels])
    assert np.ptp(losses) > 0.01
    np.testing.assert_allclose(predictions["probabilities"], probabilities, atol=1e-6)
    np.testing.assert_allclose(per_example, losses, rtol=1e-5, atol=1e-5)
    assert loss == pytest.approx(losses.mean(), rel=1e-5)


def write_labels(folder, *labels):
    rows = "".join(f"a cat\t{label}\n" for label in labels)
    write_tsv(folder, "SST-2", "train", "sentence\tlabel\n" + rows)


def log_softmax(pooled, weights, bias):
    logits = pooled.astype(np.float64) @ weights.T + bias
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def weighted(tmp_path, weights):
    """Returns the TrainingLoss with these class weights: BALANCED, or the content of a file."""
    if weights != classification.BALANCED:
        (tmp_path / "weights.json").write_text(json.dumps(weights), encoding="utf-8")
        weights = str(tmp_path / "weights.json")
    return classification.TrainingLoss(weights)


@pytest.mark.parametrize(
    "given, weight_of_0, weight_of_1",
    [
        (classification.BALANCED, 2.0, 2 / 3),  # a quarter of the examples has label 0
        ({"1": 1, "0": 3.0}, 2.0, 2 / 3),
        ({"0": 0.5, "1": 0.5}, 1.0, 1.0),
    ],
)
def test_class_weights_have_mean_1_over_the_training_set_and_count_in_training_alone(
    tmp_path, tiny_config, given, weight_of_0, weight_of_1
):
    write_labels(tmp_path, 1, 0, 1, 1)
    loss = weighted(tmp_path, given)
    own = make_task(tmp_path, "sst-2", classifier_dropout_prob=0.0, training_loss=loss)
    labels = [1, 0, 1]
    found, losses, _, *head = run_head(own, tiny_config, labels, is_training=True)
    expected = -log_softmax(*head)[np.arange(3), labels]
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-5)
    weights = np.array([weight_of_1, weight_of_0, weight_of_1])
    assert found == pytest.approx(np.mean(weights * expected), rel=1e-5)
    found, _, _, *head = run_head(own, tiny_config, labels)
    assert found == pytest.approx(np.mean(-log_softmax(*head)[np.arange(3), labels]), rel=1e-5)


def test_smoothed_labels_are_the_target_in_training_alone(tmp_path, tiny_config):
    loss = classification.TrainingLoss(label_smoothing=0.2)
    own = make_task(tmp_path, "sst-2", classifier_dropout_prob=0.0, training_loss=loss)
    labels = [1, 0, 1]
    targets = np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    found, _, _, *head = run_head(own, tiny_config, labels, is_training=True)
    assert found == pytest.approx(np.mean(-(targets * log_softmax(*head)).sum(axis=1)), rel=1e-5)
    found, _, _, *head = run_head(own, tiny_config, labels)
    assert found == pytest.approx(np.mean(-log_softmax(*head)[np.arange(3), labels]), rel=1e-5)


@pytest.mark.parametrize(
    "name, weights, message",
    [
        ("sst-2", {"0": 1}, "has weights for '0'; it must have one for each of 0, 1."),
        ("sst-2", {"0": 1, "1": 2, "2": 3}, "has weights for '0', '1', '2'; it must have one"),
        ("sst-2", {}, "has weights for no label; it must have one for each of 0, 1."),
        ("sst-2", {"0": 1, "1": "2"}, "the weight of '1' is '2'; it must be a number above 0."),
        ("sst-2", {"0": 1, "1": 0}, "the weight of '1' is 0; it must be a number above 0."),
        (
            "sts-b",
            classification.BALANCED,
            "is for one label of several, but sts-b is of the type regression.",
        ),
    ],
)
def test_class_weights_that_do_not_fit_the_labels_are_refused(tmp_path, name, weights, message):
    own = make_task(tmp_path, name, training_loss=weighted(tmp_path, weights))
    with pytest.raises(UsageError) as error:
        own.run_settings()
    assert str(error.value).startswith("class_weights=") and message in str(error.value)


@pytest.mark.parametrize(
    "name, share, message",
    [
        ("sst-2", 1.0, "label_smoothing=1.0 must be from 0 to below 1."),
        ("sst-2", -0.1, "label_smoothing=-0.1 must be from 0 to below 1."),
        (
            "sts-b",
            0.1,
            "label_smoothing=0.1 is for one label of several, but sts-b is of the type regression.",
        ),
    ],
)
def test_label_smoothing_that_does_not_fit_is_refused(tmp_path, name, share, message):
    loss = classification.TrainingLoss(label_smoothing=share)
    with pytest.raises(UsageError) as error:
        make_task(tmp_path, name, training_loss=loss).run_settings()
    assert str(error.value) == message


def test_regression_is_the_squared_error_of_one_output(tmp_path, tiny_config):
    labels = [3.8, 0.0, 5.0]
    own = make_task(tmp_path, "sts-b", classifier_dropout_prob=0.5)
    loss, per_example, predictions, pooled, weights, bias = run_head(own, tiny_config, labels)
    assert weights.shape == (1, 16) and bias.shape == (1,)
    scores = (pooled.astype(np.float64) @ weights.T + bias)[:, 0]
    assert predictions["scores"].shape == (3,)
    np.testing.assert_allclose(predictions["scores"], scores, atol=1e-5)
    np.testing.assert_allclose(per_example, (scores - labels) ** 2, rtol=1e-4)
    assert loss == pytest.approx(np.mean((scores - labels) ** 2), rel=1e-4)


class StubModel:
    """Records the rates with which its dropout is called."""

    def __init__(self):
        self.rates = []

    def get_pooled_output(self):
        return tf.ones([2, 16])

    def dropout(self, tensor, rate):
        self.rates.append(rate)
        return tensor


@pytest.mark.parametrize("is_training", [True, False])
def test_the_pooled_output_goes_through_the_models_dropout(tmp_path, is_training):
    own = make_task(tmp_path, "cola", classifier_dropout_prob=0.3)
    model = StubModel()
    with tf.Graph().as_default():
        own.head(model, {"label_ids": tf.constant([0, 1])}, is_training)
    assert model.rates == [0.3]


# --- Evaluation and result files


def test_evaluation_returns_the_metrics_of_the_task(tmp_path):
    labels = [1, 0, 1, 1]
    lines = "".join(f"gj04\t{label}\t\tthe cat\n" for label in labels)
    write_tsv(tmp_path, "CoLA", "dev", lines)
    first = [0.75, 0.25, 0.25, 0.25]  # so the predictions are 0 1 1 1
    rows = [
        {"probabilities": np.float32([p, 1 - p]), "losses": np.float32(loss)}
        for p, loss in zip(first, [1.0, 2.0, 0.5, 0.5])
    ]
    values = make_task(tmp_path, "cola").evaluate({"dev": rows})
    # TP 2, FP 1, FN 1, TN 0: (2*0 - 1*1) / sqrt(3 * 3 * 1 * 1)
    assert values == pytest.approx({"matthews_corr": -1 / 3, "accuracy": 0.5})
    json.dumps(values)


def test_the_first_examples_alone_are_features_scored_and_written(tmp_path):
    lines = "".join(stsb_line(n, "a", "b", label) for n, label in enumerate("1234"))
    write_tsv(tmp_path, "STS-B", "dev", STSB_HEADER + "\tscore\n" + lines)
    write_tsv(tmp_path, "STS-B", "test", STSB_HEADER + "\n" + stsb_line(0, "a", "b") * 3)
    own = make_task(tmp_path, "sts-b")
    own.max_samples = {"dev": 3, "test": 2}
    assert [feature["label_ids"] for feature in own.features("dev")] == [1.0, 2.0, 3.0]
    rows = [{"scores": np.float32(s), "losses": np.float32(0.25)} for s in (1, 2, 3)]
    assert own.evaluate({"dev": rows}) == pytest.approx({"pearson": 1.0, "spearman": 1.0})
    assert len(list(own.features("test"))) == 2
    for path in own.write_predictions({"test": rows[:2]}, str(tmp_path)):
        num_lines = len(open(path, encoding="utf-8").readlines())
        assert num_lines == (2 if path.endswith("test_results.tsv") else 3)


def test_evaluation_of_a_regression_correlates_the_scores(tmp_path):
    lines = "".join(stsb_line(n, "a", "b", label) for n, label in enumerate("1234"))
    write_tsv(tmp_path, "STS-B", "dev", STSB_HEADER + "\tscore\n" + lines)
    scores = [1, 3, 2, 6]
    rows = [{"scores": np.float32(s), "losses": np.float32(0.25)} for s in scores]
    values = make_task(tmp_path, "sts-b").evaluate({"dev": rows})
    expected = {"pearson": 7 / 70**0.5, "spearman": 0.8}
    assert values == pytest.approx(expected)


NAN = float("nan")


@pytest.mark.parametrize("bad", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["cola", "sts-b"])
def test_one_prediction_that_is_not_finite_makes_every_metric_nan(tmp_path, name, bad):
    lines = "gj04\t1\t\ta\ngj04\t0\t\tb\n"
    write_tsv(tmp_path, "CoLA", "dev", lines)
    write_pair(tmp_path)
    key, values, metrics = {
        "cola": ("probabilities", [[0.25, 0.75], [bad, 0.5]], ["matthews_corr", "accuracy"]),
        "sts-b": ("scores", [bad], ["pearson", "spearman"]),
    }[name]
    rows = [{key: np.float32(value)} for value in values]
    found = make_task(tmp_path, name).evaluate({"dev": rows})
    assert sorted(found) == sorted(metrics)
    assert all(np.isnan(value) for value in found.values())


def test_predictions_of_one_class_are_reported_in_one_line(tmp_path, caplog):
    write_tsv(tmp_path, "CoLA", "dev", "gj04\t1\t\ta\ngj04\t0\t\tb\n")
    own = make_task(tmp_path, "cola")
    same, other = ({"probabilities": np.float32(pair)} for pair in ([0.4, 0.6], [0.6, 0.4]))
    with shown_log(caplog):
        own.evaluate({"dev": [same, other]})
        assert caplog.messages == []
        own.evaluate({"dev": [same, same]})
    assert caplog.messages == ["Every prediction is '1': the model does not tell the labels apart."]


@pytest.mark.filterwarnings("ignore:A single label was found")
def test_predictions_of_the_only_class_that_there_is_are_not_reported(tmp_path, caplog):
    write_tsv(tmp_path, "CoLA", "dev", "gj04\t1\t\ta\ngj04\t1\t\tb\n")
    with shown_log(caplog):
        make_task(tmp_path, "cola").evaluate({"dev": [{"probabilities": np.float32([0, 1])}] * 2})
    assert caplog.messages == []


def test_answers_from_predictions_that_are_not_finite_are_counted_in_one_line(tmp_path, caplog):
    write_tsv(tmp_path, "CoLA", "test", "index\tsentence\n7\ta\n9\tb\n11\tc\n")
    rows = [{"probabilities": np.float32(pair)} for pair in ([NAN, NAN], [0, 1], [NAN, 1])]
    with shown_log(caplog):
        write_predictions(tmp_path, "cola", rows)
    assert caplog.messages == ["test: 2 of 3 predictions are not finite: the model has diverged."]


@pytest.fixture
def written_cola(tmp_path):
    """Returns {name: content} of the files written for three CoLA test examples."""
    write_tsv(tmp_path, "CoLA", "test", "index\tsentence\n7\ta\n9\tb\n11\tc\n")
    probabilities = [[0.75, 0.25], [0.125, 0.875], [0.375, 0.625]]
    rows = [{"probabilities": np.float32(pair), "losses": np.float32(1)} for pair in probabilities]
    return write_predictions(tmp_path, "cola", rows)


@pytest.fixture
def written_stsb(tmp_path):
    """Returns {name: content} of the files written for three STS-B test examples."""
    lines = "".join(stsb_line(number, "a", "b") for number in (7, 9, 11))
    write_tsv(tmp_path, "STS-B", "test", STSB_HEADER + "\n" + lines)
    rows = [{"scores": np.float32(score), "losses": np.float32(1)} for score in (-0.5, 2.75, 5.25)]
    return write_predictions(tmp_path, "sts-b", rows)


def write_predictions(folder, name, rows):
    output_dir = folder / "output"
    output_dir.mkdir()
    paths = make_task(folder, name).write_predictions({"test": rows}, str(output_dir))
    assert sorted(paths) == sorted(str(path) for path in output_dir.iterdir())
    found = {}
    for path in paths:
        with open(path, encoding="utf-8", newline="") as reader:
            found[os.path.basename(path)] = reader.read()
    return found


def test_test_results_hold_the_probabilities_without_a_header(written_cola):
    assert written_cola["test_results.tsv"] == "0.75\t0.25\n0.125\t0.875\n0.375\t0.625\n"


def test_submit_results_hold_the_id_and_the_label(written_cola):
    assert written_cola["submit_results.tsv"] == "index\tprediction\n7\t0\n9\t1\n11\t1\n"


def test_the_submission_file_counts_from_0(written_cola):
    assert written_cola["CoLA.tsv"] == "index\tprediction\n0\t0\n1\t1\n2\t1\n"


def test_labels_are_written_as_words(tmp_path, monkeypatch):
    row = dataclasses.replace(table.GLUE_ROWS["cola"], labels=("bad", "good"))
    monkeypatch.setitem(table.GLUE_ROWS, "cola", row)
    write_tsv(tmp_path, "CoLA", "test", "index\tsentence\n7\ta\n")
    rows = [{"probabilities": np.float32([0.25, 0.75]), "losses": np.float32(1)}]
    found = write_predictions(tmp_path, "cola", rows)
    assert found["CoLA.tsv"] == "index\tprediction\n0\tgood\n"


def test_submitted_scores_are_clipped_to_0_and_5(written_stsb):
    assert written_stsb["STS-B.tsv"] == "index\tprediction\n0\t0.0\n1\t2.75\n2\t5.0\n"
    assert written_stsb["submit_results.tsv"] == "index\tprediction\n7\t0.0\n9\t2.75\n11\t5.0\n"


def test_test_results_hold_the_score_unclipped(written_stsb):
    assert written_stsb["test_results.tsv"] == "-0.5\n2.75\n5.25\n"
