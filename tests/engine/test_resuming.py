"""Tests of albert.engine.training: what a run makes of the checkpoints and locks that it finds."""

import os
import shutil

import numpy as np
import pytest
import runs
import tensorflow.compat.v1 as tf
import tiny
from tiny_task import TinyTask

from albert.common.errors import UsageError
from albert.engine import checkpoints, hooks
from albert.engine.config import FinetuneConfig
from albert.engine.training import Engine

NUM_STEPS = 6
SHARD = ".data-00000-of-00001"


class TaskWithoutFeatures(TinyTask):
    """Fails where features are made."""

    def features(self, split):
        raise AssertionError("features were made")


def make_engine(folder, task=None, **changes):
    settings = {
        "albert_config": tiny.config(num_hidden_layers=1, hidden_dropout_prob=0.1),
        "output_dir": str(folder),
        "train_batch_size": 4,
        "train_steps": NUM_STEPS,
        "save_checkpoints_steps": 2,
        "device_type": "cpu",
        **changes,
    }
    return Engine(task or TinyTask(), FinetuneConfig(**settings))


def values_of(path):
    reader = tf.train.load_checkpoint(str(path))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def cut(path):
    os.truncate(str(path), os.path.getsize(str(path)) // 2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns the folder of a run of 6 steps, with its checkpoints of steps 0, 2, 4 and 6."""
    folder = tmp_path_factory.mktemp("whole")
    make_engine(folder).train()
    return folder


@pytest.fixture
def copied(whole, tmp_path):
    """Returns a copy of that folder, where TensorFlow's own file names the original by its path."""
    folder = tmp_path / "copied"
    shutil.copytree(str(whole), str(folder))
    state = f'model_checkpoint_path: "{whole}/model.ckpt-6"\n'
    (folder / "checkpoint").write_text(state, encoding="utf-8")
    return folder


def remove_last(folder):
    for file in checkpoints.files_of(str(folder / "model.ckpt-6")):
        os.remove(file)


def remove_last_and_state(folder):
    remove_last(folder)
    (folder / "checkpoint").unlink()


def remove_last_and_cut_state(folder):
    remove_last(folder)
    cut(folder / "checkpoint")


def damage_last(folder):
    cut(folder / ("model.ckpt-6" + SHARD))


@pytest.mark.parametrize(
    "change", [remove_last, remove_last_and_state, remove_last_and_cut_state, damage_last]
)
def test_training_goes_on_bit_for_bit_from_the_newest_whole_checkpoint(
    whole, copied, caplog, change
):
    change(copied)
    with caplog.at_level("INFO"):
        make_engine(copied, keep_checkpoint_max=2).train()
    messages = [record.getMessage() for record in caplog.records]
    assert f"Resuming from {copied}/model.ckpt-4, up to step 6." in messages
    warnings = [message for message in messages if "damaged" in message]
    assert len(warnings) == (1 if change is damage_last else 0)
    assert list(checkpoints.saved_steps(str(copied))) == [4, 6]  # the older ones were removed
    expected, actual = values_of(whole / "model.ckpt-6"), values_of(copied / "model.ckpt-6")
    assert sorted(actual) == sorted(expected)
    different = [name for name in expected if not np.array_equal(actual[name], expected[name])]
    assert different == []


def test_training_is_refused_before_features_are_made_where_no_checkpoint_is_whole(copied):
    for path in checkpoints.saved_steps(str(copied)).values():
        cut(path + SHARD)
    (copied / ".lock").unlink()
    before = {path: path.stat().st_mtime for path in copied.iterdir()}
    with pytest.raises(UsageError, match="holds no checkpoint that is whole"):
        make_engine(copied, TaskWithoutFeatures(), cached_dir=str(copied / "cache")).train()
    assert {path: path.stat().st_mtime for path in before} == before


def test_a_damaged_best_checkpoint_is_named_wherever_it_would_be_used(copied):
    best = checkpoints.keep_as_best(str(copied / "model.ckpt-2"))
    cut(best + SHARD)
    engine = make_engine(copied, TaskWithoutFeatures(), cached_dir=str(copied / "cache"))
    expected = "model.ckpt-best is damaged .* The newest whole checkpoint there is model.ckpt-6: "
    for use in (lambda: engine.train(evaluate=True), engine.evaluate, engine.predict):
        with pytest.raises(UsageError, match=expected) as error:
            use()
        assert "\n" not in str(error.value)
    for file in checkpoints.files_of(best):
        os.remove(file)
    make_engine(copied).predict()  # with the latest, as the line says


def test_evaluation_and_prediction_name_a_damaged_latest_checkpoint(copied):
    damage_last(copied)
    expected = "model.ckpt-6 is damaged .* The newest whole checkpoint there is model.ckpt-4: "
    engine = make_engine(copied)
    for use in (engine.predict, engine.evaluate):
        with pytest.raises(UsageError, match=expected):
            use()


def test_a_checkpoint_of_another_program_is_refused_before_features_are_made(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.get_or_create_global_step()
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(tmp_path / "bert_model.ckpt"))
    before = sorted(os.listdir(str(tmp_path)))
    with pytest.raises(UsageError, match="holds bert_model.ckpt, written by another program"):
        make_engine(tmp_path, TaskWithoutFeatures()).train()
    assert sorted(set(os.listdir(str(tmp_path))) - {".lock"}) == before


@pytest.fixture
def in_use(copied):
    """Yields the copied folder while another process holds its lock."""
    with runs.lock_held_elsewhere(copied):
        yield copied


def test_a_folder_in_use_refuses_to_train_and_evaluate_before_anything_is_written(in_use):
    (in_use / "checkpoint").unlink()
    before = sorted(os.listdir(str(in_use)))
    engine = make_engine(in_use, TaskWithoutFeatures(), cached_dir=str(in_use / "cache"))
    for use in (engine.train, engine.evaluate):
        with pytest.raises(UsageError, match="is in use by process .*, which trains or evaluates"):
            use()
    assert sorted(os.listdir(str(in_use))) == before


def test_a_folder_in_use_can_be_predicted_from_and_its_best_is_left_to_its_process(in_use):
    half = in_use / (".incoming-best" + SHARD)
    half.write_text("half")
    make_engine(in_use).predict()
    assert half.exists()


def test_cached_features_that_are_removed_during_training_end_it_in_one_line(tmp_path, monkeypatch):
    after_run = hooks.ProgressHook.after_run

    def remove_features(self, run_context, run_values):
        after_run(self, run_context, run_values)
        shutil.rmtree(str(tmp_path / "cache"), ignore_errors=True)

    monkeypatch.setattr(hooks.ProgressHook, "after_run", remove_features)
    engine = make_engine(tmp_path / "output", cached_dir=str(tmp_path / "cache"), train_steps=50)
    with pytest.raises(UsageError, match="tiny_train_.* was removed or changed while it was in us"):
        engine.train()
    assert (tmp_path / "output" / "model.ckpt-2.index").exists()


@pytest.mark.slow
def test_a_model_as_wide_as_base_has_the_same_bits_in_every_run(tmp_path):
    # In graphs of this size TensorFlow would add up gradients in the order in which they come.
    config = tiny.config(hidden_size=768, intermediate_size=3072, num_hidden_layers=8)
    for name in "ab":
        make_engine(
            tmp_path / name, albert_config=config, train_batch_size=2, train_steps=2
        ).train()
    first, second = (values_of(tmp_path / name / "model.ckpt-2") for name in "ab")
    assert [name for name in first if not np.array_equal(first[name], second[name])] == []
