"""Tests of albert.engine.training: what a start checks, and whose results go where."""

import dataclasses
import json
import os
import shutil

import pytest
import runs
import tiny
import tiny_task

from albert.common.errors import UsageError
from albert.engine import checkpoints, training
from albert.engine.config import FinetuneConfig
from albert.engine.task import Change, DataSource, settings_of

WHOLE, OTHER = "whole", "other"


class TinyTask(tiny_task.TinyTask):
    """A tiny task that knows what it was asked, and whose data and labels can be chosen.

    Its only metric counts the evaluations, so that every checkpoint is better than the last.

    Attributes:
        calls: what was called, in order.
        given: the `metrics` that `evaluate` and `write_predictions` were given.
    """

    best_metric = "order"

    def __init__(self, labels=("0", "1"), **data):
        self._labels = labels
        self._data = dict({"train": WHOLE, "dev": WHOLE, "test": WHOLE}, **data)
        self.calls = []
        self.given = []

    def fingerprint(self, split):
        return {"split": split, "data": self._data[split]}

    def source(self, split):
        return DataSource(self._data[split], self._data[split])

    def run_settings(self):
        return settings_of({"labels": list(self._labels)}, Change.REFUSED, "{} of the task")

    def features(self, split):
        self.calls.append(f"features of {split}")
        if self._data[split] is None:
            raise UsageError(f"{split}.tsv, line 7: a tab is missing.")
        return super().features(split)

    def head(self, model, features, is_training):
        self.calls.append("training graph" if is_training else "inference graph")
        return super().head(model, features, is_training)

    def evaluate(self, predictions, metrics=None):
        self.given.append(metrics)
        return {"order": len(self.given)}

    def write_predictions(self, predictions, output_dir, metrics=None):
        self.given.append(metrics)
        path = os.path.join(output_dir, "answers.txt")
        with open(path, "w") as writer:
            writer.write(self._data["test"])
        return [path]


def config_of(folder, **changes):
    config = FinetuneConfig(
        tiny.config(),
        str(folder),
        train_batch_size=4,
        train_steps=2,
        save_checkpoints_steps=1,
        device_type="cpu",
    )
    return dataclasses.replace(config, **changes)


def run(folder, task, *actions, **changes):
    """Calls methods of an Engine, "train" with all that follows; returns the task."""
    engine = training.Engine(task, config_of(folder, **changes), {"data_dir": "somewhere"})
    for action in actions:
        if action == "train":
            engine.train(evaluate="evaluate" in actions, predict="predict" in actions)
        else:
            getattr(engine, action)()
    return task


def results_of(folder):
    return json.loads((folder / "eval_results.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Returns the output_dir of a run that trained, evaluated and predicted."""
    folder = tmp_path_factory.mktemp("trained")
    run(folder, TinyTask(), "train", "evaluate", "predict")
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """Returns a copy of that output_dir."""
    copy = tmp_path / "run"
    shutil.copytree(str(trained), str(copy))
    return copy


def test_test_data_are_read_before_the_first_step(tmp_path):
    task = TinyTask(test=None)
    with pytest.raises(UsageError, match="test.tsv, line 7"):
        run(tmp_path, task, "train", "evaluate", "predict")
    assert "training graph" not in task.calls
    assert checkpoints.saved_steps(str(tmp_path)) == {}


def test_test_data_are_not_read_by_a_run_that_does_not_predict(tmp_path):
    run(tmp_path, TinyTask(test=None), "train", "evaluate")
    assert 2 in checkpoints.saved_steps(str(tmp_path))


def test_the_checkpoint_at_which_a_run_was_stopped_is_not_evaluated(tmp_path):
    run(tmp_path, TinyTask(), "train", train_steps=3, save_checkpoints_steps=2)
    run(tmp_path, TinyTask(), "train", "evaluate", train_steps=6, save_checkpoints_steps=2)
    assert 3 in checkpoints.saved_steps(str(tmp_path))
    steps = [each["step"] for each in results_of(tmp_path)["evaluations"]]
    assert steps == [2, 4, 6]


def test_epochs_and_a_share_of_warm_up_become_the_steps_of_the_run(tmp_path):
    run(tmp_path, TinyTask(), "train", num_train_epochs=1.5, warmup_proportion=0.5)
    assert max(checkpoints.saved_steps(str(tmp_path))) == 4  # 15 examples in batches of 4
    settings = json.loads((tmp_path / "run.json").read_text())["settings"]
    assert (settings["train_steps"], settings["warmup_steps"]) == (4, 2)


def test_only_every_second_checkpoint_is_evaluated_and_the_last(tmp_path):
    run(tmp_path, TinyTask(), "train", "evaluate", train_steps=5, eval_steps=2)
    assert [row["step"] for row in results_of(tmp_path)["evaluations"]] == [2, 4, 5]


def test_checkpoints_are_at_multiples_of_the_interval_wherever_a_run_resumes(tmp_path):
    run(tmp_path, TinyTask(), "train", train_steps=3, save_checkpoints_steps=2)
    run(tmp_path, TinyTask(), "train", train_steps=7, save_checkpoints_steps=2)
    assert list(checkpoints.saved_steps(str(tmp_path)))[-3:] == [4, 6, 7]


class WorseAndWorse(TinyTask):
    """Every evaluation is worse than the one before."""

    greater_is_better = False


def test_training_stops_for_want_of_improvement_and_stays_stopped(tmp_path, caplog):
    caplog.set_level("INFO")
    settings = {"train_steps": 9, "early_stopping_patience": 2}
    run(tmp_path, WorseAndWorse(), "train", "evaluate", **settings)
    assert max(checkpoints.saved_steps(str(tmp_path))) == 3
    assert "Stopping early at step 3: with 2 evaluation(s) since the best one." in caplog.messages
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.ckpt*")}
    caplog.clear()
    task = run(tmp_path, WorseAndWorse(), "train", "evaluate", **settings)
    reason = "with 2 evaluation(s) since the best one"
    assert f"Training stopped early at step 3, {reason}: nothing to train." in caplog.messages
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.ckpt*")} == before
    assert task.given == []
    # A killed run may have saved a checkpoint and not evaluated it.
    record = results_of(tmp_path)
    del record["evaluations"][-1]
    (tmp_path / "eval_results.json").write_text(json.dumps(record))
    task = run(tmp_path, WorseAndWorse(), "train", "evaluate", **settings)
    assert max(checkpoints.saved_steps(str(tmp_path))) == 3
    assert "training graph" not in task.calls and len(task.given) == 1
    # More patience goes on.
    run(tmp_path, WorseAndWorse(), "train", "evaluate", train_steps=4, early_stopping_patience=9)
    assert max(checkpoints.saved_steps(str(tmp_path))) == 4


def test_a_part_of_the_data_is_used_and_counts_as_other_data(folder):
    before = results_of(folder)
    part = {"max_eval_samples": 3, "max_predict_samples": 4}
    task = run(folder, TinyTask(), "evaluate", "predict", **part)
    assert results_of(folder) == before
    assert task.calls == ["features of dev", "inference graph", "features of test"]
    (row,) = results_of(folder / "predictions_whole")["evaluations"]
    assert row["dataset"] != before["evaluations"][0]["dataset"]
    assert results_of(folder / "predictions_whole")["settings"]["max_eval_samples"] == 3
    run(folder, TinyTask(), "predict", max_predict_samples=5)
    assert len(list(folder.glob("predictions_whole_*/answers.txt"))) == 1
    # The whole again: nothing is made anew.
    assert run(folder, TinyTask(), "train", "evaluate", "predict").calls == ["inference graph"]


def without_lock(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def train_anew(folder, task, *actions, **changes):
    config = config_of(folder, **changes)
    engine = training.Engine(task, config)
    engine.train("evaluate" in actions, "predict" in actions, overwrite=True)


def test_overwriting_deletes_what_runs_have_left_and_nothing_else(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    run(folder, TinyTask(dev=OTHER, test=OTHER), "evaluate", "predict")
    (folder / "damaged-model.ckpt-1.index").touch()
    own = ["notes.txt", "model.ckpt-mine.index", "test.tsv", "predictions_other/notes.txt"]
    own += ["code/model.ckpt-1.index", "code/run.json"]
    (folder / "code").mkdir()
    for name in own:
        (folder / name).write_text("mine")
    features = sorted(path.name for path in folder.glob("*.tf_record"))
    # Another task, of other labels and another seed: nothing of the old run remains to be compared.
    train_anew(folder, TinyTask(labels=("1", "0")), train_steps=1, seed=7)
    assert all((folder / name).read_text() == "mine" for name in own)
    assert list(checkpoints.saved_steps(str(folder))) == [0, 1]
    assert features == sorted(path.name for path in folder.glob("*.tf_record"))
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    left -= {*own, *features, *(f"{name}.json" for name in features), ".lock", ".turns", "run.json"}
    assert [name for name in left if not name.startswith(("model.ckpt-", "events", "check"))] == []
    assert len(list(folder.glob("events*"))) == 1
    assert json.loads((folder / "run.json").read_text())["settings"]["labels"] == ["1", "0"]
    assert any(message.startswith("Deleted ") for message in caplog.messages)


def test_nothing_is_deleted_where_the_data_cannot_be_read_or_the_folder_is_in_use(folder):
    before = without_lock(folder)
    with pytest.raises(UsageError, match="test.tsv, line 7"):
        train_anew(folder, TinyTask(test=None), "predict")
    with pytest.raises(UsageError, match="so overwrite_output_dir would delete it"):
        train_anew(folder, TinyTask(), init_checkpoint=str(folder / "model.ckpt-best"))
    after = without_lock(folder)
    assert {name: after[name] for name in before if name != ".lock"} == {
        name: before[name] for name in before if name != ".lock"
    }
    with runs.lock_held_elsewhere(folder):
        with pytest.raises(UsageError, match="is in use by process"):
            train_anew(folder, TinyTask())
    assert {*before} <= {*without_lock(folder)}


def test_a_checkpoint_that_is_named_scores_and_predicts_in_a_folder_of_its_own(folder, caplog):
    before = results_of(folder)
    (folder / "answers.txt").write_text("of the run")
    other = folder.parent / "other"
    shutil.copytree(str(folder), str(other))
    given = str(other / "model.ckpt-1")
    task = run(folder, TinyTask(), "evaluate", "predict", eval_checkpoint=given)
    assert results_of(folder) == before and results_of(other) == before
    assert (folder / "answers.txt").read_text() == "of the run"
    (row,) = results_of(folder / "predictions_model.ckpt-1")["evaluations"]
    assert row["step"] == 1
    assert (folder / "predictions_model.ckpt-1" / "answers.txt").read_text() == WHOLE
    assert task.given == 2 * [before["evaluations"][0]["metrics"]]
    new = folder.parent / "new"
    run(new, TinyTask(), "evaluate", "predict", eval_checkpoint=given)
    assert sorted(path.name for path in new.glob("predictions_*/*")) == [
        "answers.txt",
        "dev_predictions.jsonl",
        "eval_results.json",
        "eval_results.txt",
    ]
    with pytest.raises(UsageError, match="eval_checkpoint is of another run: labels of the task"):
        run(new, TinyTask(("1", "0")), "predict", eval_checkpoint=given)


def test_a_named_checkpoint_that_is_damaged_or_incomplete_is_refused(folder, tmp_path):
    given = str(folder / "model.ckpt-1")
    os.truncate(f"{given}.data-00000-of-00001", 100)
    with pytest.raises(UsageError, match="The checkpoint .*/model.ckpt-1 is damaged"):
        run(folder, TinyTask(), "predict", eval_checkpoint=given)
    tiny.write_model(tmp_path)
    with pytest.raises(UsageError, match="eval_checkpoint=.* has no output_weights, so it cannot"):
        run(folder, TinyTask(), "predict", eval_checkpoint=str(tmp_path / "model.ckpt-best"))


def test_early_stopping_without_evaluations_is_refused_before_anything_is_made(tmp_path):
    task = TinyTask()
    with pytest.raises(UsageError, match="early_stopping_patience=2 needs evaluations: do_eval"):
        run(tmp_path, task, "train", early_stopping_patience=2)
    assert task.calls == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("actions", [("train",), ("evaluate",), ("predict",)])
def test_labels_in_another_order_are_refused_and_nothing_changes(folder, actions):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    task = TinyTask(labels=("1", "0"))
    with pytest.raises(UsageError, match=r"labels of the task was \['0', '1'\] and is \['1', '0'"):
        run(folder, task, *actions)
    assert task.calls == []
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_another_initial_checkpoint_is_refused_by_its_content(tmp_path):
    for name in ("first", "copy", "second"):
        (tmp_path / name).mkdir()
    tiny.write_model(tmp_path / "first")
    tiny.write_model(tmp_path / "copy")
    tiny.write_model(tmp_path / "second", left_out="bert/pooler/dense/bias")
    start = {name: str(tmp_path / name / "model.ckpt-best") for name in ("first", "copy", "second")}
    output = tmp_path / "output"
    run(output, TinyTask(), "train", init_checkpoint=start["first"])
    run(output, TinyTask(), "train", init_checkpoint=start["copy"], train_steps=3)
    with pytest.raises(UsageError, match="the content of init_checkpoint was '.*' and is '"):
        run(output, TinyTask(), "train", init_checkpoint=start["second"], train_steps=4)
    assert max(checkpoints.saved_steps(str(output))) == 3


def test_all_settings_and_flags_are_recorded(trained):
    record = json.loads((trained / "run.json").read_text())
    assert record["options"] == {"data_dir": "somewhere"}
    settings = record["settings"]
    fields = {field.name for field in dataclasses.fields(FinetuneConfig)} - {
        "albert_config",
        "cluster",
    }
    assert fields <= settings.keys()
    assert settings["labels"] == ["0", "1"]
    assert settings["hidden_dropout_prob"] == 0
    assert (settings["seed"], settings["train_steps"], settings["task_name"]) == (42, 2, "tiny")


def test_predictions_know_the_metrics_of_their_checkpoint(folder):
    task = run(folder, TinyTask(), "predict")
    best = results_of(folder)["best"]["metrics"]
    assert task.given == [best] and best["order"] == 2
    assert (folder / "answers.txt").read_text() == WHOLE


def test_predictions_of_other_data_do_not_replace_those_of_the_run(folder, caplog):
    caplog.set_level("INFO")
    task = run(folder, TinyTask(test=OTHER), "predict")
    assert (folder / "answers.txt").read_text() == WHOLE
    assert (folder / "predictions_other" / "answers.txt").read_text() == OTHER
    assert f"results go to {folder}/predictions_other." in caplog.text
    assert task.given == [results_of(folder)["best"]["metrics"]]


def test_predictions_go_where_the_user_says(folder, tmp_path):
    run(folder, TinyTask(test=OTHER), "predict", predict_output_dir=str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b" / "answers.txt").read_text() == OTHER
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="predict_output_dir=.*/file: "):
        run(folder, TinyTask(), "predict", predict_output_dir=str(tmp_path / "file"))
    assert (folder / "answers.txt").read_text() == WHOLE


def test_scores_on_other_data_do_not_change_what_is_best(folder):
    before = results_of(folder)
    index = (folder / "model.ckpt-best.index").stat().st_mtime_ns
    task = run(folder, TinyTask(dev=OTHER), "evaluate")
    assert results_of(folder) == before
    assert (folder / "model.ckpt-best.index").stat().st_mtime_ns == index
    (row,) = results_of(folder / "predictions_other")["evaluations"]
    assert row["step"] == before["best"]["step"]
    # Thresholds chosen with the run's own data are used.
    assert task.given == [before["best"]["metrics"]]


def test_a_finished_run_that_is_started_again_keeps_its_results(folder):
    before = results_of(folder)
    run(folder, TinyTask(dev=OTHER, test=OTHER), "train", "evaluate", "predict")
    assert results_of(folder) == before
    assert (folder / "answers.txt").read_text() == WHOLE
    assert (folder / "predictions_other" / "answers.txt").read_text() == OTHER


def test_training_on_with_other_dev_data_evaluates_every_checkpoint_again(folder):
    run(folder, TinyTask(dev=OTHER), "train", "evaluate", train_steps=3)
    rows = results_of(folder)["evaluations"]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert len({row["dataset"] for row in rows}) == 1
    assert not (folder / "predictions_other").exists()


def test_an_initial_checkpoint_is_scored_and_predicts_without_a_trained_folder(folder, tmp_path):
    new, best = tmp_path / "new", str(folder / "model.ckpt-best")
    task = run(new, TinyTask(), "evaluate", "predict", init_checkpoint=best)
    assert (new / "answers.txt").read_text() == WHOLE
    (row,) = results_of(new)["evaluations"]
    assert row["step"] == 2
    assert task.given == 2 * [results_of(folder)["best"]["metrics"]]
    assert checkpoints.saved_steps(str(new)) == {}
    assert checkpoints.best(str(new)) is None


def test_a_trained_folder_predicts_with_its_own_checkpoint(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    other = tmp_path / "other"
    run(other, TinyTask(), "train", train_steps=1)
    start = str(other / "model.ckpt-1")
    run(folder, TinyTask(), "predict", init_checkpoint=start)
    assert f"Predicting with {folder}/model.ckpt-best." in caplog.messages


def test_a_pretrained_checkpoint_alone_cannot_predict(tmp_path):
    tiny.write_model(tmp_path)
    start = str(tmp_path / "model.ckpt-best")
    with pytest.raises(
        UsageError, match="has no output_weights, so it cannot predict: fine-tune it"
    ):
        run(tmp_path / "new", TinyTask(), "predict", init_checkpoint=start)


def test_labels_are_compared_with_the_run_that_the_initial_checkpoint_is_from(folder, tmp_path):
    start = str(folder / "model.ckpt-best")
    with pytest.raises(UsageError, match="init_checkpoint is of another run: labels of the task"):
        run(tmp_path / "new", TinyTask(("1", "0")), "predict", init_checkpoint=start)


@pytest.mark.parametrize("action, what", [("evaluate", "evaluate"), ("predict", "predict with")])
def test_without_any_checkpoint_there_is_nothing_to_use(tmp_path, action, what):
    task = TinyTask()
    with pytest.raises(UsageError, match=f"holds no checkpoint to {what}: train with do_train"):
        run(tmp_path, task, action)
    assert task.calls == []  # no features were made for nothing
