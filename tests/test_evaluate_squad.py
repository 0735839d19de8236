"""Tests of the command albert.evaluate_squad, against the published scores and by hand."""

import json
import pathlib
import subprocess
import sys

import pytest
from sample_squad import one_question, write_json

from albert.evaluate_squad import evaluate

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
        ({"q1": 3}, [], "predictions.json: the value of q1 is 3"),
        ({"q1": "Ann"}, ["--na_prob_file=missing"], "is not of version 2.0."),
    ],
)
def test_program_ends_mistakes_in_one_line(tmp_path, predictions, more, expected):
    data = write_json(tmp_path / "data.json", one_question())
    finished = run(data, write_json(tmp_path / "predictions.json", predictions), *more)
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("evaluate_squad.py: ") and expected in line


def test_program_ends_a_mistaken_command_line_in_one_line():
    finished = run("data.json")
    assert (finished.returncode, finished.stdout) == (1, "")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("evaluate_squad.py: ") and "predictions_file" in line
