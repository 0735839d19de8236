"""What SQuAD 1.1 and 2.0 do differently.

|                   | 1.1                       | 2.0                                        |
|-------------------|---------------------------|--------------------------------------------|
| model predicts    | logits of start and end   | the best starts, the best ends for each,   |
|                   |                           | and the null odds: high if there is no     |
|                   |                           | answer                                     |
| candidates        | each of the best starts   | each start with its own ends               |
|                   | with each of the best     |                                            |
|                   | ends                      |                                            |
| if there are none | "empty"                   | ""                                         |
| null answer       | never                     | "" if the null odds are above the          |
|                   |                           | threshold: a known one, or that with the   |
|                   |                           | best F1 on the file's own answers, or 0    |
| scores            | exact_match, f1           | exact, f1; the same over the questions     |
|                   |                           | with and without an answer; the best       |
|                   |                           | thresholds                                 |
| extra result file | none                      | null_odds.json                             |
"""

import abc
import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from albert.engine.task import ModelOutput
from albert.modeling import AlbertModel
from albert.squad import decoding, heads, metrics
from albert.squad.files import SquadQuestion


class SquadSettings(NamedTuple):
    """What shapes features and answers; each field is named as its flag."""

    squad_version: str = "1.1"
    max_seq_length: int = 384
    doc_stride: int = 128
    max_query_length: int = 64
    n_best_size: int = 20
    max_answer_length: int = 30
    start_n_top: int = 5
    end_n_top: int = 5
    dropout_prob: float = 0.1


class QuestionRows(NamedTuple):
    """A question, its context, and a row of predictions for each of its windows."""

    question: SquadQuestion
    context: str
    rows: List[Dict[str, Any]]


class SquadResult(NamedTuple):
    """What a model makes of a file.

    Attributes:
        answers: {question id: text}, for predictions.json.
        candidates: {question id: Answers, best first}.
        null_odds: {question id: how likely there is no answer}, for null_odds.json; None in 1.1.
        threshold: null odds above it are no answer; None in 1.1.
        scores: {metric: value}; empty if the file has no answers, NaN if some prediction is not
            finite.
    """

    answers: Dict[str, str]
    candidates: Dict[str, List[decoding.Answer]]
    null_odds: Optional[Dict[str, float]]
    threshold: Optional[float]
    scores: Dict[str, float]

    @property
    def n_best(self) -> Dict[str, List[Dict[str, Any]]]:
        """{question id: rows of text, probability, score}, for nbest_predictions.json."""
        found = self.candidates.items()
        return {name: decoding.with_probabilities(answers) for name, answers in found}

    @property
    def found(self) -> Dict[str, Dict[str, Any]]:
        """{question id: start of the answer in the context, its probability, and in 2.0 odds}.

        The probability is that among all candidates; of no answer, the sigmoid of the null odds.
        """
        rows = {}
        for name, candidates in self.candidates.items():
            is_answered = bool(self.answers[name])
            row: Dict[str, Any] = {"start": candidates[0].start if is_answered else None}
            row["score"] = decoding.probabilities(candidates)[0]
            if self.null_odds is not None:
                odds = row["null_odds"] = self.null_odds[name]
                if not is_answered:
                    row["score"] = 0.5 + 0.5 * math.tanh(odds / 2.0)
            rows[name] = row
        return rows


class Version(abc.ABC):
    """One version of SQuAD.

    Attributes:
        allows_impossible: whether questions without an answer are allowed.
    """

    allows_impossible: bool
    _text_without_candidates: str
    _outputs: Tuple[str, ...]  # what the head predicts that must be finite

    def __init__(self, settings: SquadSettings) -> None:
        self._settings = settings

    @abc.abstractmethod
    def head(self, model: AlbertModel, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """See Task.head."""

    @abc.abstractmethod
    def result(
        self, questions: List[QuestionRows], is_scored: bool, threshold: Optional[float] = None
    ) -> SquadResult:
        """Returns the result of a file's questions.

        Args:
            is_scored: whether the file has answers.
            threshold: of the null odds, if one is known.
        """

    @abc.abstractmethod
    def score(self, question: SquadQuestion, answer: str) -> Tuple[int, float]:
        """Returns (exact match, F1) of the answer to one question, from 0 to 1."""

    @abc.abstractmethod
    def _spans(self, row: Dict[str, Any]) -> List[decoding.Span]:
        """Returns the candidates of one window."""

    def _candidates(self, questions: List[QuestionRows]) -> Dict[str, List[decoding.Answer]]:
        """Returns {question id: its answers, best first}, at least one for each question.

        Where a prediction is not finite, the only answer is one whose score is NaN.
        """
        candidates = {}
        for question, context, rows in questions:
            if not all(np.isfinite(row[name]).all() for row in rows for name in self._outputs):
                candidates[question.id] = [decoding.Answer(self._text_without_candidates, math.nan)]
                continue
            spans = [span for row in rows for span in self._spans(row)]
            candidates[question.id] = decoding.best_answers(
                context, spans, self._settings.n_best_size
            ) or [decoding.Answer(self._text_without_candidates, 0.0)]
        return candidates


class Version1(Version):
    """SQuAD 1.1: every question has an answer."""

    allows_impossible = False
    _text_without_candidates = "empty"
    _outputs = ("start_logits", "end_logits")

    def head(self, model: AlbertModel, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Returns the loss, and the logits of start and end."""
        return heads.head_of_version_1(model, features, is_training)

    def result(
        self, questions: List[QuestionRows], is_scored: bool, threshold: Optional[float] = None
    ) -> SquadResult:
        """Returns the best candidates and their scores."""
        candidates = self._candidates(questions)
        answers = _best_texts(candidates)
        scores = {}
        if is_scored:
            scores = metrics.evaluate_version_1([row.question for row in questions], answers)
        scores = _nan_unless_finite(scores, candidates)
        return SquadResult(answers, candidates, None, None, scores)

    def score(self, question: SquadQuestion, answer: str) -> Tuple[int, float]:
        return metrics.score_version_1(question, answer)

    def _spans(self, row: Dict[str, Any]) -> List[decoding.Span]:
        return decoding.spans_of_logits(
            decoding.WindowContext.of_row(row),
            row["start_logits"],
            row["end_logits"],
            self._settings.n_best_size,
            self._settings.max_answer_length,
        )


class Version2(Version):
    """SQuAD 2.0: a question may be impossible to answer."""

    allows_impossible = True
    _text_without_candidates = ""
    _outputs = ("start_log_probs", "end_log_probs", "null_logits")

    def head(self, model: AlbertModel, features: Dict[str, Any], is_training: bool) -> ModelOutput:
        """Returns the loss in training, else the beams of spans and the null logits."""
        settings = self._settings
        return heads.head_of_version_2(
            model,
            features,
            is_training,
            settings.start_n_top,
            settings.end_n_top,
            settings.dropout_prob,
        )

    def result(
        self, questions: List[QuestionRows], is_scored: bool, threshold: Optional[float] = None
    ) -> SquadResult:
        """Returns the best candidates, or "" where the null odds are above the threshold."""
        candidates = self._candidates(questions)
        best_texts = _best_texts(candidates)
        null_odds = {
            question.id: float(np.min([row["null_logits"] for row in rows]))
            for question, _, rows in questions
        }
        golds = [row.question for row in questions]
        thresholds = metrics.best_thresholds(golds, best_texts, null_odds) if is_scored else {}
        if threshold is None:
            threshold = thresholds.get("best_f1_thresh", 0.0)
        answers = {
            name: text if null_odds[name] <= threshold else "" for name, text in best_texts.items()
        }
        scores = {}
        if is_scored:
            scores = dict(metrics.evaluate_version_2(golds, answers), **thresholds)
            scores = {name: value for name, value in scores.items() if not name.endswith("total")}
        scores = _nan_unless_finite(scores, candidates)
        return SquadResult(answers, candidates, null_odds, threshold, scores)

    def score(self, question: SquadQuestion, answer: str) -> Tuple[int, float]:
        return metrics.score_version_2(question, answer)

    def _spans(self, row: Dict[str, Any]) -> List[decoding.Span]:
        window = decoding.WindowContext.of_row(row)
        return decoding.spans_of_beams(window, row, self._settings.max_answer_length)


VERSIONS: Dict[str, Callable[[SquadSettings], Version]] = {"1.1": Version1, "2.0": Version2}


def _nan_unless_finite(
    scores: Dict[str, float], candidates: Dict[str, List[decoding.Answer]]
) -> Dict[str, float]:
    """Returns the scores, or NaN for each if some prediction is not finite: see _candidates."""
    if any(math.isnan(answers[0].score) for answers in candidates.values()):
        return dict.fromkeys(scores, math.nan)
    return scores


def _best_texts(candidates: Dict[str, List[decoding.Answer]]) -> Dict[str, str]:
    return {name: answers[0].text for name, answers in candidates.items()}
