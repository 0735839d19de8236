"""Tests of albert.glue.own_files: classification of plain files, without training."""

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from albert.common.errors import UsageError
from albert.common.tables import Row
from albert.glue.labels import LabelSets
from albert.glue.own_files import FileSettings, FileTask
from albert.glue.split_files import SplitFiles, SplitSettings

TRAIN = "text,label\nab,no\nba,yes\nabc,no\ncba,yes\n"


@pytest.fixture
def make_task(tmp_path, wordpiece):
    """Returns a function that makes a FileTask: {setting: content of a CSV file, or value}."""

    def make(recorded=None, **settings):
        for name, value in settings.items():
            if name.endswith("_file") and "\n" in value:
                path = tmp_path / f"{name[:-5]}.csv"
                path.write_text(value, encoding="utf-8")
                settings[name] = str(path)
        of_splits = {name: settings.pop(name) for name in SplitSettings._fields if name in settings}
        task_files = SplitFiles(SplitSettings(**of_splits))
        about = FileSettings(**settings)
        return FileTask(task_files, about, recorded or {}, "custom", "", wordpiece, 16)

    return make


def test_labels_are_those_of_the_training_file_in_order(make_task, caplog):
    caplog.set_level("INFO")
    task = make_task(train_file=TRAIN, validation_file="label,text\nyes,ab\n")
    assert task.labels == ("no", "yes")
    assert [feature["label_ids"] for feature in task.features("train")] == [0, 1, 0, 1]
    assert [feature["label_ids"] for feature in task.features("dev")] == [1]
    assert task.settings()["labels"] == ["no", "yes"]
    assert "text in 'text', label in 'label'; classification into 2: 'no', 'yes'" in caplog.text


def test_an_unknown_label_in_the_dev_file_is_refused_with_its_line(make_task):
    task = make_task(train_file=TRAIN, validation_file="text,label\nab,no\nab,perhaps\n")
    with pytest.raises(UsageError, match=r"validation.csv:3: label 'perhaps' is not one of no, ye"):
        task.examples("dev")


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (
            "text,score\na,1\nb,x\n",
            {"task_type": "regression"},
            "train.csv:3: label 'x' is not a n",
        ),
        (
            "text,a,b\nx,0,1\n",
            {"label_column": ["a", "b"], "task_type": "classification"},
            "label_column=a,b names several columns, which only multi_label has.",
        ),
        ("text,label\n", {}, "train_file=.*train.csv holds no rows."),
    ],
)
def test_training_files_that_do_not_fit_are_refused(make_task, content, settings, message):
    with pytest.raises(UsageError, match=message):
        make_task(train_file=content, **settings)


def test_one_label_alone_is_refused(make_task):
    with pytest.raises(UsageError, match="classification needs two labels or more"):
        make_task(train_file="text,label\nab,no\nba,no\n")


def test_what_is_held_out_is_not_trained_on(make_task):
    rows = "".join(f"{'a' * (n + 1)},{n % 2}\n" for n in range(10))
    task = make_task(train_file="text,label\n" + rows, validation_split=0.4)
    train, dev = ([each.text_a for each in task.examples(split)] for split in ("train", "dev"))
    assert len(dev) == 4 and sorted(train + dev, key=len) == ["a" * (n + 1) for n in range(10)]
    assert [each.label for each in task.examples("dev")].count("0") == 2
    everything = make_task(train_file="text,label\n" + rows, do_eval=False)
    assert len(everything.examples("train")) == 10


def test_evaluating_on_the_training_file_is_allowed(make_task):
    task = make_task(train_file=TRAIN)
    path = task._files.path("train")
    task = make_task(train_file=path, validation_file=path)
    assert len(task.examples("dev")) == len(task.examples("train")) == 4


def test_repeated_rows_and_empty_texts_are_counted(make_task, caplog):
    task = make_task(train_file=TRAIN + "ab,no\n ,yes\n", do_eval=False)
    assert len(task.examples("train")) == 6
    oddities = [message.split(": ", 1)[1] for message in caplog.messages]
    assert oddities == [
        "rows that repeat another with its label: 1 of 6.",
        "rows without text: 1 of 6.",
    ]


def test_pairs_need_both_columns(make_task):
    task = make_task(
        train_file="sentence1,sentence2,label\na,b,0\nb,a,1\n", test_file="sentence1\na\n"
    )
    assert [each.text_b for each in task.examples("train")] == ["b", "a"]
    assert task.num_segments == 2
    with pytest.raises(UsageError, match="test.csv:2: there is no 'sentence2' among 'sentence1'"):
        task.examples("test")


def test_the_metrics_of_a_classification_are_those_of_scikit_learn(make_task):
    rows = "".join(f"{'a' * (n + 1)},{n % 3}\n" for n in range(12))
    task = make_task(train_file="text,label\n" + rows, validation_file="text,label\n" + rows)
    random = np.random.RandomState(1)
    predictions = random.rand(12, 3)
    found = task.evaluate({"dev": [{"probabilities": each} for each in predictions]})
    labels, chosen = [n % 3 for n in range(12)], predictions.argmax(-1)
    report = sklearn_metrics.classification_report(
        labels, chosen, output_dict=True, zero_division=0
    )
    expected = {
        "accuracy": report["accuracy"],
        "macro_f1": report["macro avg"]["f1-score"],
        "weighted_f1": report["weighted avg"]["f1-score"],
        "matthews_corr": sklearn_metrics.matthews_corrcoef(labels, chosen),
    }
    for name in "012":
        expected[f"precision_{name}"] = report[name]["precision"]
        expected[f"recall_{name}"] = report[name]["recall"]
    assert found == pytest.approx(expected)


def test_a_regression(make_task, tmp_path):
    content = "text,score\na,0.5\nb,2\nc,3.25\n"
    task = make_task(train_file=content, validation_file=content, test_file="text\na\nb\n")
    assert task.labels is None and task.best_metric == "pearson"
    assert [feature["label_ids"] for feature in task.features("dev")] == [0.5, 2.0, 3.25]
    found = task.evaluate({"dev": [{"scores": np.float32(score)} for score in (1, 2, 4)]})
    assert found["mse"] == pytest.approx((0.25 + 0 + 0.5625) / 3)
    assert found["spearman"] == pytest.approx(1.0) and found["pearson"] > 0.95
    task.write_predictions({"test": [{"scores": np.float32(7)}] * 2}, str(tmp_path))
    assert (tmp_path / "test_results.tsv").read_text().split() == ["score", "7.0", "7.0"]
    with pytest.raises(UsageError, match="validation.csv:2: label 'x' is not a number"):
        make_task(train_file=content, validation_file="text,score\na,x\n").examples("dev")


@pytest.mark.parametrize("settings", [{}, {"task_type": "classification"}])
def test_whole_numbers_are_classes_unless_told_otherwise(make_task, settings):
    content = "text,label\na,1\nb,2\n"
    assert make_task(train_file=content, **settings).labels == ("1", "2")
    assert make_task(train_file=content, task_type="regression").labels is None


@pytest.mark.parametrize(
    ("metric", "greater_is_better"),
    [(None, True), ("macro_f1", True), ("recall_yes", True), ("loss", False)],
)
def test_any_metric_may_decide(make_task, metric, greater_is_better):
    task = make_task(train_file=TRAIN, best_metric=metric)
    assert task.best_metric == (metric or "accuracy")
    assert task.greater_is_better is greater_is_better
    with pytest.raises(UsageError, match="^best_metric=f2 must be one of matthews_corr, accuracy"):
        make_task(train_file=TRAIN, best_metric="f2")


MULTI = "text,labels\na,x|y\nb,\nc,y\n"


def test_any_number_of_labels(make_task, tmp_path):
    task = make_task(train_file=MULTI, validation_file=MULTI, test_file=MULTI, label_separator="|")
    assert task.labels == ("x", "y") and task.best_metric == "micro_f1"
    assert [each["label_ids"] for each in task.features("dev")] == [[1, 1], [0, 0], [0, 1]]
    outputs = np.array([[0.3, 0.35], [0.1, 0.2], [0.05, 0.4]], np.float32)
    rows = [{"probabilities": each} for each in outputs]
    found = task.evaluate({"dev": rows})
    assert found["threshold"] == pytest.approx(0.25)  # between the 0.2 and the 0.3
    assert (found["micro_f1"], found["macro_f1"], found["accuracy"]) == (1.0, 1.0, 1.0)
    # Elsewhere the threshold of the checkpoint stays.
    again = task.evaluate({"dev": rows}, {"threshold": 0.32})
    assert "threshold" not in again and again["recall_x"] == 0.0
    task.write_predictions({"test": rows}, str(tmp_path), found)
    lines = (tmp_path / "custom_test.tsv").read_text().splitlines()
    assert lines == ["index\tprediction", '0\t["x", "y"]', "1\t[]", '2\t["y"]']


def test_labels_are_compared_with_what_is_predicted(make_task):
    content = "".join(f"{'a' * (n + 1)},{n % 2}\n" for n in range(10))
    task = make_task(train_file="text,label\n" + content, validation_split=0.4)
    texts = [each.text_a for each in task.examples("dev")]
    outputs = np.array([[0.25, 0.75]] * len(texts), np.float32)
    rows = [{"probabilities": each, "losses": np.float32(0.5)} for each in outputs]
    found = list(task.comparisons("dev", rows, None))
    assert found == [
        {
            "index": len(text) - 1,  # in the training file, which they are held out of
            "text": text,
            "gold": str((len(text) - 1) % 2),
            "predicted": "1",
            "probabilities": {"0": 0.25, "1": 0.75},
            "loss": 0.5,
        }
        for text in texts
    ]


def test_numbers_and_label_sets_are_compared_with_what_is_predicted(make_task):
    content = "text,text_pair,score\na,b,0.5\n"
    task = make_task(train_file=content, validation_file=content)
    rows = [{"scores": np.float32(0.75), "losses": np.float32(0.0625)}]
    expected = {"text": "a", "text_pair": "b", "gold": 0.5, "predicted": 0.75, "loss": 0.0625}
    assert list(task.comparisons("dev", rows, None)) == [dict(expected, index=0)]
    task = make_task(train_file=MULTI, validation_file=MULTI, label_separator="|")
    rows = [{"probabilities": np.array([0.25, 0.5]), "losses": 1.0}] * 3
    found = list(task.comparisons("dev", rows, {"threshold": 0.5}))
    assert [row["gold"] for row in found] == [["x", "y"], [], ["y"]]
    assert [row["predicted"] for row in found] == [["y"]] * 3


def test_the_threshold_has_the_best_f1_of_all(make_task):
    random = np.random.RandomState(0)
    for _ in range(20):
        outputs = random.rand(15, 3).round(1)  # with equal ones
        labels = random.randint(0, 2, (15, 3))
        chosen = LabelSets(tuple("abc")).chosen(outputs, labels)["threshold"]
        f1, *others = [
            sklearn_metrics.f1_score(labels, outputs >= each, average="micro", zero_division=0)
            for each in (chosen, *np.arange(0.05, 1.1, 0.1))
        ]
        assert f1 == pytest.approx(max(others))


def test_the_loss_of_label_sets_is_the_mean_over_labels(graph_mode):
    import tensorflow.compat.v1 as tf

    logits = np.array([[0.5, -1.0], [2.0, 0.1]], np.float32)
    values = np.array([[1, 0], [0, 1]], np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        output = LabelSets(("a", "b")).output(tf.constant(logits), tf.constant(values))
        losses, probabilities = session.run([output.losses, output.predictions["probabilities"]])
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(probabilities, expected, rtol=1e-6)
    entropy = -np.log(np.where(values == 1, expected, 1 - expected)).mean(-1)
    np.testing.assert_allclose(losses, entropy, rtol=1e-5)


def test_predictions_that_are_not_finite_have_no_metrics(make_task):
    task = make_task(train_file=MULTI, validation_file=MULTI, label_separator="|")
    rows = [{"probabilities": np.array([math.nan, 0.5])}] * 3
    assert all(math.isnan(value) for value in task.evaluate({"dev": rows}).values())


def test_odd_labels_break_neither_the_table_nor_the_names_of_metrics(make_task, tmp_path):
    odd = ["a\tb", "c\u2028"]
    rows = "text,label\n" + "a,a\tb\na,c\u2028\n" * 2
    task = make_task(train_file=rows, validation_file=rows, test_file=rows)
    found = [{"probabilities": np.array([0.2, 0.8]), "losses": 1.0}] * 4
    assert {r'precision_"a\tb"', r'recall_"c\u2028"'} < set(task.evaluate({"dev": found}))
    task.write_predictions({"test": found}, str(tmp_path))
    header, *rows = (tmp_path / "test_results.tsv").read_text(encoding="utf-8").splitlines()
    assert [json.loads(cell) for cell in header.split("\t")] == odd
    assert rows == ["0.2\t0.8"] * 4


def test_without_a_training_file_the_run_says_what_labels_are(make_task):
    trained = make_task(train_file=TRAIN, label_column=["label"])
    recorded = {name: setting.value for name, setting in trained.run_settings().items()}
    task = make_task(json.loads(json.dumps(recorded)), test_file="text,id\nab,7\n")
    assert task.labels == ("no", "yes")
    assert [each.text_a for each in task.examples("test")] == ["ab"]
    with pytest.raises(UsageError, match="^train_file is required: there is no trained run"):
        make_task(test_file="text\nab\n")


def test_loose_input_may_have_the_columns_of_the_training_file_or_text(make_task):
    trained = make_task(train_file="premise,hypothesis,label\na,b,0\nb,a,1\n")
    recorded = {name: setting.value for name, setting in trained.run_settings().items()}
    task = make_task(recorded)
    for names in (("premise", "hypothesis"), ("text", "text_pair")):
        example = task.example_of(Row("f:1", dict(zip(names, "xy"))))
        assert (example.text_a, example.text_b) == ("x", "y")
    with pytest.raises(UsageError, match="^f:1: there is no 'text_pair' among 'text'"):
        task.example_of(Row("f:1", {"text": "x"}))


def test_runs_of_glue_tasks_take_loose_input(wordpiece):
    recorded = {"labels": ["no", "yes"]}
    pair = FileTask(SplitFiles(), FileSettings(), recorded, "rte", "", wordpiece, 16)
    assert pair.example_of(Row("f:1", {"text": "x", "text_pair": "y"})).text_b == "y"
    single = FileTask(SplitFiles(), FileSettings(), recorded, "cola", "", wordpiece, 16)
    assert single.example_of(Row("f:1", {"text": "x", "text_pair": "y"})).text_b is None
    (result,) = single.results_of([None], [{"probabilities": np.array([0.25, 0.75])}], None)
    assert result == {"label": "yes", "score": 0.75, "probabilities": {"no": 0.25, "yes": 0.75}}
