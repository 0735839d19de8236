"""Tests of SQuAD's decoding, scores and features on cases small enough to work out by hand."""

import json

import pytest
import sample_squad

from albert.squad import decoding, metrics
from albert.squad.files import SquadQuestion
from albert.squad_utils import SquadSettings, SquadTask

GOLDS = SquadQuestion("a", "?", (("a red car", 0), ("car", 6)), False)
IMPOSSIBLE = SquadQuestion("b", "?", (), True)


def test_an_answer_may_be_one_token_alone():
    window = decoding.WindowContext(1, [0, 4, 8], [2, 6, 10], [1, 1, 1])
    logits = [0.0, 1.0, 5.0, 1.0]  # [CLS] and three tokens of the context
    (best,) = decoding.spans_of_logits(window, logits, logits, 1, 30)
    assert best == decoding.Span(4, 6, 10.0)


@pytest.mark.parametrize(
    "prediction, f1", [("car", 100.0), ("the red car", 100.0), ("red", 200 / 3)]
)
def test_the_gold_that_agrees_most_counts(prediction, f1):
    # "red" and "a red car", which is "red car": precision 1, recall 1/2.
    for scores, name in (
        (metrics.evaluate_version_1([GOLDS], {"a": prediction}), "f1"),
        (metrics.evaluate_version_2([GOLDS], {"a": prediction}), "f1"),
    ):
        assert scores[name] == pytest.approx(f1)


@pytest.mark.parametrize("answer, expected", [("", (100.0, 2.0)), ("car", (50.0, 0.0))])
def test_an_impossible_question_costs_a_point_only_where_it_is_answered(answer, expected):
    # By rising odds: first the impossible question, then the other one, answered rightly. Of two
    # questions, one is right as long as neither is answered.
    predictions, odds = {"a": "car", "b": answer}, {"b": 1.0, "a": 2.0}
    found = metrics.best_thresholds([GOLDS, IMPOSSIBLE], predictions, odds)
    assert (found["best_f1"], found["best_f1_thresh"]) == expected


def test_a_long_question_loses_its_end(wordpiece, tmp_path):
    data = sample_squad.one_question(question="abcdef")
    path = sample_squad.write_json(tmp_path / "dev.json", json.dumps(data))
    task = SquadTask(wordpiece, SquadSettings(max_query_length=3), predict_file=path)
    (features,) = task.features("predict")
    tokens = wordpiece.convert_ids_to_tokens(features["input_ids"])
    assert tokens[:5] == ["[CLS]", "a", "##b", "##c", "[SEP]"]
