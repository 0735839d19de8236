"""Tests of albert.squad.metrics by hand; tests/test_evaluate_squad.py has the published scores."""

import random

import pytest

from albert.squad import files as squad_files
from albert.squad import metrics as squad_metrics


def question(identifier, *golds):
    answers = tuple((gold, 0) for gold in golds)
    return squad_files.SquadQuestion(identifier, "?", answers, not golds)


# --- One answer


@pytest.mark.parametrize(
    "text, expected",
    [
        ("The Cat", "cat"),
        ("an  apple,\ta day!", "apple day"),
        ("theatre and anthem", "theatre and anthem"),
        ("U.S.A.", "usa"),
        ("the", ""),
        ("Ångström – the", "ångström –"),
    ],
)
def test_answers_are_compared_without_case_punctuation_and_articles(text, expected):
    assert squad_metrics.normalize_answer(text) == expected


@pytest.mark.parametrize(
    "gold, prediction, expected",
    [
        ("the red car", "red car", 1.0),
        ("red car", "car", 2 / 3),
        ("car car", "car", 2 / 3),
        ("red", "blue", 0.0),
        ("", "", 1.0),
        ("", "blue", 0.0),
        ("red", "the", 0.0),
    ],
)
def test_f1_counts_shared_words(gold, prediction, expected):
    assert squad_metrics.f1(gold, prediction) == pytest.approx(expected)


# --- Version 1.1


def test_version_1_takes_the_best_of_several_answers():
    questions = [question("a", "red car", "car"), question("b", "blue")]
    scores = squad_metrics.evaluate_version_1(questions, {"a": "the car", "b": "green"})
    assert scores == {"exact_match": 50.0, "f1": 50.0}


def test_version_1_counts_a_missing_prediction_as_wrong_and_says_so(caplog):
    questions = [question("a", "red"), question("b", "blue")]
    scores = squad_metrics.evaluate_version_1(questions, {"a": "red"})
    assert scores == {"exact_match": 50.0, "f1": 50.0}
    assert "1 questions have no prediction" in caplog.text


def test_version_1_gives_an_answer_without_words_an_f1_of_0():
    scores = squad_metrics.evaluate_version_1([question("a", "the")], {"a": "a"})
    assert scores == {"exact_match": 100.0, "f1": 0.0}


# --- Version 2.0


def test_version_2_also_scores_questions_with_and_without_an_answer_separately():
    questions = [question("a", "red car"), question("b", "blue"), question("c"), question("d")]
    predictions = {"a": "car", "b": "", "c": "", "d": "green"}
    scores = squad_metrics.evaluate_version_2(questions, predictions)
    assert scores == {
        "exact": 25.0,
        "f1": pytest.approx(100 * (2 / 3 + 1) / 4),
        "total": 4,
        "HasAns_exact": 0.0,
        "HasAns_f1": pytest.approx(100 / 3),
        "HasAns_total": 2,
        "NoAns_exact": 50.0,
        "NoAns_f1": 50.0,
        "NoAns_total": 2,
    }


def test_version_2_counts_questions_above_the_threshold_as_unanswered():
    questions = [question("a", "red"), question("b")]
    predictions = {"a": "red", "b": "green"}
    odds = {"a": 0.5, "b": 0.500001}
    scores = squad_metrics.evaluate_version_2(questions, predictions, odds, threshold=0.5)
    assert (scores["exact"], scores["HasAns_exact"], scores["NoAns_exact"]) == (100.0,) * 3
    scores = squad_metrics.evaluate_version_2(questions, predictions, odds, threshold=0.1)
    assert (scores["HasAns_exact"], scores["NoAns_exact"]) == (0.0, 100.0)


@pytest.mark.parametrize("seed", range(5))
def test_best_thresholds_are_as_good_as_the_best_of_all_thresholds(seed):
    random_ = random.Random(seed)
    questions, predictions, odds = [], {}, {}
    for number in range(40):
        name = str(number)
        questions.append(question(name, *(["red car"] if random_.random() < 0.8 else [])))
        predictions[name] = random_.choice(["red car", "red car", "car", "blue"])
        odds[name] = random_.uniform(-3, 3)
    scores = squad_metrics.evaluate_version_2(questions, predictions, odds)
    for metric in ("exact", "f1"):
        tried = {
            threshold: squad_metrics.evaluate_version_2(questions, predictions, odds, threshold)
            for threshold in odds.values()
        }
        best = max(result[metric] for result in tried.values())
        assert scores[f"best_{metric}"] == pytest.approx(best)
        assert tried[scores[f"best_{metric}_thresh"]][metric] == pytest.approx(best)


def test_the_lowest_of_equally_good_thresholds_is_the_best():
    # Answering a, b and c adds 1, takes 1 away and adds 1 again.
    questions = [question("a", "red"), question("b"), question("c", "red")]
    predictions = dict.fromkeys("abc", "red")
    odds = {"c": 3.0, "b": 2.0, "a": 1.0}
    scores = squad_metrics.best_thresholds(questions, predictions, odds)
    assert (scores["best_f1_thresh"], scores["best_exact_thresh"]) == (1.0, 1.0)
    assert scores["best_f1"] == pytest.approx(200 / 3)


def test_questions_with_the_same_odds_are_answered_in_the_order_of_their_odds():
    # As in the official script: the wrong answer, though as likely, comes after the threshold.
    questions = [question("a", "red"), question("b")]
    scores = squad_metrics.best_thresholds(
        questions, {"a": "red", "b": "red"}, {"a": 1.0, "b": 1.0}
    )
    assert (scores["best_f1"], scores["best_f1_thresh"]) == (100.0, 1.0)
    scores = squad_metrics.best_thresholds(
        questions, {"a": "red", "b": "red"}, {"b": 1.0, "a": 1.0}
    )
    assert (scores["best_f1"], scores["best_f1_thresh"]) == (50.0, 0.0)


def test_predictions_that_are_empty_above_the_best_threshold_have_the_same_one():
    questions = [question("a", "red"), question("b", "the")]  # "the" has no words, as "" has none
    odds = {"a": 1.0, "b": 2.0}
    expected = {
        "best_exact": 50.0,
        "best_exact_thresh": 1.0,
        "best_f1": 50.0,
        "best_f1_thresh": 1.0,
    }
    for answer in ("blue", ""):
        predictions = {"a": "red", "b": answer}
        assert squad_metrics.best_thresholds(questions, predictions, odds) == expected


def test_threshold_is_0_if_no_answer_improves_the_score():
    scores = squad_metrics.evaluate_version_2([question("a")], {"a": "red"}, {"a": 2.0})
    assert (scores["best_exact"], scores["best_exact_thresh"]) == (100.0, 0.0)
