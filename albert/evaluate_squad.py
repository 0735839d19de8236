"""Scores SQuAD predictions as the official scripts do, and prints the scores as JSON.

    python -m albert.evaluate_squad dev-v2.0.json predictions.json --na_prob_file=null_odds.json

For a data file of version 1.1 the scores are exact_match and f1. For one of version 2.0 they are
exact and f1, over all questions and over those with and without answers; with --na_prob_file, the
best thresholds, too.
"""

import json
from typing import Any, Dict, Optional, Tuple, Type, Union

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
    na_prob_thresh: float = 1.0,
) -> Dict[str, float]:
    """Returns {metric: value} of a predictions file.

    Raises:
        UsageError: a file cannot be read, is not JSON or has another layout; no question has a
            prediction; or there are null odds for version 1.1, or none for some question.
    """
    data = squad_files.read_squad(data_file)
    predictions = _read_values(predictions_file, str)
    if not any(question.id in predictions for question in data.questions()):
        raise UsageError(f"{predictions_file} answers no question of {data_file}.")
    if not data.is_version_2:
        if na_prob_file:
            raise UsageError(f"--na_prob_file={na_prob_file}: {data_file} is not of version 2.0.")
        return squad_metrics.evaluate_version_1(data.questions(), predictions)
    null_odds = None
    if na_prob_file:
        null_odds = _read_values(na_prob_file, (int, float))
        for question in data.questions():
            if question.id in predictions and question.id not in null_odds:
                raise UsageError(f"--na_prob_file={na_prob_file} has no value for {question.id}.")
    return squad_metrics.evaluate_version_2(
        data.questions(), predictions, null_odds, na_prob_thresh
    )


def _read_values(path: str, expected: Union[Type, Tuple[Type, ...]]) -> Dict[str, Any]:
    """Returns {question id: value} of a JSON file whose values are of the expected type."""
    values = json_files.load_json(path)
    for name, value in values.items():
        if not isinstance(value, expected):
            raise UsageError(f"{path}: the value of {name} is {value!r}, which is not allowed.")
    return values


def main() -> None:
    parser = program.Parser(prog=_PROG, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data_file", help="SQuAD JSON with answers")
    parser.add_argument("predictions_file", help="JSON: {question id: answer}")
    parser.add_argument("--na_prob_file", help="JSON: {question id: how likely it has no answer}")
    parser.add_argument(
        "--na_prob_thresh",
        type=float,
        default=1.0,
        help="above it a question counts as unanswered (default: %(default)s)",
    )
    arguments = parser.parse_args()
    program.run(_PROG, lambda: print(json.dumps(evaluate(**vars(arguments)), indent=2)))


if __name__ == "__main__":
    main()
