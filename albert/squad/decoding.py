"""From scores of tokens to answers: the best spans over all windows of a question.

Answers are cut from the context itself, so they keep its case, accents and white space.
"""

import collections
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import numpy as np


class WindowContext(NamedTuple):
    """The tokens of the context that a window holds. Stored with the window's features.

    Attributes:
        offset: index in input_ids of the first of these tokens.
        starts: for each token, the index in the context of its first character.
        ends: for each token, the index in the context of its last character.
        is_best: for each token, 1 if an answer may start there in this window: no other window
            shows more of the context around it.
    """

    offset: int
    starts: Sequence[int]
    ends: Sequence[int]
    is_best: Sequence[int]

    def as_features(self) -> Dict[str, Any]:
        """Returns {feature name: value}, which `of_row` reads back."""
        return {
            "context_offset": self.offset,
            "num_context_tokens": len(self.starts),
            "token_starts": self.starts,
            "token_ends": self.ends,
            "token_is_best": self.is_best,
        }

    @classmethod
    def of_row(cls, row: Dict[str, Any]) -> "WindowContext":
        """Returns the context of a row of predictions, without the padding of its batch."""
        num_tokens = int(row["num_context_tokens"])
        return cls(
            int(row["context_offset"]),
            row["token_starts"][:num_tokens],
            row["token_ends"][:num_tokens],
            row["token_is_best"][:num_tokens],
        )


class Span(NamedTuple):
    """A candidate: indices in the context of its first and last character, and its score."""

    first: int
    last: int
    score: float


class Answer(NamedTuple):
    """A text with its score; `start` is the index in the context of its first character."""

    text: str
    score: float
    start: Optional[int] = None


def spans_of_logits(
    window: WindowContext, start_logits: Any, end_logits: Any, num_best: int, max_answer_length: int
) -> List[Span]:
    """Returns the allowed pairs among the num_best starts and the num_best ends of a window.

    Args:
        start_logits, end_logits: float [seq].
        max_answer_length: in tokens.
    """
    starts, ends = (_indices_of_best(logits, num_best) for logits in (start_logits, end_logits))
    scores = np.asarray(start_logits)[starts][:, None] + np.asarray(end_logits)[ends]
    return _allowed_spans(window, starts[:, None], ends[None, :], scores, max_answer_length)


def spans_of_beams(
    window: WindowContext, beams: Dict[str, Any], max_answer_length: int
) -> List[Span]:
    """Returns the allowed pairs of a start that the model chose and an end it chose for it.

    Args:
        beams: {"start_index", "start_log_probs": [starts], "end_index", "end_log_probs":
            [starts, ends]}.
        max_answer_length: in tokens.
    """
    scores = np.asarray(beams["start_log_probs"])[:, None] + np.asarray(beams["end_log_probs"])
    starts = np.asarray(beams["start_index"])[:, None]
    return _allowed_spans(window, starts, np.asarray(beams["end_index"]), scores, max_answer_length)


def _indices_of_best(logits: Any, count: int) -> np.ndarray:
    """Returns the indices of the highest values, highest first, the earlier of equal ones first."""
    return np.argsort(-np.asarray(logits), kind="stable")[:count]


def _allowed_spans(
    window: WindowContext,
    starts: np.ndarray,
    ends: np.ndarray,
    scores: np.ndarray,
    max_answer_length: int,
) -> List[Span]:
    """Returns the spans that lie in the context and start where this window is the best one.

    Args:
        starts, ends: indices in input_ids: int, broadcast to the shape of the scores.
        scores: float [starts, ends].
    """
    num_tokens = len(window.starts)
    if not num_tokens:
        return []
    firsts, lasts = np.broadcast_arrays(starts - window.offset, ends - window.offset)
    is_allowed = (firsts >= 0) & (firsts <= lasts) & (lasts < num_tokens)
    is_allowed &= lasts - firsts < max_answer_length
    is_allowed &= np.asarray(window.is_best, bool)[np.clip(firsts, 0, num_tokens - 1)]
    return [
        Span(int(window.starts[first]), int(window.ends[last]), float(score))
        for first, last, score in zip(firsts[is_allowed], lasts[is_allowed], scores[is_allowed])
    ]


def best_answers(context: str, spans: List[Span], num_best: int) -> List[Answer]:
    """Returns up to num_best Answers of different texts, best first; none if there are no spans."""
    answers: List[Answer] = []
    seen = set()
    for span in sorted(spans, key=lambda span: -span.score):
        cut = context[span.first : span.last + 1]
        text = cut.strip()
        if text and text not in seen:
            seen.add(text)
            start = span.first + len(cut) - len(cut.lstrip())
            answers.append(Answer(text, span.score, start))
            if len(answers) == num_best:
                break
    return answers


def probabilities(answers: List[Answer]) -> List[float]:
    """Returns the softmax of the answers' scores."""
    scores = np.array([answer.score for answer in answers])
    weights = np.exp(scores - scores.max())
    return (weights / weights.sum()).tolist()


def with_probabilities(answers: List[Answer]) -> List[Dict[str, Any]]:
    """Returns rows for nbest_predictions.json."""
    return [
        collections.OrderedDict(text=answer.text, probability=probability, score=answer.score)
        for answer, probability in zip(answers, probabilities(answers))
    ]
