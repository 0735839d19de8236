"""Tests of albert.glue.own_tasks: tasks defined outside the package."""

import inspect

import numpy as np
import pytest
from sample_glue import (
    flags_of,
    run_python,
)

from albert import classifier_utils
from albert.common.errors import UsageError
from albert.glue import metrics, table


class Parity(classifier_utils.DataProcessor):
    """Whether a text has an odd number of words. The examples are made up here, not read."""

    best_metric = "f1"

    def _examples(self, count):
        return [
            classifier_utils.InputExample(
                f"id{n}", "a " * (n + 1), None, ("even", "odd")[(n + 1) % 2]
            )
            for n in range(count)
        ]

    def get_train_examples(self, data_dir):
        return self._examples(8)

    def get_dev_examples(self, data_dir):
        return self._examples(5)

    def get_test_examples(self, data_dir):
        return [classifier_utils.InputExample(f"t{n}", "a b") for n in range(3)]

    def get_labels(self):
        return ["even", "odd"]

    def get_metrics(self, labels, predictions):
        return metrics.accuracy_and_f1(labels, predictions)


@pytest.fixture
def parity(monkeypatch):
    monkeypatch.setattr(table, "OWN_TASKS", {})
    return classifier_utils.register("Parity")(Parity)


def test_a_registered_processor_becomes_a_task_under_its_name(parity, make_task, tmp_path):
    task = make_task("PARITY")
    features = list(task.features("train"))
    assert [feature["label_ids"] for feature in features] == [1, 0] * 4
    assert features[0]["input_ids"] == [2, 5, 3]
    row = {"probabilities": np.array([0.2, 0.8]), "losses": 1.0}
    # Odd is right for 3 of 5: F1 = 6 / (6 + 2).
    values = task.evaluate({"dev": [row] * 5})
    assert values == {"accuracy": 0.6, "f1": pytest.approx(0.75)}
    task.write_predictions({"test": [row] * 3}, str(tmp_path))
    expected = ["index\tprediction", "t0\todd", "t1\todd", "t2\todd"]
    assert (tmp_path / "submit_results.tsv").read_text().splitlines() == expected


def test_ids_and_labels_of_a_processor_cannot_break_its_files(
    parity, make_task, monkeypatch, tmp_path
):
    found = [classifier_utils.InputExample(guid, "a") for guid in ("a\tb", "\ud800", 3)]
    monkeypatch.setattr(Parity, "get_test_examples", lambda self, data_dir: found)
    monkeypatch.setattr(Parity, "get_labels", lambda self: ["even", "o\ndd"])
    rows = [{"probabilities": np.array(pair)} for pair in ([0.2, 0.8], [0.7, 0.3], [0.6, 0.4])]
    make_task("parity").write_predictions({"test": rows}, str(tmp_path))
    assert (tmp_path / "submit_results.tsv").read_text(encoding="utf-8").split("\n") == [
        "index\tprediction",
        '"a\\tb"\t"o\\ndd"',
        '"\\ud800"\teven',
        "3\teven",
        "",
    ]


def test_a_processor_whose_example_has_an_unknown_label_is_refused(parity, make_task, monkeypatch):
    monkeypatch.setattr(Parity, "get_labels", lambda self: ["even"])
    with pytest.raises(UsageError, match="Parity.get_train_examples: example id0: label 'odd'"):
        make_task("parity").examples("train")


def test_a_processor_without_examples_is_refused(parity, make_task, monkeypatch):
    monkeypatch.setattr(Parity, "get_dev_examples", lambda self, data_dir: [])
    with pytest.raises(UsageError, match="Parity.get_dev_examples found no examples"):
        make_task("parity").examples("dev")


@pytest.mark.parametrize(
    "change",
    [
        lambda self, split: self._examples(9),
        lambda self, split: relabelled(self._examples(8)),
    ],
    ids=["examples", "a label"],
)
def test_a_processors_features_are_made_again_when_its_examples_change(
    parity, make_task, monkeypatch, change
):
    before = make_task("parity").fingerprint("train")
    assert make_task("parity").fingerprint("train") == before
    monkeypatch.setattr(Parity, "get_train_examples", change)
    assert make_task("parity").fingerprint("train") != before


def relabelled(examples):
    examples[3].label = "odd" if examples[3].label == "even" else "even"
    return examples


def test_a_processors_features_are_made_again_when_its_labels_change(
    parity, make_task, monkeypatch
):
    before = make_task("parity").fingerprint("train")
    monkeypatch.setattr(Parity, "get_labels", lambda self: ["odd", "even"])
    assert make_task("parity").fingerprint("train") != before


def test_labels_of_a_processor_may_be_numbers(parity, make_task, monkeypatch):
    example = classifier_utils.InputExample
    monkeypatch.setattr(Parity, "get_labels", lambda self: [1, 0])
    found = [example("a", "a", label=0), example("b", "a", label=np.int64(1))]
    found += [example("c", "a", label="0")]
    monkeypatch.setattr(Parity, "get_train_examples", lambda self, data_dir: found)
    monkeypatch.setattr(Parity, "get_test_examples", lambda self, data_dir: found)
    task = make_task("parity")
    assert task.labels == ("1", "0")
    assert [feature["label_ids"] for feature in task.features("train")] == [1, 0, 1]
    task.fingerprint("train")
    # Labels of test examples are not read, whatever they are.
    assert [feature["label_ids"] for feature in task.features("test")] == [0, 0, 0]


def test_labels_of_a_processors_regression_may_be_numbers(parity, make_task, monkeypatch):
    found = [classifier_utils.InputExample("a", "a", label=label) for label in (np.float32(0.5), 2)]
    monkeypatch.setattr(Parity, "get_labels", lambda self: None)
    monkeypatch.setattr(Parity, "get_train_examples", lambda self, data_dir: found)
    task = make_task("parity")
    assert [feature["label_ids"] for feature in task.features("train")] == [0.5, 2.0]
    task.fingerprint("train")


def test_the_best_metric_of_a_processor_is_known_before_anything_is_trained(
    parity, make_task, monkeypatch
):
    monkeypatch.setattr(Parity, "best_metric", "F1")
    task = make_task("parity")
    with pytest.raises(UsageError) as caught:
        task.fingerprint("dev")  # the first that the engine asks for
    assert str(caught.value) == (
        "Parity.best_metric is 'F1', but the metrics are accuracy, f1, loss."
    )


def test_a_processor_says_which_way_its_best_metric_is_better(parity, make_task, monkeypatch):
    assert make_task("parity").greater_is_better
    monkeypatch.setattr(Parity, "best_metric", "loss")
    with pytest.raises(UsageError, match="set greater_is_better = False in the class"):
        make_task("parity").examples("dev")
    monkeypatch.setattr(Parity, "greater_is_better", False)
    task = make_task("parity")
    assert len(task.examples("dev")) == 5
    assert (task.best_metric, task.greater_is_better) == ("loss", False)


def test_a_processors_metrics_are_nan_if_a_prediction_is_not_finite(parity, make_task, monkeypatch):
    def get_metrics(self, labels, predictions):
        return {"accuracy": np.float32(0.5), "f1": sum(predictions) // 1}

    monkeypatch.setattr(Parity, "get_metrics", get_metrics)
    row = {"probabilities": np.array([0.2, 0.8])}
    task = make_task("parity")
    values = task.evaluate({"dev": [row] * 5})
    assert values == {"accuracy": 0.5, "f1": 5.0}
    assert all(type(value) is float for value in values.values())
    values = task.evaluate({"dev": [row] * 4 + [{"probabilities": np.array([0.2, np.nan])}]})
    assert sorted(values) == ["accuracy", "f1"] and np.isnan(list(values.values())).all()


# What a user's class may do, and the line that it ends in; {file} is a TSV file of two rows, of
# which the second has no tab.
FAILURES = {
    "column": (
        {"get_dev_examples": lambda self, data_dir: self._of(cells[1] for cells in self._rows())},
        "Parity.get_dev_examples failed (last row read: {file}:2): IndexError: list index",
    ),
    "unpacking": (
        {"get_dev_examples": lambda self, data_dir: self._of(b for _, b in self._rows())},
        "Parity.get_dev_examples failed (last row read: {file}:2): ValueError: not enough values",
    ),
    "number": (
        {"get_dev_examples": lambda self, data_dir: [float(row[0]) for row in self._rows()[1:]]},
        "Parity.get_dev_examples failed (last row read: {file}:2): ValueError: could not",
    ),
    "other reader": (
        {"get_dev_examples": lambda self, data_dir: open("nowhere")},
        "Parity.get_dev_examples failed: FileNotFoundError: [Errno 2] No such file or directory",
    ),
    "no examples": (
        {"get_dev_examples": lambda self, data_dir: [{"text_a": "a"}]},
        "Parity.get_dev_examples failed: AttributeError: 'dict' object has no attribute",
    ),
    "no text": (
        {"get_dev_examples": lambda self, data_dir: self._of([0.5])},
        "Parity.get_dev_examples: example 0: 0.5 is not text, but float.",
    ),
    "bytes": (
        {"get_dev_examples": lambda self, data_dir: self._of([b"a\n" * 50])},
        "Parity.get_dev_examples: example 0: b'a\\na\\na",
    ),
    "unknown label": (
        {
            "get_labels": lambda self: ["a\nb", "c"],
            "get_dev_examples": lambda self, data_dir: self._of(["a"], "d\n"),
        },
        "Parity.get_dev_examples: example 0: label 'd\\n' is not one of \"a\\nb\", c.",
    ),
    "no label": (
        {"get_dev_examples": lambda self, data_dir: self._of(["a"], None)},
        "Parity.get_dev_examples: example 0: label None is not one of even, odd.",
    ),
    "labels": (
        {"get_labels": lambda self: 1 / 0},
        "Parity.get_labels failed: ZeroDivisionError: division by zero",
    ),
    "empty labels": (
        {"get_labels": lambda self: []},
        "Parity.get_labels returned no labels; a regression returns None.",
    ),
    "a label twice": (
        {"get_labels": lambda self: ["1", 1]},
        "Parity.get_labels returned a label twice: '1', '1'.",
    ),
    "metrics": (
        {"get_metrics": lambda self, labels, predictions: 0.5},
        "Parity.get_metrics failed: AttributeError: 'float' object has no attribute",
    ),
    "constructor": (
        {"__init__": lambda self: {}["key"]},
        "Parity failed: KeyError: 'key'",
    ),
}


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_what_a_processor_does_wrong_ends_in_one_line(
    parity, make_task, monkeypatch, tmp_path, name
):
    file = tmp_path / "dev.tsv"
    file.write_text("a\teven\nb\n", encoding="utf-8")
    changes, line = FAILURES[name]
    helpers = {
        "_rows": lambda self: self._read_tsv(str(file)),
        "_of": lambda self, texts, label="even": [
            classifier_utils.InputExample(str(n), text, label=label) for n, text in enumerate(texts)
        ],
    }
    for method, function in {**helpers, **changes}.items():
        monkeypatch.setattr(Parity, method, function, raising=False)
    with pytest.raises(UsageError) as caught:
        make_task("parity").examples("dev")
    message = caught.value.text("--{}".format)
    assert message.startswith(line.format(file=file)) and "\n" not in message
    if "failed" in line:
        assert message.endswith("(--verbosity=1 shows the traceback)")
        assert isinstance(caught.value.__cause__, Exception)


def test_a_file_that_a_processor_reads_in_another_encoding_is_reported(tmp_path):
    file = tmp_path / "dev.tsv"
    file.write_bytes("a\teven\nb\todd\n".encode("utf-16"))
    with pytest.raises(
        UsageError, match=r"dev\.tsv is not .* byte 0 \(line 1\) .* looks like UTF-16"
    ):
        Parity._read_tsv(str(file))


def test_a_processor_cannot_take_the_name_of_a_glue_task():
    with pytest.raises(ValueError, match="There is already a task called cola"):
        classifier_utils.register("CoLA")(Parity)


OUTSIDE = """
from albert import classifier_utils, run_multigpus_classifier
from albert.glue import metrics

%s

classifier_utils.register("parity")(Parity)
run_multigpus_classifier.run()
"""


@pytest.mark.slow
def test_a_task_defined_outside_the_package_runs_from_its_own_script(data_dir, tmp_path):
    script = tmp_path / "my_task.py"
    script.write_text(OUTSIDE % inspect.getsource(Parity))
    flags = flags_of(data_dir, "parity", tmp_path / "out")
    done = run_python(script, *flags, "--do_train", "--do_eval", "--do_predict")
    assert done.returncode == 0, done.stderr
    submitted = (tmp_path / "out" / "submit_results.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in submitted] == ["index", "t0", "t1", "t2"]
    assert "f1 = " in (tmp_path / "out" / "eval_results.txt").read_text()
