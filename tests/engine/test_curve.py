"""Tests of albert.engine.curve."""

import logging
import math
import os
import struct

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert.engine import curve

PNG = b"\x89PNG\r\n\x1a\n"


def write_events(folder, first_step, losses, rate=0.001):
    """Writes the events of a run whose first step is `first_step`, as training does."""
    # Without a suffix, two files made in the same second would have the same name.
    writer = tf.summary.FileWriter(str(folder), filename_suffix=f".{first_step}")
    writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), first_step)
    for step, loss in enumerate(losses, first_step):
        values = [
            tf.Summary.Value(tag=tag, simple_value=value)
            for tag, value in (("loss", loss), ("learning_rate", rate * step))
        ]
        writer.add_summary(tf.Summary(value=values), step)
    writer.close()


def figure_of(folder, evaluations=None, best_step=None):
    training = curve.read_scalars(str(folder))
    return curve._figure(training, curve._curves_of(evaluations or {}), best_step)


def curves(axes):
    """Returns {label: points [n, 2]} of what is drawn."""
    return {line.get_label(): np.stack(line.get_data(), axis=1) for line in axes.get_lines()}


def test_without_data_nothing_is_drawn(tmp_path):
    assert curve.draw(str(tmp_path), {}) is None
    assert os.listdir(str(tmp_path)) == []


def test_a_new_picture_replaces_the_old_one(tmp_path):
    (tmp_path / "learning_curve.png").write_bytes(b"old")
    write_events(tmp_path, 1, [3.0, 2.0])
    path = curve.draw(str(tmp_path), {2: {"loss": 2.5, "accuracy": 0.5}}, 2)
    assert path == str(tmp_path / "learning_curve.png")
    picture = (tmp_path / "learning_curve.png").read_bytes()
    assert picture.startswith(PNG)
    assert struct.unpack(">II", picture[16:24]) == (800, 900)
    assert not list(tmp_path.glob("*.part"))


def test_losses_learning_rate_and_metrics_are_drawn_against_steps(tmp_path):
    write_events(tmp_path, 1, [3.0, 2.0, 1.0])
    evaluations = {
        2: {"loss": 2.5, "f1": 0.25, "accuracy": 0.5},
        3: {"loss": 1.5, "f1": 0.75, "accuracy": 1.0},
    }
    losses, rates, metrics = figure_of(tmp_path, evaluations, best_step=3).axes
    drawn = curves(losses)
    np.testing.assert_allclose(drawn["training"], [(1, 3), (2, 2), (3, 1)])
    np.testing.assert_allclose(drawn["dev"], [(2, 2.5), (3, 1.5)])
    (line,) = rates.get_lines()
    np.testing.assert_allclose(line.get_xydata(), [(1, 0.001), (2, 0.002), (3, 0.003)])
    drawn = curves(metrics)
    assert list(drawn) == ["f1", "accuracy", "best: step 3"]
    np.testing.assert_allclose(drawn["f1"], [(2, 0.25), (3, 0.75)])
    assert drawn["best: step 3"][0][0] == 3


def test_the_folder_may_have_the_name_of_an_event_file(tmp_path):
    folder = tmp_path / "on tfevents"
    write_events(folder, 1, [3.0, 2.0])
    assert len(curve.read_scalars(str(folder))["loss"]) == 2


def test_evaluations_without_training_are_drawn(tmp_path):
    assert curve.draw(str(tmp_path), {2: {"accuracy": 0.5}})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_left_out(tmp_path, value):
    _, _, metrics = figure_of(tmp_path, {2: {"f1": 0.5}, 4: {"f1": value}}).axes
    np.testing.assert_allclose(curves(metrics)["f1"], [(2, 0.5)])


def test_steps_lost_by_a_killed_run_are_left_out(tmp_path):
    write_events(tmp_path, 1, [9.0, 8.0, 7.0, 6.0, 5.0])
    write_events(tmp_path, 3, [2.0, 1.0])  # resumes from a checkpoint of step 2
    losses, _, _ = figure_of(tmp_path).axes
    np.testing.assert_allclose(curves(losses)["training"], [(1, 9), (2, 8), (3, 2), (4, 1)])


def test_truncated_events_are_read_up_to_the_end(tmp_path):
    write_events(tmp_path, 1, [3.0, 2.0, 1.0])
    (path,) = tmp_path.glob("events*")
    path.write_bytes(path.read_bytes()[:-5])
    losses, _, _ = figure_of(tmp_path).axes
    np.testing.assert_allclose(curves(losses)["training"], [(1, 3), (2, 2)])


def test_many_points_get_a_running_mean(tmp_path):
    noisy = np.random.RandomState(0).normal(size=100)
    write_events(tmp_path, 1, noisy)
    losses, _, _ = figure_of(tmp_path).axes
    mean = curves(losses)["training (running mean)"]
    expected = [noisy[start : start + 4].mean() for start in range(97)]
    np.testing.assert_allclose(mean[:, 1], expected, atol=1e-6)
    np.testing.assert_allclose(mean[:, 0], np.arange(97) + 2.5)


def test_libraries_do_not_log_restarts_or_fonts(tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    write_events(tmp_path, 1, [9.0, 8.0, 7.0])
    write_events(tmp_path, 2, [2.0])
    curve.draw(str(tmp_path), {})
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []
