"""Tests of the command albert.evaluate_squad, against the published scores and by hand."""

import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import sample_squad
from sample_squad import one_question, write_json

from albert import tokenization
from albert.common.errors import UsageError
from albert.evaluate_squad import evaluate
from albert.squad_utils import SquadSettings, SquadTask

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]

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


@pytest.mark.parametrize("version", ["1.1", "2.0"])
@pytest.mark.parametrize("seed", range(3))
def test_scores_and_thresholds_of_a_run_are_met_to_the_last_digit(tmp_path, version, seed):
    data = str(tmp_path / "dev.json")
    sample_squad.write_squad(tmp_path / "dev.json", 20, seed, version)
    (tmp_path / "vocab.txt").write_text("\n".join(sample_squad.VOCABULARY), encoding="utf-8")
    tokenizer = tokenization.FullTokenizer(str(tmp_path / "vocab.txt"))
    settings = SquadSettings(version, max_seq_length=16, doc_stride=3)
    task = SquadTask(tokenizer, settings, data, data)
    generator = np.random.RandomState(seed)
    outputs = [plausible_output(version, row, generator) for row in task.features("train")]
    predictions = sample_squad.predictions_of(task, outputs)
    expected = task.evaluate(predictions)
    path, _, *more = task.write_predictions(predictions, str(tmp_path), expected)
    scores = evaluate(data, path, *more)
    assert {name: scores[name] for name in expected} == expected
    if version == "2.0":  # a threshold of 1.0, as for probabilities, would change the scores
        assert expected["best_f1_thresh"] > 2.0 and 0 < expected["HasAns_f1"] < 100.0


def plausible_output(version, feature, generator):
    """Returns what the head of a version might predict for a window; it is often right."""
    length = len(feature["input_ids"])
    start, end = feature["start_positions"], feature["end_positions"]
    if version == "1.1":
        logits = generator.normal(size=[2, length])
        logits[0, start] += 2.0
        logits[1, end] += 2.0
        return {"start_logits": logits[0], "end_logits": logits[1]}
    other = generator.randint(length)
    null_logits = generator.normal(8.0 if feature["is_impossible"] else 3.0, 2.0)
    return {
        "start_index": np.array([start, other]),
        "start_log_probs": generator.normal([0.0, -2.0]),
        "end_index": np.array([[end, other], [other, other + 2]]),
        "end_log_probs": generator.normal([[0.0, -2.0], [0.0, -2.0]]),
        "null_logits": np.float32(null_logits),
    }


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "albert.evaluate_squad", *arguments],
        cwd=str(REPOSITORY),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_program_prints_the_scores_as_json(tmp_path):
    data = write_json(tmp_path / "data.json", one_question(is_impossible=False))
    predictions = write_json(tmp_path / "predictions.json", {"q1": "ann"})
    odds = write_json(tmp_path / "odds.json", {"q1": -1.5})
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
        ([], [], "predictions.json does not hold a JSON object"),
        ({"q2": "Ann"}, [], "predictions.json answers no question of "),
        ({"q1": 3}, [], "predictions.json: the value of q1 must be a string, not 3."),
        ({"q\n1": {}, "q1": ""}, [], r"the value of 'q\n1' must be a string, not {}."),
        ({"q1": "Ann"}, ["--na_prob_file=missing"], "is not of version 2.0."),
        ({"q1": "Ann"}, ["--na_prob_thresh=0.5"], "--na_prob_thresh=0.5 needs --na_prob_file."),
    ],
)
def test_program_ends_mistakes_in_one_line(tmp_path, predictions, more, expected):
    data = write_json(tmp_path / "data.json", one_question())
    finished = run(data, write_json(tmp_path / "predictions.json", predictions), *more)
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("evaluate_squad.py: ") and expected in line


@pytest.mark.parametrize("odds", [True, None, "1.0", [1.0]])
def test_null_odds_that_are_no_numbers_are_refused(tmp_path, odds):
    data = write_json(tmp_path / "data.json", one_question(is_impossible=False))
    predictions = write_json(tmp_path / "predictions.json", {"q1": "Ann"})
    path = write_json(tmp_path / "odds.json", {"q1": odds})
    with pytest.raises(
        UsageError, match=f"the value of q1 must be a number, not {re.escape(repr(odds))}"
    ):
        evaluate(data, predictions, path)


@pytest.mark.parametrize("more", [{}, {"is_impossible": False}, {"is_impossible": True}])
def test_a_file_without_answers_is_refused(tmp_path, more):
    data = write_json(tmp_path / "data.json", one_question(answers=[], **more))
    predictions = write_json(tmp_path / "predictions.json", {"q1": ""})
    with pytest.raises(UsageError, match="data.json has no answers to compare predictions with."):
        evaluate(data, predictions)


def test_program_ends_a_mistaken_command_line_in_one_line():
    finished = run("data.json")
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("evaluate_squad.py: ") and "predictions_file" in line
