"""Exact match and F1 of SQuAD, number for number those of the official scripts.

arXiv 1606.05250 (version 1.1) and 1806.03822 (2.0, with unanswerable questions). Scores are in
percent. Questions come as squad_data.SquadQuestion, predictions as {question id: answer}.
"""

import collections
import logging
import re
import string

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)

_log = logging.getLogger(__name__)


def normalize_answer(text):
    """Returns the text in lower case without punctuation, articles and superfluous white space."""
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(gold, prediction):
    """Returns 1 if the normalized answers are equal, else 0."""
    return int(normalize_answer(gold) == normalize_answer(prediction))


def f1(gold, prediction):
    """Returns the harmonic mean of precision and recall over the words: float from 0 to 1.

    Where one of the two has no words, 1 if neither has, else 0.
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


def evaluate_version_1(questions, predictions):
    """Returns {"exact_match", "f1"}; a question without prediction scores 0."""
    num_questions, total_exact, total_f1, num_missing = 0, 0, 0.0, 0
    for question in questions:
        num_questions += 1
        if question.id not in predictions:
            num_missing += 1
            continue
        prediction = predictions[question.id]
        golds = [text for text, _ in question.answers]
        total_exact += max((exact_match(gold, prediction) for gold in golds), default=0)
        # The official script for 1.1 gives 0 where neither side has words.
        if normalize_answer(prediction):
            total_f1 += max((f1(gold, prediction) for gold in golds), default=0.0)
    if num_missing:
        _log.warning("%d questions have no prediction and score 0.", num_missing)
    return {
        "exact_match": 100.0 * total_exact / num_questions,
        "f1": 100.0 * total_f1 / num_questions,
    }


def evaluate_version_2(questions, predictions, null_odds=None, threshold=1.0):
    """Returns exact and f1 over all questions, those with (HasAns) and without answer (NoAns).

    Questions without prediction are left out, as in the official script.

    Args:
        null_odds: {question id: how likely there is no answer}; None for 0 everywhere. With it the
            result also has the best scores over all thresholds, and these thresholds.
        threshold: a question with higher odds counts as unanswered.
    """
    exact, overlap, has_answer = {}, {}, {}
    num_missing = 0
    for question in questions:
        if question.id not in predictions:
            num_missing += 1
            continue
        golds = [text for text, _ in question.answers if normalize_answer(text)] or [""]
        prediction = predictions[question.id]
        has_answer[question.id] = bool(question.answers)
        exact[question.id] = max(exact_match(gold, prediction) for gold in golds)
        overlap[question.id] = max(f1(gold, prediction) for gold in golds)
    if num_missing:
        _log.warning("%d questions have no prediction and are left out.", num_missing)

    def decided(scores):
        """Returns the scores with questions beyond the threshold counted as unanswered."""
        if null_odds is None:
            return scores
        return {
            name: score if null_odds[name] <= threshold else float(not has_answer[name])
            for name, score in scores.items()
        }

    result = _averages("", decided(exact), decided(overlap), list(has_answer))
    for prefix, wanted in (("HasAns_", True), ("NoAns_", False)):
        names = [name for name, is_answered in has_answer.items() if is_answered == wanted]
        result.update(_averages(prefix, decided(exact), decided(overlap), names))
    if null_odds is not None:
        for name, scores in (("exact", exact), ("f1", overlap)):
            best, at = best_threshold(scores, predictions, null_odds, has_answer)
            result.update({f"best_{name}": best, f"best_{name}_thresh": at})
    return result


def _averages(prefix, exact, overlap, names):
    if not names:
        return {}
    return {
        f"{prefix}exact": 100.0 * sum(exact[name] for name in names) / len(names),
        f"{prefix}f1": 100.0 * sum(overlap[name] for name in names) / len(names),
        f"{prefix}total": len(names),
    }


def best_threshold(scores, predictions, null_odds, has_answer):
    """Returns (best average score, the threshold of null_odds that gives it).

    Begins with no question answered; then each, by rising odds, adds its score, or takes away the
    point for silence where there is no answer. The threshold is 0 where nothing is gained.
    """
    current = sum(not has_answer[name] for name in scores)
    best, threshold = current, 0.0
    for name in sorted(null_odds, key=lambda name: null_odds[name]):
        if name not in scores:
            continue
        if has_answer[name]:
            current += scores[name]
        else:
            current -= 1 if predictions[name] else 0
        if current > best:
            best, threshold = current, null_odds[name]
    return 100.0 * best / len(scores), threshold
