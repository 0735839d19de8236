"""Tests of albert.squad.heads against NumPy."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert import squad_utils
from albert.nn.layers import Dropout
from albert.squad import heads

HIDDEN = 4


class FixedModel:
    """A model with a fixed output: [batch, seq, hidden]."""

    def __init__(self, sequence):
        self._sequence = tf.constant(sequence)
        self.dropout = Dropout(False)

    def get_sequence_output(self):
        return self._sequence


def run_head(head, features, is_training, seed=1):
    """Returns (ModelOutput with values, {variable name: value}) on random weights."""
    random = np.random.RandomState(seed)
    sequence = random.normal(size=(2, 6, HIDDEN)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = {name: tf.constant(value, tf.int32) for name, value in features.items()}
        output = head(FixedModel(sequence), inputs, is_training)
        variables = {variable.op.name: variable for variable in tf.global_variables()}
        for variable in variables.values():
            variable.load(random.normal(size=variable.shape.as_list()), session)
        predictions, values = session.run([output.predictions, variables])
        loss = session.run(output.loss_sums)
    return sequence, loss, predictions, values


FEATURES = {
    "input_mask": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]],
    "p_mask": [[0, 1, 0, 0, 0, 1], [0, 1, 0, 1, 1, 1]],
    "start_positions": [2, 0],
    "end_positions": [3, 0],
    "is_impossible": [0, 1],
}


def np_log_softmax(values):
    shifted = values - values.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def test_head_of_version_1_agrees_with_numpy():
    sequence, loss, predictions, values = run_head(heads.head_of_version_1, FEATURES, True)
    assert {name: value.shape for name, value in values.items()} == {
        "cls/squad/output_weights": (2, HIDDEN),
        "cls/squad/output_bias": (2,),
    }
    expected = sequence @ values["cls/squad/output_weights"].T + values["cls/squad/output_bias"]
    expected[1, 4:] = -1e30  # padding
    np.testing.assert_allclose(predictions["start_logits"], expected[..., 0], rtol=1e-5)
    np.testing.assert_allclose(predictions["end_logits"], expected[..., 1], rtol=1e-5)
    starts, ends = np_log_softmax(expected[..., 0]), np_log_softmax(expected[..., 1])
    losses = [starts[0, 2], starts[1, 0], ends[0, 3], ends[1, 0]]
    np.testing.assert_allclose(loss, [-0.5 * np.sum(losses)], rtol=1e-5)


def head_2(model, features, is_training):
    return heads.head_of_version_2(model, features, is_training, 3, 2, 0.0)


def np_version_2(sequence, values):
    """Returns (start logits, function from a start to end logits, null logits) by NumPy."""
    p_mask = np.array(FEATURES["p_mask"])
    start = sequence @ values["start_logits/dense/kernel"] + values["start_logits/dense/bias"]
    start = np.where(p_mask, -1e30, start[..., 0])

    def ends_of(example, begin):
        rows = sequence[example]
        pair = np.concatenate([rows, np.tile(rows[begin], (len(rows), 1))], axis=-1)
        scope = "end_logits/"
        inner = pair @ values[scope + "dense_0/kernel"] + values[scope + "dense_0/bias"]
        inner = np.tanh(inner)
        inner -= inner.mean(axis=-1, keepdims=True)
        inner /= np.sqrt(inner.var(axis=-1, keepdims=True) + 1e-12)
        inner = inner * values[scope + "LayerNorm/gamma"] + values[scope + "LayerNorm/beta"]
        end = inner @ values[scope + "dense_1/kernel"] + values[scope + "dense_1/bias"]
        return np.where(p_mask[example], -1e30, end[:, 0])

    weights = np.exp(np_log_softmax(start))
    summary = np.einsum("bs,bsh->bh", weights, sequence)
    pair = np.concatenate([summary, sequence[:, 0]], axis=-1)
    scope = "answer_class/"
    inner = np.tanh(pair @ values[scope + "dense_0/kernel"] + values[scope + "dense_0/bias"])
    return start, ends_of, (inner @ values[scope + "dense_1/kernel"])[:, 0]


def test_head_of_version_2_has_the_variables_of_the_original():
    _, _, _, values = run_head(head_2, FEATURES, True)
    assert {name: value.shape for name, value in values.items()} == {
        "start_logits/dense/kernel": (HIDDEN, 1),
        "start_logits/dense/bias": (1,),
        "end_logits/dense_0/kernel": (2 * HIDDEN, HIDDEN),
        "end_logits/dense_0/bias": (HIDDEN,),
        "end_logits/LayerNorm/beta": (HIDDEN,),
        "end_logits/LayerNorm/gamma": (HIDDEN,),
        "end_logits/dense_1/kernel": (HIDDEN, 1),
        "end_logits/dense_1/bias": (1,),
        "answer_class/dense_0/kernel": (2 * HIDDEN, HIDDEN),
        "answer_class/dense_0/bias": (HIDDEN,),
        "answer_class/dense_1/kernel": (HIDDEN, 1),
    }


def test_loss_of_version_2_agrees_with_numpy():
    sequence, loss, _, values = run_head(head_2, FEATURES, True)
    start, ends_of, null = np_version_2(sequence, values)
    spans = 0.0
    for example in range(2):
        begin, end = FEATURES["start_positions"][example], FEATURES["end_positions"][example]
        spans -= np_log_softmax(start[example])[begin] / 2
        spans -= np_log_softmax(ends_of(example, begin))[end] / 2
    nulls = (np.log1p(np.exp(null[0])) + np.log1p(np.exp(-null[1]))) / 2
    np.testing.assert_allclose(loss, [spans + nulls], rtol=1e-5)  # summed over two examples


def test_predictions_of_version_2_agree_with_numpy():
    sequence, _, predictions, values = run_head(head_2, FEATURES, False)
    start, ends_of, null = np_version_2(sequence, values)
    np.testing.assert_allclose(predictions["null_logits"], null, rtol=1e-5)
    log_probs = np_log_softmax(start)
    for example, num_allowed in ((0, 4), (1, 2)):
        for beam in range(min(3, num_allowed)):
            begin = np.argsort(-log_probs[example])[beam]
            assert predictions["start_index"][example][beam] == begin
            assert predictions["start_log_probs"][example][beam] == pytest.approx(
                log_probs[example][begin], rel=1e-4
            )
            ends = np_log_softmax(ends_of(example, begin))
            best = np.argsort(-ends)[:2]
            np.testing.assert_array_equal(predictions["end_index"][example][beam], best)
            np.testing.assert_allclose(
                predictions["end_log_probs"][example][beam], ends[best], rtol=1e-4
            )


@pytest.mark.parametrize("version, expected", [("1.1", "start_logits"), ("2.0", "null_logits")])
def test_head_of_the_task_is_that_of_its_version(version, expected):
    task = squad_utils.SquadTask(None, squad_utils.SquadSettings(squad_version=version))
    _, _, predictions, _ = run_head(task.head, FEATURES, False)
    assert expected in predictions
