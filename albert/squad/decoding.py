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
    scores = np.asarray(start_logits)[starts][:, None] + np.asarray(end_logits)[ends]
    return _allowed(window, starts[:, None], ends[None, :], scores, max_answer_length)


def spans_of_beams(window, beams, max_answer_length):
    """Returns the allowed Spans among the starts and their ends that the model chose (2.0).

    Args:
        beams: {"start_index", "start_log_probs": [starts], "end_index", "end_log_probs":
            [starts, ends]}.
    """
    scores = np.asarray(beams["start_log_probs"])[:, None] + np.asarray(beams["end_log_probs"])
    starts = np.asarray(beams["start_index"])[:, None]
    return _allowed(window, starts, np.asarray(beams["end_index"]), scores, max_answer_length)


def _best(logits, count):
    """Returns the indices of the highest values, highest first, the earlier of equal ones first."""
    return np.argsort(-np.asarray(logits), kind="stable")[:count]


def _allowed(window, starts, ends, scores, max_answer_length):
    """Returns the candidates that lie in the context and begin where their window shows it best.

    Args:
        starts, ends: int, places in input_ids, that broadcast to the shape of the scores.
        scores: float [starts, ends].
    """
    if not window.num_pieces:
        return []
    firsts, lasts = np.broadcast_arrays(starts - window.offset, ends - window.offset)
    is_allowed = (firsts >= 0) & (firsts <= lasts) & (lasts < window.num_pieces)
    is_allowed &= lasts - firsts < max_answer_length
    is_allowed &= np.asarray(window.is_best)[np.clip(firsts, 0, window.num_pieces - 1)]
    return [
        Span(int(window.begin + first), int(window.begin + last), float(score))
        for first, last, score in zip(firsts[is_allowed], lasts[is_allowed], scores[is_allowed])
    ]


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
