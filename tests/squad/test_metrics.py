"""Tests of albert.squad_metrics, squad_data and evaluate_squad against official scores."""

import json
import pathlib
import random
import subprocess
import sys

import pytest

from albert.common.errors import UsageError
from albert.evaluate_squad import evaluate
from albert.squad import files as squad_files
from albert.squad import metrics as squad_metrics

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

# Published with the predictions.
OFFICIAL = {
    ("dev-v1.1.json", "v1.1-bert-ensemble.json"): {
        "exact_match": 86.20624408703878,
        "f1": 92.19557978351145,
    },
    ("dev-v1.1.json", "v1.1-logistic-baseline.json"): {
        "exact_match": 40.14191106906339,
        "f1": 50.98153647324461,
    },
    ("dev-v2.0.json", "v2.0-nlnet.json"): {
        "exact": 75.82750779078582,
        "f1": 78.77776770381462,
        "HasAns_exact": 69.61875843454791,
        "HasAns_f1": 75.52773885752187,
        "NoAns_exact": 82.01850294365012,
    },
}


@pytest.mark.parametrize("names", list(OFFICIAL))
def test_official_scores_are_met_to_the_last_digit(shared_data, names):
    squad = shared_data / "squad"
    scores = evaluate(str(squad / names[0]), str(squad / "predictions" / names[1]))
    for name, value in OFFICIAL[names].items():
        assert scores[name] == value


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


def test_version_1_gives_no_f1_for_an_answer_without_words():
    scores = squad_metrics.evaluate_version_1([question("a", "the")], {"a": "a"})
    assert scores == {"exact_match": 100.0, "f1": 0.0}


# --- Version 2.0


def test_version_2_scores_answered_and_unanswerable_questions_apart():
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


def test_version_2_counts_questions_beyond_the_threshold_as_unanswered():
    questions = [question("a", "red"), question("b")]
    predictions = {"a": "red", "b": "green"}
    odds = {"a": 0.5, "b": 0.500001}
    scores = squad_metrics.evaluate_version_2(questions, predictions, odds, threshold=0.5)
    assert (scores["exact"], scores["HasAns_exact"], scores["NoAns_exact"]) == (100.0,) * 3
    scores = squad_metrics.evaluate_version_2(questions, predictions, odds, threshold=0.1)
    assert (scores["HasAns_exact"], scores["NoAns_exact"]) == (0.0, 100.0)


@pytest.mark.parametrize("seed", range(5))
def test_best_thresholds_are_those_that_trying_all_finds(seed):
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


def test_threshold_is_0_where_silence_is_best():
    scores = squad_metrics.evaluate_version_2([question("a")], {"a": "red"}, {"a": 2.0})
    assert (scores["best_exact"], scores["best_exact_thresh"]) == (100.0, 0.0)


# --- Files


def squad_json(**changes):
    row = {"id": "q1", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]}
    row.update(changes)
    paragraph = {"context": "Ann sings.", "qas": [row]}
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": [paragraph]}]}


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return str(path)


def test_reading_keeps_the_order_and_the_text(tmp_path):
    data = squad_files.read_squad(write(tmp_path / "squad.json", squad_json()))
    assert not data.is_version_2
    assert data.paragraphs[0].context == "Ann sings."
    assert list(data.questions()) == [
        squad_files.SquadQuestion("q1", "Who?", (("Ann", 0),), False),
    ]


def test_a_question_marked_as_impossible_makes_it_version_2(tmp_path):
    value = squad_json(is_impossible=True, answers=[])
    data = squad_files.read_squad(write(tmp_path / "squad.json", value))
    assert data.is_version_2
    assert [(row.is_impossible, row.answers) for row in data.questions()] == [(True, ())]


@pytest.mark.parametrize(
    "value, expected",
    [
        ('{"data": [', " is not JSON: "),
        ("[]", ": the file has no 'data'."),
        ({"data": {}}, ": 'data' of the file must be of type list, not dict."),
        ({"data": [{"title": "t"}]}, ": data[0] has no 'paragraphs'."),
        ({"data": []}, " holds no questions."),
        (squad_json(id=7), "'id' of data[0].paragraphs[0].qas[0] must be of type str, not int."),
        (squad_json(answers=[{"text": "Ann"}]), ": question q1 has no 'answer_start'."),
        (squad_json(question=None), "'question' of question q1 must be of type str, not NoneType."),
    ],
)
def test_file_that_is_not_squad_is_refused(tmp_path, value, expected):
    path = write(tmp_path / "squad.json", value)
    with pytest.raises(UsageError) as caught:
        squad_files.read_squad(path)
    message = str(caught.value)
    assert message.startswith(path) and expected in message and "\n" not in message


def test_two_questions_of_one_id_are_refused(tmp_path):
    value = squad_json()
    value["data"] *= 2
    with pytest.raises(UsageError, match="two questions have the id q1"):
        squad_files.read_squad(write(tmp_path / "squad.json", value))


# --- The program


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "albert.evaluate_squad", *arguments],
        cwd=str(REPOSITORY),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_program_prints_the_scores_as_json(tmp_path):
    data = write(tmp_path / "data.json", squad_json(is_impossible=False))
    predictions = write(tmp_path / "predictions.json", {"q1": "ann"})
    odds = write(tmp_path / "odds.json", {"q1": -1.5})
    finished = run(data, predictions, "--na_prob_file", odds, "--na_prob_thresh", "0.5")
    assert (finished.returncode, finished.stderr) == (0, "")
    scores = json.loads(finished.stdout)
    assert scores["best_f1_thresh"] == -1.5
    assert scores["HasAns_total"] == 1
    assert "NoAns_total" not in scores


@pytest.mark.parametrize(
    "predictions, more, expected",
    [
        ('{"q1": "An', [], "predictions.json is not JSON: "),
        ([], [], "predictions.json must hold a JSON object"),
        ({"q2": "Ann"}, [], "predictions.json answers no question of "),
        ({"q1": 3}, [], "predictions.json: the value of q1 is 3"),
        ({"q1": "Ann"}, ["--na_prob_file=missing"], "is not of version 2.0."),
    ],
)
def test_program_ends_mistakes_in_one_line(tmp_path, predictions, more, expected):
    data = write(tmp_path / "data.json", squad_json())
    finished = run(data, write(tmp_path / "predictions.json", predictions), *more)
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("evaluate_squad.py: ") and expected in line


def test_program_ends_a_mistaken_command_line_in_one_line():
    finished = run("data.json")
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("evaluate_squad.py: ") and "predictions_file" in line
