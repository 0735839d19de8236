"""Scores SQuAD predictions as the official scripts do, and prints the scores as JSON.

    python -m albert.evaluate_squad dev-v2.0.json predictions.json --na_prob_file=null_odds.json

For a data file of version 1.1 the scores are exact_match and f1. For one of version 2.0 they are
exact and f1, over all questions and over those with and without answers; with --na_prob_file, the
best thresholds, too. Of predictions that a run has written with its null_odds.json, these are the
scores in its eval_results.json.
"""

import json
import reprlib
from typing import Any, Dict, Optional, Type

from albert.cli import program
from albert.common import json_files
from albert.common.errors import UsageError
from albert.squad import files as squad_files
from albert.squad import metrics as squad_metrics

_PROG = "evaluate_squad.py"


def evaluate(
    data_file: str,
    predictions_file: str,
    na_prob_file: Optional[str] = None,
    na_prob_thresh: Optional[float] = None,
) -> Dict[str, float]:
    """Returns {metric: value} of a predictions file.

    Args:
        na_prob_thresh: questions whose value in na_prob_file is above it count as unanswered; None
            applies no threshold.

    Raises:
        UsageError: a file cannot be read, is not JSON or has another layout; the data file has no
            answers; no question has a prediction; or there are null odds for version 1.1, none for
            some question, or none to compare with the threshold.
    """
    data = squad_files.read_squad(data_file)
    if not data.has_answers:
        raise UsageError(f"{data_file} has no answers to compare predictions with.")
    predictions = _read_values(predictions_file, str)
    if not any(question.id in predictions for question in data.questions()):
        raise UsageError(f"{predictions_file} answers no question of {data_file}.")
    if na_prob_thresh is not None and not na_prob_file:
        raise UsageError(f"--na_prob_thresh={na_prob_thresh} needs --na_prob_file.")
    if not data.is_version_2:
        if na_prob_file:
            raise UsageError(f"--na_prob_file={na_prob_file}: {data_file} is not of version 2.0.")
        return squad_metrics.evaluate_version_1(data.questions(), predictions)
    null_odds = None
    if na_prob_file:
        null_odds = _read_values(na_prob_file, float)
        for question in data.questions():
            if question.id in predictions and question.id not in null_odds:
                name = squad_files.shown(question.id)
                raise UsageError(f"--na_prob_file={na_prob_file} has no value for {name}.")
    return squad_metrics.evaluate_version_2(
        data.questions(), predictions, null_odds, na_prob_thresh
    )


def _read_values(path: str, expected: Type) -> Dict[str, Any]:
    """Returns {question id: value} of a JSON file whose values are all of a type, str or float."""
    values = json_files.load_json(path)
    kinds, kind = {str: ((str,), "a string"), float: ((int, float), "a number")}[expected]
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise UsageError(
                f"{path}: the value of {squad_files.shown(name)} must be {kind}, "
                f"not {reprlib.repr(value)}."
            )
    return values


def main() -> None:
    parser = program.Parser(prog=_PROG, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data_file", help="SQuAD JSON with answers")
    parser.add_argument("predictions_file", help="JSON: {question id: answer}")
    parser.add_argument("--na_prob_file", help="JSON: {question id: how likely it has no answer}")
    parser.add_argument(
        "--na_prob_thresh",
        type=float,
        help="value in --na_prob_file above which a question counts as unanswered (default: none)",
    )
    arguments = parser.parse_args()
    program.run(_PROG, lambda: print(json.dumps(evaluate(**vars(arguments)), indent=2)))


if __name__ == "__main__":
    main()
