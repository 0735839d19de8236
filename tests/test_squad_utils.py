"""Tests of SQuAD's heads, decoding and task."""

import json
import logging

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert import squad_utils, tokenization
from albert.common.errors import UsageError
from albert.nn.layers import Dropout
from albert.squad import decoding, heads
from albert.squad.decoding import ShownWindow, Span
from albert.text.alignment import AlignedTokens

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] who sings what is it ann bob and a song the old".split()
CONTEXT = "Ann sings the  old song and Bob"  # two spaces
#          0   4     10   15  19   24  28


# --- Decoding


def window(num_pieces=6, offset=3, begin=0, hidden=()):
    return ShownWindow(offset, begin, num_pieces, [n not in hidden for n in range(num_pieces)])


def logits(length=10, **values):
    found = np.full([length], -5.0)
    for place, value in values.items():
        found[int(place[1:])] = value
    return found


def test_span_is_the_best_allowed_pair_of_start_and_end():
    starts, ends = logits(_4=3.0, _5=1.0), logits(_6=2.0, _3=9.0)  # the best end is before it
    spans = decoding.spans_of_logits(window(), starts, ends, 20, 30)
    assert max(spans, key=lambda span: span.score) == Span(1, 3, 5.0)


@pytest.mark.parametrize(
    "starts, ends, max_length, shown",
    [
        ("_2", "_4", 30, window()),  # begins before the context
        ("_4", "_9", 30, window()),  # ends behind it
        ("_4", "_7", 3, window()),  # too long
        ("_4", "_5", 30, window(hidden=[1])),  # another window shows it better
    ],
)
def test_span_that_is_not_allowed_is_passed_over(starts, ends, max_length, shown):
    starts, ends = logits(**{starts: 3.0}), logits(**{ends: 3.0})
    spans = decoding.spans_of_logits(shown, starts, ends, 1, max_length)
    assert spans == []


def test_spans_count_from_the_beginning_of_the_context():
    shown = window(begin=100)
    spans = decoding.spans_of_logits(shown, logits(_4=1.0), logits(_5=1.0), 1, 30)
    assert spans == [Span(101, 102, 2.0)]


def test_beams_are_starts_with_their_own_ends():
    beams = {
        "start_index": [4, 0],
        "start_log_probs": [-0.5, -1.0],
        "end_index": [[6, 3], [0, 5]],
        "end_log_probs": [[-0.25, -0.1], [-0.1, -0.2]],
    }
    assert decoding.spans_of_beams(window(), beams, 30) == [Span(1, 3, -0.75)]


ALIGNED = AlignedTokens([0] * 7, [0, 4, 10, 15, 19, 24, 28], [2, 8, 12, 17, 22, 26, 30])


def test_answers_are_cut_from_the_context_best_first_and_once_each():
    spans = [Span(2, 3, 1.0), Span(0, 0, 3.0), Span(6, 6, 2.0), Span(0, 0, 2.5)]
    answers = decoding.best_answers(CONTEXT, ALIGNED, spans, 3)
    assert answers == [("Ann", 3.0), ("Bob", 2.0), ("the  old", 1.0)]
    assert decoding.best_answers(CONTEXT, ALIGNED, spans, 1) == [("Ann", 3.0)]


def test_probabilities_are_the_softmax_of_the_scores():
    answers = [decoding.Answer("a", 1000.0), decoding.Answer("b", 1000.0 - np.log(3))]
    rows = decoding.with_probabilities(answers)
    assert [row["probability"] for row in rows] == pytest.approx([0.75, 0.25])


# --- Heads

HIDDEN = 4


class FixedModel:
    """A model whose output is given: [batch, seq, hidden]."""

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
        loss = None if output.loss is None else session.run(output.loss)
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
    np.testing.assert_allclose(loss, -np.mean(losses), rtol=1e-5)


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
    np.testing.assert_allclose(loss, 0.5 * spans + 0.5 * nulls, rtol=1e-5)


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


# --- The task


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("squad") / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


def row(identifier, answer=None, begin=0, **more):
    answers = [] if answer is None else [{"text": answer, "answer_start": begin}]
    return dict({"id": identifier, "question": "Who sings?", "answers": answers}, **more)


@pytest.fixture
def make_task(tokenizer, tmp_path):
    """Returns a function of (rows, split, settings): the SquadTask of one paragraph."""

    def made(rows, split="predict", **settings):
        data = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": rows}]}]}
        path = tmp_path / f"{split}.json"
        path.write_text(json.dumps(data), encoding="utf-8")
        return squad_utils.SquadTask(
            tokenizer, squad_utils.SquadSettings(**settings), **{f"{split}_file": str(path)}
        )

    return made


def test_training_features_point_at_the_answer(make_task):
    (feature,) = make_task([row("q", "old song", 15)], "train").features("train")
    tokens = [WORDS[index] for index in feature["input_ids"]]
    assert tokens[feature["start_positions"] : feature["end_positions"] + 1] == ["old", "song"]
    assert feature["is_impossible"] == 0


def test_windows_without_the_answer_point_at_cls_and_are_impossible(make_task):
    task = make_task([row("q", "Ann")], "train", max_seq_length=10, doc_stride=3)
    found = [
        (feature["start_positions"], feature["is_impossible"]) for feature in task.features("train")
    ]
    assert found[0][1] == 0 and found[0][0] > 0
    assert found[1:] == [(0, 1)] * (len(found) - 1) and len(found) > 1


def test_answers_that_do_not_stand_where_they_should_are_counted_and_left_out(make_task, caplog):
    wrong = [("Ann", 3), ("Bob", -3), ("", 0), (" ", 3), ("Bob!", 28)]
    rows = [row(f"bad{number}", *answer) for number, answer in enumerate(wrong)]
    task = make_task([*rows, row("good", "Bob", 28)], "train")
    with caplog.at_level(logging.WARNING):
        assert len(list(task.features("train"))) == 1
    assert "5 questions are left out" in caplog.text and ": bad0, bad1, bad2, ..." in caplog.text


@pytest.mark.parametrize(
    "rows, message",
    [
        ([row("q1")], "question q1 has no answer"),
        ([row("q1", is_impossible=True)], "--squad_version=2.0 is for such files"),
    ],
)
def test_training_file_that_does_not_fit_is_refused(make_task, rows, message):
    with pytest.raises(UsageError, match=message):
        list(make_task(rows, "train").features("train"))


def test_missing_training_file_is_named(tokenizer):
    task = squad_utils.SquadTask(tokenizer, squad_utils.SquadSettings(), train_file="none.json")
    with pytest.raises(UsageError, match="--train_file=none.json: No such file or directory"):
        task.fingerprint("train")


def test_file_without_answers_is_not_scored(make_task):
    assert make_task([row("q")]).dev_splits == ()
    assert make_task([row("q", "Ann")]).dev_splits == ("predict",)


@pytest.mark.parametrize("flag", ["doc_stride", "n_best_size", "start_n_top"])
def test_setting_below_1_is_refused(make_task, flag):
    with pytest.raises(UsageError, match=f"--{flag}=0 must be 1 or more"):
        make_task([row("q")], **{flag: 0})


def pointing_at(first, last, length=14):
    """Returns the row of a model sure of tokens first to last of the context."""
    offset = 5  # [CLS] who sings [UNK] [SEP]: the question mark is not in the vocabulary
    starts, ends = np.zeros([length]), np.zeros([length])
    starts[offset + first] = ends[offset + last] = 9.0
    return {"start_logits": starts, "end_logits": ends}


def test_answers_of_version_1_are_written_and_scored(make_task, tmp_path):
    task = make_task([row("q1", "old song", 15), row("q2", "Bob", 28)])
    rows = {"predict": [pointing_at(3, 4), pointing_at(0, 0)]}
    assert task.evaluate(rows) == {"exact_match": 50.0, "f1": 50.0}
    paths = task.write_predictions(rows, str(tmp_path))
    assert [path[len(str(tmp_path)) + 1 :] for path in paths] == [
        "predictions.json",
        "nbest_predictions.json",
    ]
    best, n_best = (json.loads(open(path, encoding="utf-8").read()) for path in paths)
    assert best == {"q1": "old song", "q2": "Ann"}
    assert n_best["q1"][0]["text"] == "old song"
    assert sum(answer["probability"] for answer in n_best["q1"]) == pytest.approx(1.0)


def beams_at(first, last, null):
    beams = {"start_index": [5 + first], "start_log_probs": [-0.1]}
    return dict(beams, end_index=[[5 + last]], end_log_probs=[[-0.1]], null_logits=null)


def test_question_that_sets_the_threshold_is_answered(make_task, tmp_path):
    rows = [row("q1", "Ann"), row("q2", is_impossible=True), row("q3", "Bob", 28)]
    task = make_task(rows, squad_version="2.0")
    predictions = {"predict": [beams_at(0, 0, -2.0), beams_at(1, 1, 3.0), beams_at(6, 6, 1.5)]}
    scores = task.evaluate(predictions)
    assert (scores["exact"], scores["f1"], scores["best_f1_thresh"]) == (100.0, 100.0, 1.5)
    paths = task.write_predictions(predictions, str(tmp_path))
    best, _, odds = (json.loads(open(path, encoding="utf-8").read()) for path in paths)
    assert best == {"q1": "Ann", "q2": "", "q3": "Bob"}
    assert odds == {"q1": -2.0, "q2": 3.0, "q3": 1.5}


@pytest.mark.parametrize("version, expected", [("1.1", "empty"), ("2.0", "")])
def test_question_without_any_span_has_the_answer_of_the_original(
    make_task, tmp_path, version, expected
):
    task = make_task([row("q1", "Ann")], squad_version=version, n_best_size=1)
    found = beams_at(-5, -5, -1.0) if version == "2.0" else pointing_at(-5, -5)
    (path, *_) = task.write_predictions({"predict": [found]}, str(tmp_path))
    assert json.loads(open(path, encoding="utf-8").read()) == {"q1": expected}


def test_head_of_the_task_is_that_of_its_version(make_task):
    for version, expected in (("1.1", "start_logits"), ("2.0", "null_logits")):
        task = make_task([row("q", "Ann")], squad_version=version)
        with tf.Graph().as_default():
            inputs = {name: tf.constant(value, tf.int32) for name, value in FEATURES.items()}
            model = FixedModel(np.zeros((2, 6, HIDDEN), np.float32))
            assert expected in task.head(model, inputs, False).predictions
