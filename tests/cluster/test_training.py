"""Tests of training on several workers: two processes of two CPU replicas each.

They must do what one device does with the global batch, and end cleanly when one of them dies.
"""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import workers

from albert.engine import checkpoints
from albert.engine.training import Engine

pytestmark = pytest.mark.slow

LAST = f"model.ckpt-{workers.NUM_UPDATES}"


def variables(folder, name=LAST):
    """Returns {name: value} of a checkpoint's variables."""
    reader = tf.train.load_checkpoint(os.path.join(str(folder), name))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_close(folder, other):
    """Asserts the bounds of DESIGN 5.1: of all weights, and of each."""
    found, expected = variables(folder), variables(other)
    assert found.keys() == expected.keys()
    assert found["batches_consumed"] == expected["batches_consumed"]
    weights = [name for name in expected if name.startswith(("bert/", "output_"))]
    weights = [name for name in weights if "adam" not in name]
    assert len(weights) > 20
    differences = {name: found[name] - expected[name] for name in weights}
    norm = np.sqrt(sum(np.sum(expected[name] ** 2) for name in weights))
    assert np.sqrt(sum(np.sum(d**2) for d in differences.values())) / norm < 1e-4
    largest = max(np.abs(difference).max() for difference in differences.values())
    assert largest < 0.05 * workers.LEARNING_RATE * workers.NUM_UPDATES


def assert_same(folder, other):
    found, expected = variables(folder), variables(other)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def on_one_worker(folder, **changes):
    """Trains in this process; returns the folder."""
    Engine(workers.Task(), workers.config(folder, **changes)).train(evaluate=True)
    return folder


def metrics(folder):
    evaluations = json.loads((folder / "eval_results.json").read_text())["evaluations"]
    return [(each["step"], each["metrics"]) for each in evaluations]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Returns the output_dir of a run of two workers with dropout."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ends = workers.train(folder, model={"hidden_dropout_prob": 0.1})
    assert [status for status, _ in ends] == [0, 0], ends
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Returns the output_dir of a run of two workers without dropout."""
    folder = tmp_path_factory.mktemp("two")
    ends = workers.train(folder)
    assert [status for status, _ in ends] == [0, 0], ends
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """Returns the output_dir of a run of one device with the same global batch."""
    return on_one_worker(tmp_path_factory.mktemp("one"), num_devices=1)


def test_workers_train_like_one_device_with_the_global_batch(two, one):
    assert_close(two, one)
    for (step, found), (other_step, expected) in zip(metrics(two), metrics(one)):
        assert step == other_step and found == pytest.approx(expected, rel=1e-5)


def test_workers_accumulate_like_one_device_with_the_global_batch(tmp_path, one):
    ends = workers.train(tmp_path, gradient_accumulation_steps=2)
    assert [status for status, _ in ends] == [0, 0], ends
    assert_close(tmp_path, one)


def test_one_device_goes_on_where_two_workers_were(tmp_path, two, one):
    folder = tmp_path / "both"
    shutil.copytree(str(two), str(folder))
    for step in (16, 20):
        for path in checkpoints.files_of(str(folder / f"model.ckpt-{step}")):
            os.remove(path)
    on_one_worker(folder, num_devices=1)
    assert_close(folder, one)


def test_workers_train_like_as_many_replicas_of_one_machine(tmp_path, undisturbed):
    dropout = {"hidden_dropout_prob": 0.1}
    assert_close(undisturbed, on_one_worker(tmp_path / "1x4", num_devices=4, model=dropout))


def test_only_the_chief_writes(undisturbed):
    events = [name for name in os.listdir(str(undisturbed)) if "tfevents" in name]
    assert len(events) == 1
    assert checkpoints.saved_steps(str(undisturbed)).keys() == {0, 8, 16, 20}


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_that_is_killed_ends_all_and_the_run_goes_on(tmp_path, undisturbed, rank):
    fails = {rank: {"fails": (11, signal.SIGKILL)}}
    ends = workers.train(tmp_path, of_rank=fails, model={"hidden_dropout_prob": 0.1})
    status, stderr = ends[1 - rank]
    line = stderr.splitlines()[-1]
    dead = "worker 1 (localhost:" if rank else "the chief (localhost:"
    assert ends[rank][0] == -signal.SIGKILL and status == 1
    assert f"workers.py: {dead}" in line and "is gone" in line, stderr
    assert "Traceback" not in stderr
    ends = workers.train(tmp_path, model={"hidden_dropout_prob": 0.1})
    assert [status for status, _ in ends] == [0, 0], ends
    assert_same(tmp_path, undisturbed)


def test_a_signal_to_one_worker_stops_all_at_one_step(tmp_path, undisturbed):
    fails = {1: {"fails": (11, signal.SIGTERM)}}
    ends = workers.train(tmp_path, of_rank=fails, model={"hidden_dropout_prob": 0.1})
    assert [status for status, _ in ends] == [143, 143], ends
    assert "The same command resumes from there." in ends[0][1]
    step = max(checkpoints.saved_steps(str(tmp_path)))
    assert 11 < step < workers.NUM_UPDATES
    ends = workers.train(tmp_path, model={"hidden_dropout_prob": 0.1})
    assert [status for status, _ in ends] == [0, 0], ends
    assert_same(tmp_path, undisturbed)


def test_a_signal_before_the_first_step_ends_all(tmp_path):
    ends = workers.train(tmp_path, of_rank={0: {"fails": (0, signal.SIGTERM)}})
    assert [status for status, _ in ends] == [143, 143], ends
    assert "Stopped before the first step. The same command" in ends[0][1]
    assert "Stopped, as all workers. The same command" in ends[1][1]
    assert not checkpoints.saved_steps(str(tmp_path))


@pytest.mark.parametrize(
    "change, text",
    [
        ({"learning_rate": 1e-3}, "learning_rate is 0.001, and 0.005 there"),
        ({"data": "other"}, "the origin of the features is "),
        ({"num_devices": 1}, "num_devices is 1, and 2 there"),
    ],
)
def test_a_worker_that_differs_is_refused_with_what_differs(tmp_path, change, text):
    ends = workers.train(tmp_path, of_rank={1: change})
    assert [status for status, _ in ends] == [1, 1]
    for _, stderr in ends:
        assert text in stderr.splitlines()[-1], stderr
        assert "Traceback" not in stderr
    assert not checkpoints.saved_steps(str(tmp_path))


def test_a_folder_that_is_not_shared_is_refused(tmp_path):
    of_rank = {1: {"folder": str(tmp_path / "other"), "patience": 1}}
    ends = workers.train(tmp_path / "own", of_rank=of_rank)
    assert [status for status, _ in ends] == [1, 1]
    assert "is not the chief's: it must be on storage that all workers share" in ends[1][1]


def test_a_finished_run_ends_at_once_on_all_workers(undisturbed):
    ends = workers.train(undisturbed, model={"hidden_dropout_prob": 0.1})
    assert [status for status, _ in ends] == [0, 0], ends
    assert "has all 20 steps: nothing to train" in ends[0][1]
