"""Exact match and F1 of SQuAD, equal to those of the official scripts to the last digit.

arXiv 1606.05250 (version 1.1) and 1806.03822 (2.0, with unanswerable questions). Scores are in
percent. Predictions are {question id: answer}, null odds {question id: how likely there is no
answer}.
"""

import collections
import logging
import re
import string
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from albert.squad.files import SquadQuestion

Scores = Dict[str, Union[int, float]]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)

_log = logging.getLogger(__name__)


def normalize_answer(text: str) -> str:
    """Returns the text in lower case without punctuation, articles and superfluous white space."""
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(gold: str, prediction: str) -> int:
    """Returns 1 if the normalized answers are equal, else 0."""
    return int(normalize_answer(gold) == normalize_answer(prediction))


def f1(gold: str, prediction: str) -> float:
    """Returns the harmonic mean of precision and recall over the words, from 0 to 1.

    If one of the two has no words: 1 if neither has any, else 0.
    """
    gold_words = normalize_answer(gold).split()
    words = normalize_answer(prediction).split()
    if not gold_words or not words:
        return float(gold_words == words)
    num_same = sum((collections.Counter(gold_words) & collections.Counter(words)).values())
    if not num_same:
        return 0.0
    precision, recall = num_same / len(words), num_same / len(gold_words)
    return 2 * precision * recall / (precision + recall)


def score_version_1(question: SquadQuestion, prediction: str) -> Tuple[int, float]:
    """Returns (exact match, F1) of the prediction for one question, from 0 to 1."""
    golds = [text for text, _ in question.answers]
    exact = max((exact_match(gold, prediction) for gold in golds), default=0)
    if not normalize_answer(prediction):  # 0 in the official script, even if neither has words
        return exact, 0.0
    return exact, max((f1(gold, prediction) for gold in golds), default=0.0)


def score_version_2(question: SquadQuestion, prediction: str) -> Tuple[int, float]:
    """Returns (exact match, F1) of the prediction for one question; "" stands for no answer."""
    golds = [text for text, _ in question.answers if normalize_answer(text)] or [""]
    exact = max(exact_match(gold, prediction) for gold in golds)
    return exact, max(f1(gold, prediction) for gold in golds)


def evaluate_version_1(questions: Iterable[SquadQuestion], predictions: Dict[str, str]) -> Scores:
    """Returns {"exact_match", "f1"}; a question without a prediction scores 0."""
    num_questions, total_exact, total_f1, num_missing = 0, 0, 0.0, 0
    for question in questions:
        num_questions += 1
        if question.id not in predictions:
            num_missing += 1
            continue
        exact, overlap = score_version_1(question, predictions[question.id])
        total_exact += exact
        total_f1 += overlap
    if num_missing:
        _log.warning("%d questions have no prediction and score 0.", num_missing)
    return {
        "exact_match": 100.0 * total_exact / num_questions,
        "f1": 100.0 * total_f1 / num_questions,
    }


class _QuestionScores(NamedTuple):
    """Exact match and F1 of each question that has a prediction, and whether it has an answer."""

    exact: Dict[str, float]
    f1: Dict[str, float]
    has_answer: Dict[str, bool]


def evaluate_version_2(
    questions: Iterable[SquadQuestion],
    predictions: Dict[str, str],
    null_odds: Optional[Dict[str, float]] = None,
    threshold: Optional[float] = None,
) -> Scores:
    """Returns exact and f1 over all questions, those with (HasAns) and without answer (NoAns).

    Questions without a prediction are left out, as in the official script.

    Args:
        null_odds: if given, the result also has the `best_thresholds`.
        threshold: a question with higher null odds counts as unanswered; None applies none, for
            predictions that are "" there already.
    """
    scores = _scores_by_question(questions, predictions)

    def with_threshold(values: Dict[str, float]) -> Dict[str, float]:
        if null_odds is None or threshold is None:
            return values
        return {
            name: value if null_odds[name] <= threshold else float(not scores.has_answer[name])
            for name, value in values.items()
        }

    exact, overlap = with_threshold(scores.exact), with_threshold(scores.f1)
    result = _averages("", exact, overlap, list(exact))
    for prefix, is_answerable in (("HasAns_", True), ("NoAns_", False)):
        names = [name for name in exact if scores.has_answer[name] == is_answerable]
        result.update(_averages(prefix, exact, overlap, names))
    if null_odds is not None:
        result.update(_best_thresholds(scores, predictions, null_odds))
    return result


def best_thresholds(
    questions: Iterable[SquadQuestion], predictions: Dict[str, str], null_odds: Dict[str, float]
) -> Scores:
    """Returns the best scores over all thresholds of the null odds, and these thresholds.

    They are named best_exact, best_exact_thresh, best_f1 and best_f1_thresh.
    """
    return _best_thresholds(_scores_by_question(questions, predictions), predictions, null_odds)


def _scores_by_question(
    questions: Iterable[SquadQuestion], predictions: Dict[str, str]
) -> _QuestionScores:
    scores = _QuestionScores({}, {}, {})
    num_missing = 0
    for question in questions:
        if question.id not in predictions:
            num_missing += 1
            continue
        exact, overlap = score_version_2(question, predictions[question.id])
        scores.has_answer[question.id] = bool(question.answers)
        scores.exact[question.id], scores.f1[question.id] = exact, overlap
    if num_missing:
        _log.warning("%d questions have no prediction and are left out.", num_missing)
    return scores


def _averages(
    prefix: str, exact: Dict[str, float], overlap: Dict[str, float], names: List[str]
) -> Scores:
    if not names:
        return {}
    return {
        f"{prefix}exact": 100.0 * sum(exact[name] for name in names) / len(names),
        f"{prefix}f1": 100.0 * sum(overlap[name] for name in names) / len(names),
        f"{prefix}total": len(names),
    }


def _best_thresholds(
    scores: _QuestionScores, predictions: Dict[str, str], null_odds: Dict[str, float]
) -> Scores:
    result: Scores = {}
    for name, values in (("exact", scores.exact), ("f1", scores.f1)):
        best, threshold = _best_threshold(values, scores.has_answer, predictions, null_odds)
        result.update({f"best_{name}": best, f"best_{name}_thresh": threshold})
    return result


def _best_threshold(
    scores: Dict[str, float],
    has_answer: Dict[str, bool],
    predictions: Dict[str, str],
    null_odds: Dict[str, float],
) -> Tuple[float, float]:
    """Returns (best average score, the threshold of null_odds that gives it).

    Starts with no question answered, then answers one after another, by rising odds. An answer adds
    its score, or takes away the point of an impossible question. An empty prediction is no answer:
    so predictions that are "" above the best threshold have the same one. The threshold is 0 if no
    answer improves the score.
    """
    current: float = sum(not has_answer[name] for name in scores)
    best, threshold = current, 0.0
    for name in sorted(null_odds, key=lambda name: null_odds[name]):
        if name not in scores or not predictions[name]:
            continue
        current += scores[name] if has_answer[name] else -1
        if current > best:
            best, threshold = current, null_odds[name]
    return 100.0 * best / len(scores), threshold
