"""Tests of albert.engine.evaluation: which checkpoints are scored, and which one is kept."""

import glob
import json
import math
import os
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert import classifier_utils, tokenization
from albert.engine import checkpoints, devices, model_fn, predictor
from albert.engine.evaluation import Evaluator
from albert.engine.input_pipeline import FeatureFile, cached_features

DEV = FeatureFile("dev.tf_record", 3, "fingerprint-of-dev")
OTHER_DEV = FeatureFile("dev.tf_record", 3, "fingerprint-of-other-dev")


class StubTask:
    """Its metric is the score in the predictions; records the steps it evaluates."""

    best_metric = "score"
    greater_is_better = True
    shown_metrics = ()

    def __init__(self):
        self.steps = []

    def evaluate(self, predictions, metrics=None):
        (row,) = predictions["dev"]
        self.steps.append(row["step"])
        return {"score": row["score"]}

    def comparisons(self, split, rows, metrics):
        return ({"gold": 0.0, "predicted": row["score"], "known": metrics} for row in rows)


class StubPredictor:
    """Predicts the score stored in the checkpoint, or another one for other data."""

    def __init__(self, other_scores=None):
        self._other_scores = other_scores or {}

    def predict(self, checkpoint, feature_file, batch_size, setting):
        assert setting == "eval_batch_size"  # to be named where memory does not suffice
        step = checkpoints.read_scalar(checkpoint, "global_step")
        score = checkpoints.read_scalar(checkpoint, "score")
        if feature_file is OTHER_DEV:
            score = self._other_scores[step]
        return [{"step": step, "score": score, "losses": 2.0 * step}]


def write_checkpoint(output_dir, step, score):
    """Writes a real checkpoint of two shards that holds its own score."""
    with tf.Graph().as_default():
        with tf.device("/cpu:0"):
            tf.get_variable("global_step", initializer=tf.constant(step, tf.int64))
        with tf.device("/cpu:1"):
            tf.get_variable("score", initializer=tf.constant(score, tf.float64))
        config = tf.ConfigProto(device_count={"CPU": 2, "GPU": 0})
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            saver = tf.train.Saver(sharded=True)
            return saver.save(session, str(output_dir / "model.ckpt"), global_step=step)


def remove_checkpoint(output_dir, name):
    for file in checkpoints.files_of(str(output_dir / name)):
        os.remove(file)


def evaluate_all(output_dir, feature_file=DEV, other_scores=None, eval_steps=None, last_step=None):
    """Evaluates as a new run would; returns the steps that were scored, and the Evaluator."""
    own_task = StubTask()
    evaluator = Evaluator(
        own_task, StubPredictor(other_scores), str(output_dir), {"dev": feature_file}, 4, eval_steps
    )
    evaluator.evaluate_all(last_step)
    return own_task.steps, evaluator


def kept_step(output_dir):
    """Returns the global_step inside model.ckpt-best, or None."""
    path = checkpoints.best(str(output_dir))
    return path and checkpoints.read_scalar(path, "global_step")


def test_checkpoints_between_two_evaluations_are_left_out_but_for_the_last(tmp_path):
    for step in (5, 7, 10, 15, 20, 25):
        write_checkpoint(tmp_path, step, score=0.5)
    assert evaluate_all(tmp_path, eval_steps=10, last_step=30)[0] == [10, 20]
    assert evaluate_all(tmp_path, eval_steps=10)[0] == [25]
    assert evaluate_all(tmp_path, eval_steps=10)[0] == []
    assert evaluate_all(tmp_path)[0] == [5, 7, 15]


def test_every_checkpoint_on_disk_is_evaluated_earliest_first(tmp_path):
    for step in (10, 9, 100):
        write_checkpoint(tmp_path, step, score=0.5)
    assert evaluate_all(tmp_path)[0] == [9, 10, 100]


def test_evaluating_a_second_time_does_nothing(tmp_path):
    for step in (1, 2):
        write_checkpoint(tmp_path, step, score=0.5)
    _, evaluator = evaluate_all(tmp_path)
    before = (tmp_path / "eval_results.json").read_bytes()
    evaluator._task.steps.clear()
    evaluator.evaluate_all()
    assert evaluator._task.steps == []
    assert (tmp_path / "eval_results.json").read_bytes() == before


def test_a_new_run_evaluates_only_what_was_never_evaluated(tmp_path):
    write_checkpoint(tmp_path, 1, score=0.5)
    assert evaluate_all(tmp_path)[0] == [1]
    write_checkpoint(tmp_path, 2, score=0.25)
    assert evaluate_all(tmp_path)[0] == [2]


def test_a_damaged_checkpoint_before_the_newest_is_left_out_with_a_warning(tmp_path, caplog):
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step, score=0.5)
    (tmp_path / "model.ckpt-2.data-00001-of-00002").write_bytes(b"")
    steps, evaluator = evaluate_all(tmp_path)
    assert steps == [1, 3]
    assert [row["step"] for row in evaluator.record._evaluations] == [1, 3]
    (warning,) = [row.getMessage() for row in caplog.records if row.levelname == "WARNING"]
    assert warning.startswith(f"{tmp_path}/model.ckpt-2 is damaged (")
    assert warning.endswith("): it is not evaluated.")


def test_step_0_is_skipped(tmp_path):
    write_checkpoint(tmp_path, 0, score=1.0)
    steps, evaluator = evaluate_all(tmp_path)
    assert steps == []
    assert evaluator.record.best() is None
    assert kept_step(tmp_path) is None


def test_an_empty_folder_is_not_an_error(tmp_path):
    assert evaluate_all(tmp_path)[0] == []


def test_the_checkpoint_with_the_highest_metric_is_kept(tmp_path):
    for step, score in [(1, 0.25), (2, 0.75), (3, 0.5)]:
        write_checkpoint(tmp_path, step, score)
    _, evaluator = evaluate_all(tmp_path)
    assert kept_step(tmp_path) == 2
    assert evaluator.record.best()["step"] == 2
    assert evaluator.record.best()["metrics"] == {"score": 0.75, "loss": 4.0}


def test_the_earliest_of_equally_good_checkpoints_is_kept(tmp_path):
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step, score=0.5)
    evaluate_all(tmp_path)
    assert kept_step(tmp_path) == 1


def test_a_later_run_replaces_the_best_only_by_a_better_one(tmp_path):
    write_checkpoint(tmp_path, 1, score=0.5)
    evaluate_all(tmp_path)
    write_checkpoint(tmp_path, 2, score=0.25)
    evaluate_all(tmp_path)
    assert kept_step(tmp_path) == 1
    write_checkpoint(tmp_path, 3, score=0.75)
    evaluate_all(tmp_path)
    assert kept_step(tmp_path) == 3


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_metrics_that_are_not_finite_give_one_warning_and_are_not_kept(
    tmp_path, caplog, monkeypatch, score
):
    def predict(self, checkpoint, feature_file, batch_size, setting):
        assert setting == "eval_batch_size"  # to be named where memory does not suffice
        return [{"step": 1, "score": score, "losses": math.inf}]

    monkeypatch.setattr(StubPredictor, "predict", predict)
    write_checkpoint(tmp_path, 1, score)
    evaluate_all(tmp_path)
    assert kept_step(tmp_path) is None
    (warning,) = [row.getMessage() for row in caplog.records if row.levelname == "WARNING"]
    assert warning == "Step 1: the model has diverged; not finite: score, loss."


@pytest.mark.parametrize("greater_is_better, step", [(True, 2), (False, 3)])
def test_a_task_says_which_way_its_metric_is_better(tmp_path, monkeypatch, greater_is_better, step):
    monkeypatch.setattr(StubTask, "greater_is_better", greater_is_better)
    for number, score in [(1, 0.0), (2, 0.5), (3, -0.75), (4, -0.5)]:
        write_checkpoint(tmp_path, number, score)
    evaluate_all(tmp_path)
    assert kept_step(tmp_path) == step


def test_the_best_of_negative_metrics_is_kept(tmp_path):
    for step, score in [(1, -0.75), (2, -0.25), (3, -0.5)]:
        write_checkpoint(tmp_path, step, score)
    _, evaluator = evaluate_all(tmp_path)
    assert kept_step(tmp_path) == evaluator.record.best()["step"] == 2


def test_the_best_checkpoint_is_not_copied_again(tmp_path):
    write_checkpoint(tmp_path, 1, score=0.5)
    evaluate_all(tmp_path)
    index = tmp_path / "model.ckpt-best.index"
    before = index.stat().st_ino, index.stat().st_mtime
    _, evaluator = evaluate_all(tmp_path)
    evaluator.evaluate_all()
    assert (index.stat().st_ino, index.stat().st_mtime) == before


def test_every_file_of_the_best_checkpoint_is_kept_byte_for_byte(tmp_path):
    source = write_checkpoint(tmp_path, 7, score=0.5)
    evaluate_all(tmp_path)
    endings = [name[len(source) :] for name in glob.glob(source + ".*")]
    assert {".index", ".meta", ".data-00000-of-00002", ".data-00001-of-00002"} == set(endings)
    best = str(tmp_path / "model.ckpt-best")
    assert {name[len(best) :] for name in glob.glob(best + ".*")} == set(endings)
    for ending in endings:
        with open(source + ending, "rb") as one, open(best + ending, "rb") as other:
            assert one.read() == other.read()


def dev_predictions(folder):
    lines = (folder / "dev_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_predictions_of_the_best_checkpoint_are_kept(tmp_path):
    for step, score in [(1, 0.25), (2, 0.75), (3, 0.5)]:
        write_checkpoint(tmp_path, step, score)
    evaluate_all(tmp_path)
    (row,) = dev_predictions(tmp_path)
    assert row == {
        "step": 2,
        "split": "dev",
        "index": 0,
        "gold": 0.0,
        "predicted": 0.75,
        "known": {"score": 0.75, "loss": 4.0},
    }


@pytest.mark.parametrize("left", [None, '{"step": 1}\n', "no JSON", '{"step": 2}\n'])
def test_predictions_that_are_lost_or_of_another_checkpoint_are_made_again(tmp_path, left):
    for step, score in [(1, 0.25), (2, 0.75)]:
        write_checkpoint(tmp_path, step, score)
    evaluate_all(tmp_path)
    expected = dev_predictions(tmp_path)
    if left is None:
        os.remove(tmp_path / "dev_predictions.jsonl")
    else:
        (tmp_path / "dev_predictions.jsonl").write_text(left)
    assert evaluate_all(tmp_path)[0] == []
    is_of_best = left == '{"step": 2}\n'
    assert dev_predictions(tmp_path) == ([{"step": 2}] if is_of_best else expected)


def test_a_failure_leaves_the_predictions_as_they_were(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, 1, score=0.25)
    evaluate_all(tmp_path)
    before = dev_predictions(tmp_path)

    def fail(self, split, rows, metrics):
        yield {"gold": 0.0}
        raise OSError("the disk is full")

    monkeypatch.setattr(StubTask, "comparisons", fail)
    write_checkpoint(tmp_path, 2, score=0.75)
    with pytest.raises(OSError):
        evaluate_all(tmp_path)
    assert dev_predictions(tmp_path) == before
    assert not glob.glob(str(tmp_path / "*.part"))


def test_the_results_list_the_kept_files(tmp_path):
    source = write_checkpoint(tmp_path, 7, score=0.5)
    evaluate_all(tmp_path)
    lines = (tmp_path / "eval_results.txt").read_text().splitlines()
    best = str(tmp_path / "model.ckpt-best")
    for ending in (".index", ".meta", ".data-00000-of-00002", ".data-00001-of-00002"):
        assert f"saved {source}{ending} to {best}{ending}" in lines


def test_the_best_checkpoint_is_kept_when_its_numbered_files_are_deleted(tmp_path):
    write_checkpoint(tmp_path, 1, score=0.75)
    evaluate_all(tmp_path)
    remove_checkpoint(tmp_path, "model.ckpt-1")
    write_checkpoint(tmp_path, 2, score=0.25)
    evaluate_all(tmp_path)
    assert kept_step(tmp_path) == 1


def test_a_lost_best_checkpoint_is_kept_again_without_another_evaluation(tmp_path):
    for step, score in [(1, 0.75), (2, 0.25)]:
        write_checkpoint(tmp_path, step, score)
    evaluate_all(tmp_path)
    remove_checkpoint(tmp_path, "model.ckpt-best")
    assert evaluate_all(tmp_path)[0] == []
    assert kept_step(tmp_path) == 1


def test_the_next_run_completes_an_interrupted_copy_of_the_best(tmp_path):
    write_checkpoint(tmp_path, 1, score=0.75)
    evaluate_all(tmp_path)
    for file in checkpoints.files_of(str(tmp_path / "model.ckpt-best")):
        os.rename(file, file.replace("model.ckpt-best", ".incoming-best"))
    remove_checkpoint(tmp_path, "model.ckpt-1")
    evaluate_all(tmp_path)
    assert kept_step(tmp_path) == 1


def test_a_kept_copy_gets_the_file_that_a_killed_run_had_not_written_yet(tmp_path):
    write_checkpoint(tmp_path, 1, score=0.75)
    meta = tmp_path / "model.ckpt-1.meta"
    content = meta.read_bytes()
    meta.unlink()
    evaluate_all(tmp_path)
    assert not (tmp_path / "model.ckpt-best.meta").exists()
    meta.write_bytes(content)
    steps, evaluator = evaluate_all(tmp_path)
    assert steps == [] and (tmp_path / "model.ckpt-best.meta").read_bytes() == content
    (row,) = json.loads((tmp_path / "eval_results.json").read_text())["evaluations"]
    assert str(tmp_path / "model.ckpt-best.meta") in [kept for _, kept in row["saved"]]


def test_checkpoints_are_evaluated_again_on_other_dev_data(tmp_path):
    for step in (1, 2):
        write_checkpoint(tmp_path, step, score=0.5)
    evaluate_all(tmp_path)
    steps, evaluator = evaluate_all(tmp_path, OTHER_DEV, other_scores={1: 0.1, 2: 0.2})
    assert steps == [1, 2]
    assert evaluator.record.best()["metrics"]["score"] == 0.2
    assert evaluate_all(tmp_path, OTHER_DEV)[0] == []


def test_scores_on_other_dev_data_do_not_compete(tmp_path):
    for step, score in [(1, 0.7), (2, 0.9), (3, 0.6)]:
        write_checkpoint(tmp_path, step, score)
    evaluate_all(tmp_path)
    assert kept_step(tmp_path) == 2
    _, evaluator = evaluate_all(tmp_path, OTHER_DEV, other_scores={1: 0.5, 2: 0.3, 3: 0.2})
    assert evaluator.record.best()["step"] == 1
    assert kept_step(tmp_path) == 1


def test_a_kept_checkpoint_without_numbered_files_competes_on_other_dev_data(tmp_path):
    for step, score in [(1, 0.9), (2, 0.5), (3, 0.4)]:
        write_checkpoint(tmp_path, step, score)
    evaluate_all(tmp_path)
    remove_checkpoint(tmp_path, "model.ckpt-1")
    other_scores = {1: 0.3, 2: 0.2, 3: 0.1}
    steps, _ = evaluate_all(tmp_path, OTHER_DEV, other_scores)
    assert sorted(steps) == [1, 2, 3]
    assert kept_step(tmp_path) == 1


def test_a_kept_checkpoint_gives_way_to_a_better_one_on_other_dev_data(tmp_path):
    for step, score in [(2, 0.5), (5, 0.9)]:
        write_checkpoint(tmp_path, step, score)
    evaluate_all(tmp_path)
    remove_checkpoint(tmp_path, "model.ckpt-5")
    evaluate_all(tmp_path, OTHER_DEV, other_scores={2: 0.2, 5: 0.1})
    assert kept_step(tmp_path) == 2


def test_tensorboard_gets_the_metrics_at_their_step(tmp_path):
    for step, score in [(10, 0.25), (20, 0.75)]:
        write_checkpoint(tmp_path, step, score)
    evaluate_all(tmp_path)
    evaluate_all(tmp_path)
    (path,) = glob.glob(str(tmp_path / "eval" / "events.*"))
    found = [
        (event.step, value.tag, value.simple_value)
        for event in tf.train.summary_iterator(path)
        for value in event.summary.value
    ]
    assert sorted(found) == [
        (10, "eval/loss", 20.0),
        (10, "eval/score", 0.25),
        (20, "eval/loss", 40.0),
        (20, "eval/score", 0.75),
    ]


def test_an_evaluation_logs_one_line_of_metrics(tmp_path, caplog):
    write_checkpoint(tmp_path, 10, score=0.25)
    with caplog.at_level("INFO", logger="albert"):
        evaluate_all(tmp_path)
    lines = [record.getMessage() for record in caplog.records]
    assert "Step 10: score 0.2500, loss 20.0000." in lines


SENTENCES = ["the cat sat .", "on the cat the mat sat sat .", "mat", "a dog is on the mat ."]


@pytest.fixture(scope="module")
def cola(tmp_path_factory):
    """Returns a CoLA task of 23 sentences, a folder for its features, and their labels."""
    folder = tmp_path_factory.mktemp("cola")
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary))
    labels = [number * 7 % 3 % 2 for number in range(23)]
    (folder / "CoLA").mkdir()
    lines = (
        f"gj04\t{label}\t\t{SENTENCES[n % 4]} {SENTENCES[n // 4 % 4]}\n"
        for n, label in enumerate(labels)
    )
    (folder / "CoLA" / "dev.tsv").write_text("".join(lines))
    tokenizer = tokenization.FullTokenizer(str(folder / "vocab.txt"))
    return classifier_utils.GlueTask("cola", str(folder), tokenizer, 16), folder, labels


def write_model(glue_task, config, output_dir):
    """Writes a checkpoint of the whole model, of step 1, with random values."""
    random = np.random.RandomState(3)
    with tf.Graph().as_default():
        ids = tf.placeholder(tf.int32, [None, None])
        features = {"input_ids": ids, "input_mask": ids, "segment_ids": ids}
        features["label_ids"] = tf.placeholder(tf.int32, [None])
        model_fn.build(glue_task, config, features, is_training=False)
        variables = tf.global_variables()
        with tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as session:
            for variable in variables:
                middle = 1.0 if "gamma" in variable.op.name else 0.0
                variable.load(random.normal(middle, 0.5, variable.shape.as_list()), session)
            return tf.train.Saver().save(session, str(output_dir / "model.ckpt"), global_step=1)


def test_dev_metrics_do_not_depend_on_the_number_of_devices(cola, tiny_config, tmp_path):
    glue_task, folder, labels = cola
    feature_file = cached_features(
        str(folder), "cola_dev", glue_task.fingerprint("dev"), lambda: glue_task.features("dev")
    )
    metrics, probabilities = [], []
    (tmp_path / "trained").mkdir()
    name = os.path.basename(write_model(glue_task, tiny_config, tmp_path / "trained"))
    for count in (1, 2, 3):
        output_dir = tmp_path / str(count)
        shutil.copytree(str(tmp_path / "trained"), str(output_dir))
        path = str(output_dir / name)
        own = predictor.Predictor(glue_task, tiny_config, devices.choose("cpu", count))
        evaluator = Evaluator(glue_task, own, str(output_dir), {"dev": feature_file}, 4)
        evaluator.evaluate(1, path)
        (row,) = json.loads((output_dir / "eval_results.json").read_text())["evaluations"]
        metrics.append(row["metrics"])
        rows = own.predict(path, feature_file, 4)
        probabilities.append([row["probabilities"] for row in rows])
    for other in metrics[1:]:
        assert other == pytest.approx(metrics[0], abs=1e-6)
    # All 23 examples count: the metrics, computed by hand from the probabilities of one device.
    own = np.array(probabilities[0])
    accuracy = np.mean(own.argmax(axis=1) == labels)
    loss = -np.log(own[np.arange(23), labels].astype(np.float64)).mean()
    assert 0 < accuracy < 1
    assert metrics[0]["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert metrics[0]["loss"] == pytest.approx(loss, rel=1e-5)
