"""From scores of tokens to answers: the best spans over all windows of a question.

Answers are cut from the context itself, so case, accents and white space are its own.
"""

import collections
from typing import List, NamedTuple

import numpy as np


class ShownWindow(NamedTuple):
    """What decoding must know of a window: see squad_features.SquadWindow.

    Attributes:
        offset, begin, num_pieces: as there.
        is_best: for each of its tokens of the context, whether no other window shows it better.
    """

    offset: int
    begin: int
    num_pieces: int
    is_best: List[bool]


class Span(NamedTuple):
    """A candidate: first and last token of the context, and its score."""

    first: int
    last: int
    score: float


class Answer(NamedTuple):
    """A text with its score; "" is no answer."""

    text: str
    score: float


def spans_of_logits(window, start_logits, end_logits, num_best, max_answer_length):
    """Returns the allowed Spans among the best starts and ends of a window (version 1.1).

    Args:
        window: ShownWindow.
        start_logits, end_logits: float [seq].
        num_best: int, how many starts and how many ends are tried.
    """
    starts, ends = (_best(logits, num_best) for logits in (start_logits, end_logits))
    candidates = (
        (start, end, start_logits[start] + end_logits[end]) for start in starts for end in ends
    )
    return _allowed(window, candidates, max_answer_length)


def spans_of_beams(window, beams, max_answer_length):
    """Returns the allowed Spans among the starts and their ends that the model chose (2.0).

    Args:
        beams: {"start_index", "start_log_probs": [starts], "end_index", "end_log_probs":
            [starts, ends]}.
    """
    candidates = (
        (start, end, start_score + end_score)
        for start, start_score, ends, end_scores in zip(
            beams["start_index"],
            beams["start_log_probs"],
            beams["end_index"],
            beams["end_log_probs"],
        )
        for end, end_score in zip(ends, end_scores)
    )
    return _allowed(window, candidates, max_answer_length)


def _best(logits, count):
    """Returns the indices of the highest values, highest first, the earlier of equal ones first."""
    return np.argsort(-np.asarray(logits), kind="stable")[:count]


def _allowed(window, candidates, max_answer_length):
    """Returns the candidates, (start, end, score), that lie in the context and begin at their best.

    A token that several windows show begins an answer only in the one that shows it best.
    """
    spans = []
    for start, end, score in candidates:
        first, last = start - window.offset, end - window.offset
        if not 0 <= first <= last < window.num_pieces:
            continue
        if last - first >= max_answer_length or not window.is_best[first]:
            continue
        spans.append(Span(int(window.begin + first), int(window.begin + last), float(score)))
    return spans


def best_answers(context, aligned, spans, num_best):
    """Returns up to num_best Answers of different texts, best first; none if there are no spans."""
    answers, seen = [], set()
    for span in sorted(spans, key=lambda span: -span.score):
        text = context[aligned.starts[span.first] : aligned.ends[span.last] + 1].strip()
        if text and text not in seen:
            seen.add(text)
            answers.append(Answer(text, span.score))
            if len(answers) == num_best:
                break
    return answers


def with_probabilities(answers):
    """Returns rows for nbest_predictions.json: softmax over the scores."""
    scores = np.array([answer.score for answer in answers])
    weights = np.exp(scores - scores.max())
    return [
        collections.OrderedDict(
            text=answer.text, probability=float(probability), score=answer.score
        )
        for answer, probability in zip(answers, weights / weights.sum())
    ]
