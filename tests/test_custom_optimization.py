"""Tests of albert.custom_optimization."""

import os
import tempfile
from typing import Dict, List, NamedTuple

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert import custom_optimization
from albert.common.errors import UsageError
from albert.custom_optimization import AdamWeightDecayOptimizer, LAMBOptimizer
from albert.engine import devices
from albert.nn.loss_scale import LossScale

RULES = {"adamw": AdamWeightDecayOptimizer, "lamb": LAMBOptimizer}
DEVICES = {"no_strategy": (), "one_device": ("/cpu:0",), "mirrored": ("/cpu:0", "/cpu:1")}

every_rule = pytest.mark.parametrize("rule", sorted(RULES))
every_strategy = pytest.mark.parametrize("strategy", sorted(DEVICES))


class Trained(NamedTuple):
    """The variables after a few updates.

    Attributes:
        copies: {variable: its values, one per replica}.
        saved: {name in a checkpoint: value}, moments included.
    """

    copies: Dict[str, List[np.ndarray]]
    saved: Dict[str, np.ndarray]

    def weights(self, name):
        return self.copies[name][0]

    def moments(self, name):
        return self.saved[name + "/adam_m"], self.saved[name + "/adam_v"]


def train(make_update, initial, num_updates, strategy="no_strategy", feeds=lambda update: {}):
    """Returns Trained after some updates on fresh variables.

    Args:
        make_update: function of ({name: variable}, global step, number of the replica) that returns
            the op of one update; it is called once per replica, inside the strategy.
        initial: {name: initial value}.
        feeds: function of the update's number that returns {name of a placeholder: value}.
    """
    names = DEVICES[strategy]
    variables = {}

    def replica():
        step = tf.train.get_or_create_global_step()
        made = {
            name: tf.get_variable(
                name, np.shape(value), initializer=tf.constant_initializer(np.asarray(value))
            )
            for name, value in initial.items()
        }
        variables.update(made, global_step=step)
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return make_update(made, step, number)

    with tf.Graph().as_default() as graph:
        if names:
            distribution = devices.make_strategy(names, "auto")
            local = distribution.experimental_local_results
            with distribution.scope():
                update = tf.group(*local(distribution.extended.call_for_each_replica(replica)))
                saver = tf.train.Saver()
            copies = {name: local(variable) for name, variable in variables.items()}
        else:
            update = replica()
            saver = tf.train.Saver()
            copies = {name: [variable] for name, variable in variables.items()}
        with tf.Session(config=devices.session_config(names or ("/cpu:0",))) as session:
            session.run(tf.global_variables_initializer())
            for number in range(num_updates):
                fed = {graph.get_tensor_by_name(k + ":0"): v for k, v in feeds(number).items()}
                session.run(update, fed)
            return Trained(session.run(copies), saved_values(saver, session))


def saved_values(saver, session):
    """Returns {name: value} of the checkpoint that the saver writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = saver.save(session, os.path.join(folder, "model"), write_meta_graph=False)
        reader = tf.train.load_checkpoint(path)
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def placeholder(name, shape):
    """Returns the placeholder of that name and `/fed`, one for all replicas."""
    name = name + "/fed"
    try:
        return tf.get_default_graph().get_tensor_by_name(name + ":0")
    except KeyError:
        return tf.placeholder(tf.float32, shape, name=name)


def train_on_gradients(optimizer, initial, gradients, strategy="no_strategy", count=True):
    """Returns Trained after one update for each of the given gradients.

    Args:
        optimizer: function without arguments that returns the rule.
        gradients: {name: [updates, replicas] + shape of the variable}; other variables have no
            gradient.
        count: whether to pass the global step.
    """

    def make_update(variables, step, replica):
        pairs = [(None, variables[name]) for name in initial if name not in gradients]
        for name, values in gradients.items():
            local = placeholder(name, np.shape(values)[1:])[replica]
            pairs.append((local, variables[name]))
        return optimizer().apply_gradients(pairs, global_step=step if count else None)

    def feeds(update):
        return {name + "/fed": values[update] for name, values in gradients.items()}

    num_updates = len(next(iter(gradients.values())))
    return train(make_update, initial, num_updates, strategy, feeds)


def constant(gradient, num_updates, strategy="no_strategy"):
    """Returns the same gradient for every update and replica: [updates, replicas] + shape."""
    num_replicas = max(len(DEVICES[strategy]), 1)
    gradient = np.asarray(gradient, np.float64)
    return np.broadcast_to(gradient, (num_updates, num_replicas) + gradient.shape)


def reference(rule, initial, gradients, rate, excluded, clip_norm=None, bias_correction=False):
    """Returns ({name: weights}, {name: (m, v)}) in float64, by the formulas of the papers.

    The gradient of an update is the mean over the replicas, clipped by its norm over all variables.
    """
    weights = {name: np.asarray(value, np.float64) for name, value in initial.items()}
    m = {name: np.zeros_like(value) for name, value in weights.items()}
    v = {name: np.zeros_like(value) for name, value in weights.items()}
    for update in range(len(next(iter(gradients.values())))):
        mean = {name: values[update].mean(axis=0) for name, values in gradients.items()}
        norm = np.sqrt(sum(np.sum(gradient**2) for gradient in mean.values()))
        scale = clip_norm / norm if clip_norm is not None and norm > clip_norm else 1.0
        for name, gradient in mean.items():
            m[name] = 0.9 * m[name] + 0.1 * scale * gradient
            v[name] = 0.999 * v[name] + 0.001 * (scale * gradient) ** 2
            m_hat, v_hat = m[name], v[name]
            if bias_correction:
                m_hat = m_hat / (1 - 0.9 ** (update + 1))
                v_hat = v_hat / (1 - 0.999 ** (update + 1))
            step = m_hat / (np.sqrt(v_hat) + 1e-6)
            ratio = 1.0
            if name not in excluded:
                step = step + 0.01 * weights[name]
                if rule == "lamb":
                    ratio = np.linalg.norm(weights[name]) / np.linalg.norm(step)
            weights[name] = weights[name] - rate * ratio * step
    return weights, {name: (m[name], v[name]) for name in weights}


def several_variables():
    """Returns initial values, names without decay, gradients [5 updates, 2 replicas, ...]."""
    random = np.random.RandomState(7)
    shapes = {
        "dense/kernel": (3, 4),
        "dense/bias": (4,),
        "LayerNorm/gamma": (4,),
        "output_weights": (2, 3),
    }
    initial = {name: random.normal(size=shape) for name, shape in shapes.items()}
    # Lengths must change between updates: Adam is invariant to a factor common to all of them.
    lengths = np.array([1.0, 0.1, 3.0, 0.3, 1.0])
    gradients = {}
    for name, shape in shapes.items():
        values = random.normal(size=(5, 2) + shape)
        gradients[name] = values * lengths.reshape([5] + [1] * (values.ndim - 1))
    return initial, ("dense/bias", "LayerNorm/gamma"), gradients


def norms_of_means(gradients):
    """Returns the norm of each update's mean gradient over all variables: [updates]."""
    squares = [(values.mean(axis=1) ** 2).reshape(len(values), -1) for values in gradients.values()]
    return np.sqrt(np.concatenate(squares, axis=1).sum(axis=1))


def assert_follows_reference(rule, strategy, gradients, initial, excluded, **options):
    if strategy != "mirrored":
        gradients = {name: values[:, :1] for name, values in gradients.items()}
    trained = train_on_gradients(
        lambda: RULES[rule](
            0.01,
            weight_decay_rate=0.01,
            exclude_from_weight_decay=["LayerNorm", "layer_norm", "bias"],
            **options,
        ),
        initial,
        gradients,
        strategy,
    )
    weights, moments = reference(rule, initial, gradients, 0.01, excluded, **options)
    for name in initial:
        for copy in trained.copies[name]:
            np.testing.assert_allclose(copy, weights[name], rtol=3e-6, atol=3e-6, err_msg=name)
        for actual, expected in zip(trained.moments(name), moments[name]):
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-7, err_msg=name)


# --- The update rules


@every_strategy
@pytest.mark.parametrize(
    "rule, initial, gradient, expected",
    [
        ("adamw", [1.0, 2.0], 0.1, [0.987610855, 1.987580856]),
        ("adamw", [3.0, 4.0], 0.01, [2.98757648, 3.98754648]),
        ("lamb", [1.0, 2.0], 0.1, [0.995267019, 1.995255157]),
        ("lamb", [3.0, 4.0], 0.01, [2.989417128, 3.989390683]),
    ],
)
def test_three_updates_give_the_published_weights(rule, initial, gradient, expected, strategy):
    trained = train_on_gradients(
        lambda: RULES[rule](1e-3, weight_decay_rate=0.01),
        {"weights": initial},
        {"weights": constant([gradient, gradient], 3, strategy)},
        strategy,
    )
    for copy in trained.copies["weights"]:
        np.testing.assert_allclose(copy, expected, rtol=2e-7)


@every_rule
def test_updates_of_several_variables_follow_the_formulas(rule):
    initial, excluded, gradients = several_variables()
    assert_follows_reference(rule, "no_strategy", gradients, initial, excluded)


@every_strategy
@every_rule
def test_large_gradients_are_clipped_by_their_norm_over_all_variables(rule, strategy):
    initial, excluded, gradients = several_variables()
    norms = norms_of_means(gradients)
    assert norms.max() > 2.0 and norms.min() < 1.0  # clipping affects only some updates
    assert_follows_reference(rule, strategy, gradients, initial, excluded, clip_norm=1.0)


@every_rule
def test_small_gradients_are_not_clipped(rule):
    initial, excluded, gradients = several_variables()
    gradients = {name: values * 0.03 for name, values in gradients.items()}
    assert norms_of_means({name: values[:, :1] for name, values in gradients.items()}).max() < 1.0
    trained = train_on_gradients(
        lambda: RULES[rule](0.01, clip_norm=1.0),
        initial,
        {name: values[:1, :1] for name, values in gradients.items()},
    )
    for name, values in gradients.items():
        np.testing.assert_allclose(trained.moments(name)[0], 0.1 * values[0, 0], rtol=1e-5)


@pytest.mark.parametrize("strategy", ["no_strategy", "mirrored"])
@every_rule
def test_bias_correction_follows_the_formulas(rule, strategy):
    initial, excluded, gradients = several_variables()
    assert_follows_reference(rule, strategy, gradients, initial, excluded, bias_correction=True)


@every_rule
def test_a_rate_factor_scales_the_update_of_its_variable_and_its_decay_alone(rule):
    initial = {name: np.array([3.0, -4.0]) for name in ("slow", "fast")}
    gradients = {name: [[[0.1, 0.2]]] for name in initial}
    moves = {}
    for factor in (1.0, 0.25):
        optimizer = RULES[rule](
            0.1,
            weight_decay_rate=0.01,
            rate_factor=lambda variable, factor=factor: factor if "slow" in variable.name else 1.0,
        )
        trained = train_on_gradients(lambda rule=optimizer: rule, initial, gradients)
        moves[factor] = {name: trained.weights(name) - initial[name] for name in initial}
    np.testing.assert_allclose(moves[0.25]["slow"], 0.25 * moves[1.0]["slow"], rtol=1e-3)
    np.testing.assert_allclose(moves[0.25]["fast"], moves[1.0]["fast"])


def test_the_first_bias_corrected_update_has_the_size_of_the_learning_rate():
    trained = train_on_gradients(
        lambda: AdamWeightDecayOptimizer(0.25, bias_correction=True),
        {"weights": [1.0, 1.0]},
        {"weights": constant([0.5, -3.0], 1)},
    )
    # m / (1 - beta_1) = g and v / (1 - beta_2) = g^2, so the update is the sign of g.
    np.testing.assert_allclose(trained.weights("weights"), [0.75, 1.25], rtol=1e-5)


def test_bias_correction_without_a_global_step_is_an_error():
    with pytest.raises(ValueError, match="global_step"):
        train_on_gradients(
            lambda: AdamWeightDecayOptimizer(0.1, bias_correction=True),
            {"weights": [1.0]},
            {"weights": constant([1.0], 1)},
            count=False,
        )


def test_a_rule_works_without_a_global_step():
    trained = train_on_gradients(
        lambda: AdamWeightDecayOptimizer(1e-3, weight_decay_rate=0.01),
        {"weights": [1.0, 2.0]},
        {"weights": constant([0.1, 0.1], 3)},
        count=False,
    )
    np.testing.assert_allclose(trained.weights("weights"), [0.987610855, 1.987580856], rtol=2e-7)
    assert trained.saved["global_step"] == 0


def test_lamb_moves_zero_weights_by_the_plain_update():
    trained = train_on_gradients(
        lambda: LAMBOptimizer(0.01), {"weights": [0.0, 0.0]}, {"weights": constant([1.0, -2.0], 1)}
    )
    # m / sqrt(v) = 0.1 g / (sqrt(0.001) |g|) = +-3.1623; epsilon takes off 3e-5 of it at most.
    np.testing.assert_allclose(trained.weights("weights"), [-0.031623, 0.031623], rtol=5e-5)


def test_lamb_does_not_change_weights_with_a_zero_update():
    trained = train_on_gradients(
        lambda: LAMBOptimizer(0.01), {"weights": [3.0, 4.0]}, {"weights": constant([0.0, 0.0], 2)}
    )
    assert trained.weights("weights").tolist() == [3.0, 4.0]


def test_lamb_scales_by_the_ratio_of_the_norms():
    trained = train_on_gradients(
        lambda: LAMBOptimizer(0.01), {"weights": [3.0, 4.0]}, {"weights": constant([7.0, -7.0], 1)}
    )
    # The update is along (1, -1) / sqrt(2); the ratio gives it the length 0.01 * |(3, 4)| = 0.05.
    expected = [3.0 - 0.05 / 2**0.5, 4.0 + 0.05 / 2**0.5]
    np.testing.assert_allclose(trained.weights("weights"), expected, rtol=1e-6)


def test_lamb_can_leave_a_decayed_variable_unscaled():
    trained = train_on_gradients(
        lambda: LAMBOptimizer(
            1.0, weight_decay_rate=0.01, exclude_from_layer_adaptation=["weights"]
        ),
        {"weights": [100.0]},
        {"weights": constant([0.0], 1)},
    )
    np.testing.assert_allclose(trained.weights("weights"), [99.0], rtol=1e-6)


# --- Kinds of gradients


def train_on_lookups(
    row_gradients, other_gradient, table, rule=AdamWeightDecayOptimizer, **options
):
    """Returns Trained after one update of `table`, whose lookups have the given gradients.

    Args:
        row_gradients: list of (row, gradient of one lookup of it).
        other_gradient: gradient of a second variable, `other`.
    """
    rows = [row for row, _ in row_gradients]
    factors = np.array([gradient for _, gradient in row_gradients], np.float32)

    def make_update(variables, step, replica):
        del replica
        loss = tf.reduce_sum(tf.gather(variables["table"], rows) * factors)
        loss += tf.reduce_sum(variables["other"] * np.float32(other_gradient))
        pairs = [variables["table"], variables["other"]]
        gradients = tf.gradients(loss, pairs)
        assert isinstance(gradients[0], tf.IndexedSlices)
        return rule(**options).apply_gradients(zip(gradients, pairs), global_step=step)

    return train(make_update, {"table": table, "other": [0.0]}, num_updates=1)


def test_rows_looked_up_twice_count_summed_in_the_clip_norm():
    trained = train_on_lookups(
        [(1, [3.0, 4.0]), (1, [3.0, 4.0]), (2, [10.5, 0.0])],
        0.0,
        np.zeros([3, 2]),
        learning_rate=0.1,
        clip_norm=1.0,
    )
    # Row 1 has the gradient (6, 8), and all rows together have the norm sqrt(10**2 + 10.5**2).
    expected = 0.1 * np.array([[0.0, 0.0], [6.0, 8.0], [10.5, 0.0]]) / 14.5
    np.testing.assert_allclose(trained.moments("table")[0], expected, rtol=1e-6)


def test_rows_whose_gradients_cancel_do_not_cause_clipping():
    trained = train_on_lookups(
        [(2, [3.0, 4.0]), (2, [-3.0, -4.0])],
        0.5,
        np.zeros([3, 2]),
        learning_rate=0.1,
        clip_norm=1.0,
    )
    np.testing.assert_allclose(trained.moments("other")[0], [0.1 * 0.5], rtol=1e-6)


@every_rule
def test_weight_decay_reaches_rows_that_the_batch_does_not_look_up(rule):
    table = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    trained = train_on_lookups(
        [(1, [0.0, 0.0])], 0.0, table, RULES[rule], learning_rate=0.1, weight_decay_rate=0.01
    )
    # AdamW takes off rate * 0.01 * p; LAMB's ratio |p| / |0.01 p| makes that rate * p.
    shrunk = {"adamw": 1 - 0.1 * 0.01, "lamb": 1 - 0.1}[rule]
    np.testing.assert_allclose(trained.weights("table"), shrunk * table, rtol=1e-6)


@every_strategy
def test_a_variable_without_a_gradient_does_not_change(strategy):
    trained = train_on_gradients(
        lambda: AdamWeightDecayOptimizer(0.1, weight_decay_rate=0.01),
        {"trained": [1.0], "frozen": [1.0]},
        {"trained": constant([1.0], 2, strategy)},
        strategy,
    )
    assert [copy.tolist() for copy in trained.copies["frozen"]] == [[1.0]] * max(
        1, len(DEVICES[strategy])
    )
    assert "frozen/adam_m" not in trained.saved


def test_having_no_gradient_at_all_is_an_error():
    def make_update(variables, step, replica):
        del replica
        rule = AdamWeightDecayOptimizer(0.1)
        return rule.apply_gradients([(None, variables["weights"])], global_step=step)

    with pytest.raises(ValueError, match="No variable has a gradient"):
        train(make_update, {"weights": [1.0]}, num_updates=1)


@every_strategy
def test_the_moments_are_saved_under_the_names_of_googles_checkpoints(strategy):
    trained = train_on_gradients(
        lambda: AdamWeightDecayOptimizer(0.1),
        {"dense/kernel": [0.0]},
        {"dense/kernel": constant([1.0], 1, strategy)},
        strategy,
    )
    assert sorted(trained.saved) == [
        "dense/kernel",
        "dense/kernel/adam_m",
        "dense/kernel/adam_v",
        "global_step",
    ]


# --- Replicas


def test_the_gradient_is_averaged_before_it_is_clipped():
    trained = train_on_gradients(
        lambda: AdamWeightDecayOptimizer(0.1, clip_norm=1.0),
        {"weights": [0.0, 0.0]},
        {"weights": np.array([[[6.0, 8.0], [0.0, -2.0]]])},
        "mirrored",
    )
    # The mean is (3, 3), clipped (1, 1) / sqrt(2). Clipped first, to (0.6, 0.8) and (0, -1), the
    # gradients would have the mean (0.3, -0.1).
    np.testing.assert_allclose(trained.moments("weights")[0], [0.0707107] * 2, rtol=1e-6)


def test_the_gradient_is_the_mean_over_replicas_and_not_the_sum():
    trained = train_on_gradients(
        lambda: AdamWeightDecayOptimizer(0.1, clip_norm=1.0),
        {"weights": [0.0, 0.0]},
        {"weights": np.array([[[0.9, 0.1], [0.3, 0.5]]])},
        "mirrored",
    )
    # The mean (0.6, 0.3) is shorter than 1 and the sum is not.
    np.testing.assert_allclose(trained.moments("weights")[0], [0.06, 0.03], rtol=1e-6)


@every_rule
def test_replicas_with_different_gradients_keep_the_same_weights(rule):
    trained = train_on_gradients(
        lambda: RULES[rule](0.1, weight_decay_rate=0.01, clip_norm=1.0),
        {"weights": [1.0, 2.0]},
        {"weights": np.random.RandomState(3).normal(size=(3, 2, 2))},
        "mirrored",
    )
    first, second = trained.copies["weights"]
    np.testing.assert_array_equal(first, second)


@every_strategy
def test_an_update_advances_the_global_step_by_one(strategy):
    trained = train_on_gradients(
        lambda: AdamWeightDecayOptimizer(0.1),
        {"weights": [1.0]},
        {"weights": constant([1.0], 3, strategy)},
        strategy,
    )
    assert list(trained.copies["global_step"]) == [3] * max(1, len(DEVICES[strategy]))


# --- Gradients that are not finite, and the loss scale


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@every_rule
@every_strategy
def test_a_gradient_that_is_not_finite_on_one_replica_changes_nothing(strategy, rule, bad):
    num_replicas = max(1, len(DEVICES[strategy]))
    good = np.random.RandomState(5).normal(size=(3, num_replicas, 2))
    gradients = good.copy()
    gradients[1, -1, 0] = bad  # of the second update, on the last replica
    trained, expected = (
        train_on_gradients(
            lambda: RULES[rule](0.1, weight_decay_rate=0.01, clip_norm=1.0),
            {"weights": [1.0, 2.0]},
            {"weights": values},
            strategy,
        )
        for values in (gradients, good[[0, 2]])
    )
    for name in expected.saved:
        np.testing.assert_array_equal(trained.saved[name], expected.saved[name])
    assert len(trained.copies["weights"]) == num_replicas
    for copy in trained.copies["weights"]:
        np.testing.assert_array_equal(copy, expected.weights("weights"))
    assert list(trained.copies["global_step"]) == [2] * num_replicas


@pytest.mark.parametrize("fixed", [None, 64.0])
@every_rule
@every_strategy
def test_a_scaled_loss_gives_the_same_update_and_an_overflow_halves_the_scale(
    strategy, rule, fixed
):
    num_replicas = max(1, len(DEVICES[strategy]))
    slopes = np.random.RandomState(6).normal(size=(3, num_replicas, 2)).astype("f")

    def trained_with(scaled, num_updates):
        def make_update(variables, step, replica):
            slope = placeholder("slope", [num_replicas, 2])
            scale = LossScale.create(fixed) if scaled else None
            factor = tf.identity(scale.scale) if scaled else 1.0
            loss = tf.reduce_sum(variables["weights"] * slope[replica])
            flat, found = custom_optimization.flat_gradient(loss, factor)
            rate = tf.constant(0.1)
            return custom_optimization.update(flat, found, rate, rule, loss_scale=scale).op

        return train(
            make_update,
            {"weights": [1.0, 2.0]},
            num_updates,
            strategy,
            lambda number: {"slope/fed": slopes[number]},
        )

    slopes[2, -1, 1] = np.inf
    plain, scaled = trained_with(False, 3), trained_with(True, 3)
    for name in plain.saved:
        np.testing.assert_allclose(scaled.saved[name], plain.saved[name], rtol=1e-6)
    assert scaled.saved["global_step"] == 2
    assert scaled.saved["loss_scale"] == 2.0 ** (15 if fixed else 14)


# --- The schedule and create_optimizer


@pytest.mark.parametrize(
    "warmup, step, expected",
    [
        (10, 0, 0.0),
        (10, 1, 0.2),
        (10, 9, 1.8),
        (10, 10, 1.8),  # 2 * (1 - 10 / 100): the rate drops where warm-up ends
        (10, 11, 1.78),
        (10, 50, 1.0),
        (10, 99, 0.02),
        (10, 100, 0.0),
        (10, 101, 0.0),
        (10, 10000, 0.0),
        (0, 0, 2.0),
        (0, 1, 1.98),
        (0, 99, 0.02),
        (0, 150, 0.0),
        (100, 99, 1.98),
        (100, 100, 0.0),
        (40, 39, 1.95),
        (40, 40, 1.2),
    ],
)
def test_the_rate_warms_up_and_then_decays(warmup, step, expected):
    with tf.Graph().as_default(), tf.Session() as session:
        global_step = tf.constant(step, tf.int64)
        rate = session.run(
            custom_optimization.learning_rate_schedule(global_step, 2.0, 100, warmup)
        )
    assert rate.dtype == np.float32
    np.testing.assert_allclose(rate, expected, rtol=2e-6, atol=1e-6)


def test_the_rate_has_a_power_and_a_start_of_warm_up():
    steps = [0, 10, 15, 29, 30, 60, 100, 120]
    with tf.Graph().as_default(), tf.Session() as session:
        schedule = custom_optimization.learning_rate_schedule(
            tf.constant(steps), 2.0, 100, 20, poly_power=2.0, start_warmup_step=10
        )
        rates = session.run(schedule)
    warming = [0, 0, 2 * 5 / 20, 2 * 19 / 20]
    expected = [*warming, 2 * 0.7**2, 2 * 0.4**2, 0, 0]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


@every_strategy
def test_each_update_uses_the_rate_of_its_step(strategy):
    def make_update(variables, step, replica):
        del step, replica
        loss = 0.0 * tf.reduce_sum(variables["kernel"])
        return custom_optimization.create_optimizer(loss, 10.0, 8, 2)

    trained = train(make_update, {"kernel": [1.0]}, 5, strategy)
    # Without a gradient only the decay of 0.01 acts, at the rates 0, 5, 7.5, 6.25 and 5.
    expected = (1 - 0.05) * (1 - 0.075) * (1 - 0.0625) * (1 - 0.05)
    np.testing.assert_allclose(trained.weights("kernel"), [expected], rtol=1e-6)


@every_rule
def test_create_optimizer_decays_neither_layer_norm_nor_biases(rule):
    initial = {
        name: [4.0]
        for name in (
            "bert/pooler/dense/kernel",
            "bert/pooler/dense/bias",
            "bert/embeddings/LayerNorm/gamma",
            "bert/encoder/LayerNorm_1/beta",
            "end_logits/layer_norm/beta",
            "output_weights",
            "output_bias",
        )
    }

    def make_update(variables, step, replica):
        del step, replica
        loss = 0.0 * tf.add_n([tf.reduce_sum(variable) for variable in variables.values()])
        return custom_optimization.create_optimizer(loss, 0.1, 10, 0, optimizer=rule)

    trained = train(make_update, initial, 1)
    changed = {name for name in initial if trained.weights(name).tolist() != [4.0]}
    assert changed == {"bert/pooler/dense/kernel", "output_weights"}


@every_strategy
def test_create_optimizer_clips_the_mean_gradient_at_norm_one(strategy):
    def make_update(variables, step, replica):
        del step
        # On two replicas the gradients are (0, 0) and (12, 16).
        factor = 6.0 if strategy != "mirrored" else 12.0 * tf.cast(replica, tf.float32)
        loss = factor * tf.reduce_sum(variables["kernel"] * [1.0, 4.0 / 3.0])
        return custom_optimization.create_optimizer(loss, 0.1, 10, 0)

    trained = train(make_update, {"kernel": [0.0, 0.0]}, 1, strategy)
    np.testing.assert_allclose(trained.moments("kernel")[0], [0.06, 0.08], rtol=1e-6)


def test_create_optimizer_can_leave_gradients_unclipped():
    def make_update(variables, step, replica):
        del step, replica
        loss = 6.0 * tf.reduce_sum(variables["kernel"])
        return custom_optimization.create_optimizer(loss, 0.1, 10, 0, clip_norm=None)

    trained = train(make_update, {"kernel": [0.0]}, 1)
    np.testing.assert_allclose(trained.moments("kernel")[0], [0.6], rtol=1e-6)


def test_create_optimizer_does_not_correct_the_bias_unless_asked():
    def make_update(bias_correction):
        def make(variables, step, replica):
            del step, replica
            loss = 0.5 * tf.reduce_sum(variables["bias"])
            return custom_optimization.create_optimizer(
                loss, 0.1, 10, 0, **({"bias_correction": True} if bias_correction else {})
            )

        return make

    plain = train(make_update(False), {"bias": [0.0]}, 1).weights("bias")
    corrected = train(make_update(True), {"bias": [0.0]}, 1).weights("bias")
    np.testing.assert_allclose(plain, [-0.1 * 3.16228], rtol=1e-4)  # 0.1 / sqrt(0.001)
    np.testing.assert_allclose(corrected, [-0.1], rtol=1e-4)


def test_an_unknown_optimizer_is_refused_with_the_known_ones():
    with tf.Graph().as_default():
        weights = tf.get_variable("weights", [])
        with pytest.raises(UsageError, match=r"optimizer=sgd must be one of adamw, lamb\."):
            custom_optimization.create_optimizer(weights * 2.0, 0.1, 10, 0, optimizer="sgd")
