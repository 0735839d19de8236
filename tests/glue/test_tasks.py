"""The GLUE tasks beyond CoLA, SST-2 and STS-B."""

import json
import logging

import numpy as np
import pytest
from sample_glue import (
    ENTAILMENT,
    LAYOUTS,
    NLI,
    flags_of,
    labels_of,
    run_python,
)

from albert.common.errors import UsageError
from albert.engine.task import LOSSES, mean_loss
from albert.glue import metrics
from albert.glue.table import GLUE_ROWS


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_pair_tasks_read_the_benchmarks_columns(make_task, name):
    task = make_task(name)
    first = task.examples("train")[0]
    assert (first.text_a, first.text_b, first.label) == ("a a", "e", labels_of(name)[0])
    assert [len(task.examples(split)) for split in ("train", "dev", "test")] == [12, 7, 5]
    last = task.examples("test")[-1]
    assert (last.guid, last.text_a, last.text_b, last.label) == ("4", "e a", "d", None)


def test_mnli_reads_the_label_from_the_last_column_of_train_and_dev(make_task):
    task = make_task("mnli")
    for split, count in (("train", 12), ("dev_matched", 7), ("dev_mismatched", 8)):
        examples = task.examples(split)
        assert len(examples) == count
        assert [example.label for example in examples[:4]] == [*NLI, NLI[0]]
        assert (examples[1].text_a, examples[1].text_b) == ("b a", "d")


def test_mnli_predicts_the_diagnostic_set_only_if_it_exists(make_task, data_dir, tmp_path):
    assert make_task("mnli").test_splits == ("test_matched", "test_mismatched", "diagnostic")
    assert make_task("mnli", tmp_path).test_splits == ("test_matched", "test_mismatched")


HEADERS = [(name, split) for name in [*LAYOUTS, "mnli", "ax"] for split in GLUE_ROWS[name].splits]


@pytest.mark.parametrize("name, split", HEADERS)
def test_a_file_without_its_header_is_refused(make_task, data_dir, tmp_path, name, split):
    path = GLUE_ROWS[name].splits[split].path
    header, rest = (data_dir / path).read_text(encoding="utf-8").split("\n", 1)
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(rest, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"{split}\.tsv:1: this line holds an example"):
        make_task(name, tmp_path).examples(split)
    (tmp_path / path).write_text(header.upper() + "\n\n" + rest, encoding="utf-8")
    read, expected = (make_task(name, folder).examples(split) for folder in (tmp_path, data_dir))
    assert read == expected


def write_split(folder, name, text):
    """Writes a training file of a task, without folders above it."""
    folder.joinpath(name).mkdir()
    (folder / name / "train.tsv").write_text(text, encoding="utf-8")


def test_qqp_rows_without_six_columns_are_counted_and_skipped(
    make_task, data_dir, tmp_path, caplog
):
    whole = (data_dir / "QQP" / "train.tsv").read_text(encoding="utf-8")
    uneven = "133\t21\t22\ta\n134\t21\t22\ta\tb\n135\t21\t22\ta\ta\tb\t1\n"
    write_split(tmp_path, "QQP", whole + uneven)
    with caplog.at_level(logging.WARNING, logger="albert"):
        logging.getLogger("albert").propagate = True
        assert len(make_task("qqp", tmp_path).examples("train")) == 12
    assert "3 rows without exactly 6 columns are left out" in caplog.text


def test_uneven_rows_of_other_tasks_are_an_error_with_file_and_line(make_task, tmp_path):
    header = "index\ta\tb\tlabel\n0\ta\tb\tentailment\n"
    write_split(tmp_path, "RTE", header + "1\ta\tb\n")
    write_split(tmp_path, "QNLI", header + "1\ta\ta\tb\tentailment\n")
    with pytest.raises(UsageError, match=r"train\.tsv:3: 3 columns found, 4 expected"):
        make_task("rte", tmp_path).examples("train")
    with pytest.raises(UsageError, match=r"train\.tsv:3: 5 columns found, 4 expected"):
        make_task("qnli", tmp_path).examples("train")


# Labels in the order of their ids, as in the published checkpoints' heads.
ORDER_OF_LABELS = {
    "mrpc": ["0", "1"],
    "qqp": ["0", "1"],
    "wnli": ["0", "1"],
    "qnli": ["entailment", "not_entailment"],
    "rte": ["entailment", "not_entailment"],
    "mnli": ["contradiction", "entailment", "neutral"],
    "ax": ["contradiction", "entailment", "neutral"],
}


@pytest.mark.parametrize("name", sorted(ORDER_OF_LABELS))
def test_the_ids_of_labels_are_the_published_ones(make_task, name, tmp_path):
    order = ORDER_OF_LABELS[name]
    task = make_task(name)
    if name != "ax":
        split = "dev_matched" if name == "mnli" else "dev"
        for example, feature in zip(task.examples(split), task.features(split)):
            assert order[feature["label_ids"]] == example.label
    test_split = task.test_splits[0]
    rows = [{"probabilities": np.eye(len(order))[n % len(order)]} for n in range(4)]
    rows = (rows + rows)[: len(task.examples(test_split))]
    task.write_predictions({test_split: rows}, str(tmp_path))
    lines = (tmp_path / "submit_results.tsv").read_text(encoding="utf-8").splitlines()[1:]
    expected = [order[n % 4 % len(order)] for n in range(len(lines))]
    assert [line.split("\t")[1] for line in lines] == expected


def test_the_loss_of_mnli_is_the_mean_over_both_dev_sets():
    matched = [{LOSSES: np.float32(loss)} for loss in (1.0, 2.0, 3.0)]
    mismatched = [{LOSSES: np.float32(10.0)}]
    predictions = {"dev_matched": matched, "dev_mismatched": mismatched}
    assert mean_loss(predictions) == {"loss": 4.0}  # 16 / 4


def test_mnli_has_separate_metrics_for_matched_and_mismatched(make_task):
    task = make_task("mnli")
    # "contradiction" is right for 3 of 7 matched and 3 of 8 mismatched examples.
    row = {"probabilities": np.array([0.8, 0.1, 0.1]), "losses": 0.5}
    values = task.evaluate({"dev_matched": [row] * 7, "dev_mismatched": [row] * 8})
    assert values["accuracy"] == pytest.approx(3 / 7)
    assert values["accuracy_mm"] == pytest.approx(3 / 8)


def test_mnli_writes_a_submission_file_for_each_test_set(make_task, tmp_path):
    task = make_task("mnli")
    counts = {"test_matched": 5, "test_mismatched": 6, "diagnostic": 4}
    row = {"probabilities": np.array([0.1, 0.2, 0.7])}
    task.write_predictions({split: [row] * count for split, count in counts.items()}, str(tmp_path))
    for name, count in (("MNLI-m.tsv", 5), ("MNLI-mm.tsv", 6), ("AX.tsv", 4)):
        expected = ["index\tprediction"] + [f"{index}\tneutral" for index in range(count)]
        assert (tmp_path / name).read_text().splitlines() == expected
    assert len((tmp_path / "test_results.tsv").read_text().splitlines()) == 5
    assert len((tmp_path / "submit_results.tsv").read_text().splitlines()) == 6


def test_ax_has_nothing_to_train_or_evaluate_on(make_task):
    with pytest.raises(UsageError, match="do_predict alone, with a model of mnli"):
        make_task("ax").examples("train")


def test_rows_name_the_ten_tasks_and_their_submission_files():
    files = {
        split.submission
        for row in GLUE_ROWS.values()
        for split in row.splits.values()
        if split.submission
    }
    expected = "CoLA SST-2 MRPC STS-B QQP MNLI-m MNLI-mm QNLI RTE WNLI AX"
    assert files == {name + ".tsv" for name in expected.split()}
    assert len(GLUE_ROWS) == 10


def test_the_real_data_has_the_published_number_of_rows(shared_data, make_task):
    published = {"mrpc": (3668, 408, 1725), "rte": (2490, 277, 3000), "wnli": (635, 71, 146)}
    for name, counts in published.items():
        task = make_task(name, shared_data / "glue_data")
        assert tuple(len(task.examples(split)) for split in ("train", "dev", "test")) == counts


def test_f1_counts_class_1():
    # 2 true positives, 1 false positive, 1 false negative: F1 = 4 / (4 + 1 + 1).
    values = metrics.accuracy_and_f1([1, 1, 1, 0, 0], [1, 1, 0, 1, 0])
    assert values == {"accuracy": pytest.approx(3 / 5), "f1": pytest.approx(2 / 3)}


def test_f1_without_any_positive_is_zero():
    assert metrics.accuracy_and_f1([0, 0], [0, 0]) == {"accuracy": 1.0, "f1": 0.0}


@pytest.fixture(scope="module")
def runs(data_dir, tmp_path_factory):
    """Returns (folder, {name: outcome}) of commands that run one after another in one process."""
    root = tmp_path_factory.mktemp("runs")
    whole = ["--do_train", "--do_eval", "--do_predict"]
    commands = {name: flags_of(data_dir, name, root / name) + whole for name in [*LAYOUTS, "mnli"]}
    commands["ax"] = flags_of(data_dir, "ax", root / "mnli") + ["--do_predict"]
    commands["ax trained"] = flags_of(data_dir, "ax", root / "ax") + ["--do_train"]
    head = {"init_checkpoint": root / "mnli" / "model.ckpt-best"}
    commands["other head"] = flags_of(data_dir, "rte", root / "head", **head) + ["--do_train"]
    commands["new head"] = flags_of(data_dir, "rte", root / "head", **head) + [
        "--discard_classifier_weights",
        "--do_train",
    ]
    commands["other task"] = flags_of(data_dir, "qnli", root / "rte") + ["--do_train"]
    commands["other seed"] = flags_of(data_dir, "rte", root / "rte", seed=7) + ["--do_train"]
    commands["longer"] = flags_of(data_dir, "rte", root / "rte", train_step=3) + ["--do_train"]
    commands["finished"] = commands["rte"]
    done = run_python("run_in_process.py", stdin=json.dumps(commands))
    assert done.returncode == 0, done.stderr
    return root, json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LAYOUTS, "mnli"])
def test_a_task_trains_evaluates_and_predicts_from_the_command_line(runs, name):
    root, outcomes = runs
    assert outcomes[name]["status"] == 0, outcomes[name]["stderr"]
    for split in GLUE_ROWS[name].splits.values():
        if split.submission:
            header, *lines = (root / name / split.submission).read_text().splitlines()
            assert header == "index\tprediction"
            assert [line.split("\t")[0] for line in lines] == [str(n) for n in range(len(lines))]
            assert {line.split("\t")[1] for line in lines} <= set(labels_of(name))


@pytest.mark.slow
def test_ax_predicts_with_the_model_in_an_mnli_output_dir(runs):
    root, outcomes = runs
    assert outcomes["ax"]["status"] == 0, outcomes["ax"]["stderr"]
    assert len((root / "mnli" / "AX.tsv").read_text().splitlines()) == 5


# Number of lines in the submission file, header included, and the allowed predictions.
REAL_TASKS = {
    "cola": (1064, ("0", "1")),
    "mrpc": (1726, ("0", "1")),
    "rte": (3001, ENTAILMENT),
    "wnli": (147, ("0", "1")),
}


@pytest.mark.slow
def test_real_tasks_train_evaluate_and_predict_from_the_command_line(
    shared_data, data_dir, tmp_path
):
    config = json.loads((data_dir / "albert_config.json").read_text())
    config.update(vocab_size=30000, max_position_embeddings=64)
    (tmp_path / "albert_config.json").write_text(json.dumps(config))
    real = {
        "data_dir": shared_data / "glue_data",
        "vocab_file": shared_data / "spm" / "30k-clean.vocab",
        "spm_model_file": shared_data / "spm" / "30k-clean.model",
        "max_seq_length": 64,
        "eval_batch_size": 64,
        "predict_batch_size": 64,
    }
    commands = {
        name: flags_of(tmp_path, name, tmp_path / name, **real)
        + ["--do_train", "--do_eval", "--do_predict"]
        for name in REAL_TASKS
    }
    done = run_python("run_in_process.py", stdin=json.dumps(commands))
    assert done.returncode == 0, done.stderr
    for name, outcome in json.loads(done.stdout).items():
        assert outcome["status"] == 0, outcome["stderr"]
        num_lines, labels = REAL_TASKS[name]
        file = GLUE_ROWS[name].splits["test"].submission
        header, *lines = (tmp_path / name / file).read_text().splitlines()
        assert 1 + len(lines) == num_lines
        assert {line.split("\t")[1] for line in lines} <= set(labels)


REFUSALS = {
    "ax trained": "--task_name=ax has no labelled data",
    "other head": "--discard_classifier_weights",
    "other task": "--task_name was 'rte' and is 'qnli'",
    "other seed": "--seed was 42 and is 7",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_a_run_that_does_not_fit_is_refused_in_one_line(runs, name):
    outcome = runs[1][name]
    assert outcome["status"] == 1
    errors = [line for line in outcome["stderr"].splitlines() if not line[:2].isdigit()]
    assert len(errors) == 1 and REFUSALS[name] in errors[0]


@pytest.mark.slow
def test_discarding_the_classifier_starts_with_a_new_head(runs):
    outcome = runs[1]["new head"]
    assert outcome["status"] == 0, outcome["stderr"]
    assert "newly initialized: output_weights, output_bias" in outcome["stderr"]


@pytest.mark.slow
def test_a_run_continues_to_more_steps_and_says_when_it_has_them_all(runs):
    assert "Resuming from" in runs[1]["longer"]["stderr"]
    assert "has all 2 steps: nothing to train" in runs[1]["finished"]["stderr"]
    assert runs[1]["finished"]["status"] == 0
