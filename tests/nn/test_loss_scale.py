"""Tests of albert.nn.loss_scale."""

import tensorflow.compat.v1 as tf

from albert.nn import loss_scale
from albert.nn.loss_scale import LossScale


def scales_after(verdicts, start=None, good_updates=0, fixed=None):
    """Returns the scale after each of some updates, given whether their gradients were finite."""
    with tf.Graph().as_default(), tf.Session() as session:
        scale = LossScale.create(fixed)
        is_finite = tf.placeholder(tf.bool, [])
        update = scale.update(is_finite)
        session.run(tf.global_variables_initializer())
        if start is not None:
            scale.scale.load(start, session)
            scale.good_updates.load(good_updates, session)
        found = []
        for verdict in verdicts:
            session.run(update, {is_finite: verdict})
            found.append(float(session.run(scale.scale)))
        return found


def test_an_overflow_halves_the_scale():
    assert scales_after([True, False, False, True]) == [2.0**15, 2.0**14, 2.0**13, 2.0**13]


def test_the_scale_doubles_after_2000_good_updates():
    assert scales_after([True] * 2, 64.0, 1998) == [64.0, 128.0]
    assert loss_scale.GOOD_UPDATES_TO_DOUBLE == 2000


def test_good_updates_are_counted_from_the_last_change():
    assert scales_after([False, True, True], 64.0, 1998) == [32.0, 32.0, 32.0]
    assert scales_after([True, True, True], 64.0, 1999) == [128.0, 128.0, 128.0]


def test_the_scale_stays_between_its_bounds():
    assert scales_after([False], 1.0) == [1.0]
    assert scales_after([True], loss_scale.LARGEST_SCALE, 1999) == [loss_scale.LARGEST_SCALE]


def test_a_fixed_scale_does_not_change_but_its_variables_are_there():
    with tf.Graph().as_default():
        fixed = LossScale.create(128.0)
        assert fixed.update(tf.constant(False)) == []
        names = {variable.op.name for variable in tf.global_variables()}
    assert names == {"loss_scale", "loss_scale_good_updates"}
