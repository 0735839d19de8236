"""Scores SQuAD predictions as the official scripts do, and prints the scores as JSON.

    python -m albert.evaluate_squad dev-v2.0.json predictions.json --na_prob_file=null_odds.json

A data file of version 1.1 gets exact_match and f1, one of version 2.0 exact and f1, over all
questions and over those with and without answer, and with --na_prob_file the best thresholds.
"""

import argparse
import json
import sys

from albert.common import json_files
from albert.common.errors import UsageError
from albert.squad import files as squad_files
from albert.squad import metrics as squad_metrics


def evaluate(data_file, predictions_file, na_prob_file=None, na_prob_thresh=1.0):
    """Returns {metric: value} of a predictions file.

    Raises:
        UsageError: a file cannot be read, is not JSON or not in the layout, no question has a
            prediction, or null odds are given for version 1.1, or are missing for a question.
    """
    data = squad_files.read_squad(data_file)
    predictions = _read(predictions_file, str)
    if not any(question.id in predictions for question in data.questions()):
        raise UsageError(f"{predictions_file} answers no question of {data_file}.")
    if not data.is_version_2:
        if na_prob_file:
            raise UsageError(f"--na_prob_file={na_prob_file}: {data_file} is not of version 2.0.")
        return squad_metrics.evaluate_version_1(data.questions(), predictions)
    null_odds = None
    if na_prob_file:
        null_odds = _read(na_prob_file, (int, float))
        for question in data.questions():
            if question.id in predictions and question.id not in null_odds:
                raise UsageError(f"--na_prob_file={na_prob_file} has no value for {question.id}.")
    return squad_metrics.evaluate_version_2(
        data.questions(), predictions, null_odds, na_prob_thresh
    )


def _read(path, value_type):
    values = json_files.load_json(path)
    for name, value in values.items():
        if not isinstance(value, value_type):
            raise UsageError(f"{path}: the value of {name} is {value!r}, which is not allowed.")
    return values


def main():
    parser = argparse.ArgumentParser(
        prog="evaluate_squad.py", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("data_file", help="SQuAD JSON with answers")
    parser.add_argument("predictions_file", help="JSON: {question id: answer}")
    parser.add_argument("--na_prob_file", help="JSON: {question id: how likely it has no answer}")
    parser.add_argument(
        "--na_prob_thresh",
        type=float,
        default=1.0,
        help="above it a question counts as unanswered (default: %(default)s)",
    )
    try:
        scores = evaluate(**vars(parser.parse_args()))
    except UsageError as error:
        sys.exit(f"evaluate_squad.py: {error.text('--{}'.format)}")
    print(json.dumps(scores, indent=2))


if __name__ == "__main__":
    main()
